"""What adaptation asks of any network, also of one that was not made for it."""

from __future__ import annotations

from typing import Any

import torch
from monai.networks import eval_mode
from torch import nn

from bundle.errors import CallError, one_line
from bundle.networks.head import classifier_of, has_head
from bundle.networks.unet import DiscCupUNet

__all__ = ["check_output", "cup_bias", "freeze_statistics", "moves_the_cup_alone"]


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


def check_output(network: nn.Module, image_size: int) -> None:
    """Refuse a network that does not turn a picture into three logits for each of its pixels.

    Args:
        network: tried on one empty picture; a ``DiscCupUNet`` is known to fit.
        image_size: side of the picture in pixels.

    Raises:
        CallError: it gives something else, or cannot take a picture of this size.

    Example:
        >>> check_output(nn.Conv2d(3, 3, kernel_size=1), 64)
        >>> check_output(nn.Conv2d(3, 2, kernel_size=1), 64)
        Traceback (most recent call last):
        ...
        bundle.errors.CallError: network_def: Conv2d gives 1 x 2 x 64 x 64 for a picture of 1 x 3 x 64 x 64. Give it ...
    """
    if isinstance(network, DiscCupUNet):
        return
    kind, size = type(network).__name__, f"1 x 3 x {image_size} x {image_size}"
    remedy = "Give it three output channels of the picture's size: docs/how-to/other_networks.md."
    try:
        found = _logits(network, image_size)
    except Exception as error:
        problem = f"network_def: {kind} cannot take a picture of {size}: {one_line(str(error))}"
        raise CallError(problem, remedy) from error
    if not isinstance(found, torch.Tensor) or found.shape != (1, 3, image_size, image_size):
        what = " x ".join(map(str, found.shape)) if isinstance(found, torch.Tensor) else f"a {type(found).__name__}"
        raise CallError(f"network_def: {kind} gives {what} for a picture of {size}.", remedy)


def cup_bias(network: nn.Module) -> torch.Tensor | None:
    """The bias of the last convolution to three channels, whose third entry belongs to the cup; None without one.

    Args:
        network: whether its bias moves the cup's logit and nothing else, ``moves_the_cup_alone`` says.

    Example:
        >>> network = nn.Sequential(nn.Conv2d(3, 3, kernel_size=1))
        >>> cup_bias(network) is network[0].bias
        True
    """
    if has_head(network):
        return classifier_of(network.segmentation_head).bias  # type: ignore[arg-type]
    kinds = (nn.Conv2d, nn.ConvTranspose2d)
    last = [module for module in network.modules() if isinstance(module, kinds) and module.out_channels == 3][-1:]
    return last[0].bias if last else None


@torch.no_grad()
def moves_the_cup_alone(network: nn.Module, image_size: int = 256) -> bool:
    """Whether what is added to ``cup_bias`` is added to the cup's logit of every pixel, and to nothing else.

    Args:
        network: as it was afterwards; one without a head (see ``has_head``) is tried on an empty picture.
        image_size: side of the picture in pixels.

    Example:
        >>> moves_the_cup_alone(nn.Sequential(nn.Conv2d(3, 3, kernel_size=1)), 64)
        True
        >>> moves_the_cup_alone(nn.Sequential(nn.Conv2d(3, 3, kernel_size=1), nn.Softmax(dim=1)), 64)
        False
    """
    bias = cup_bias(network)
    if bias is None or has_head(network):
        return bias is not None
    kept = bias.clone()
    before = _logits(network, image_size)
    bias[2] += 1
    moved = _logits(network, image_size) - before
    bias.copy_(kept)
    wanted = torch.tensor([0.0, 0.0, 1.0]).to(moved).view(1, 3, 1, 1)
    return torch.allclose(moved, wanted.expand_as(moved), atol=1e-4)


@torch.no_grad()
def _logits(network: nn.Module, image_size: int) -> torch.Tensor:
    weight = next(network.parameters(), torch.empty(0))
    with eval_mode(network):
        return network(torch.zeros(1, 3, image_size, image_size).to(weight))
