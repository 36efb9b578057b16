"""What adaptation asks of any network, also of one that was not made for it."""

from __future__ import annotations

from typing import Any

import torch
from monai.networks import eval_mode
from torch import nn

from bundle.networks.head import classifier_of, has_head

__all__ = ["cup_bias", "freeze_statistics"]


def freeze_statistics(network: nn.Module) -> None:
    """Keep a network's batch norm layers on their running statistics from now on, also in train mode.

    Args:
        network: changed in place; a ``DiscCupUNet`` by its own method, any other by a hook before each pass.

    Example:
        >>> network = nn.Sequential(nn.BatchNorm2d(3)).train()
        >>> freeze_statistics(network)
        >>> network(torch.ones(1, 3, 2, 2)).mean().round().item()  # a batch's own statistics would give 0
        1.0
    """
    own = getattr(network, "freeze_statistics", None)
    if callable(own):
        own()
    else:
        network.register_forward_pre_hook(_norms_in_evaluation_mode)


def _norms_in_evaluation_mode(network: nn.Module, _: Any) -> None:
    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.eval()


@torch.no_grad()
def cup_bias(network: nn.Module) -> torch.Tensor | None:
    """The bias of a network's last layer, whose third entry moves the cup's logit alone; None if it has none.

    Args:
        network: as it was afterwards; of one without a head (see ``has_head``) the last convolution to three channels
            is tried on an empty picture of 64 pixels a side.

    Example:
        >>> network = nn.Sequential(nn.Conv2d(3, 3, kernel_size=1))
        >>> cup_bias(network) is network[0].bias
        True
        >>> cup_bias(nn.Sequential(nn.Conv2d(3, 3, kernel_size=1), nn.Softmax(dim=1))) is None
        True
    """
    if has_head(network):
        return classifier_of(network.segmentation_head).bias  # type: ignore[arg-type]
    kinds = (nn.Conv2d, nn.ConvTranspose2d)
    last = [module for module in network.modules() if isinstance(module, kinds) and module.out_channels == 3][-1:]
    if not last or last[0].bias is None:
        return None
    bias = last[0].bias
    picture = torch.zeros(1, 3, 64, 64).to(bias)
    with eval_mode(network):
        before = network(picture)
        bias[2] += 1
        moved = network(picture) - before
        bias[2] -= 1
    wanted = torch.tensor([0.0, 0.0, 1.0]).to(bias).view(1, 3, 1, 1)
    return bias if torch.allclose(moved, wanted.expand_as(moved), atol=1e-4) else None
