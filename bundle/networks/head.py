"""The head of the network: its input, its dropout and its classifier."""

from __future__ import annotations

from typing import cast

import torch
from torch import nn

from bundle.errors import CallError
from bundle.networks.unet import DiscCupUNet

__all__ = ["HeadInput", "classifier_of", "dropout_of", "has_head", "require_head"]


def has_head(network: nn.Module) -> bool:
    """Whether a network has ``features`` and a pointwise ``segmentation_head`` behind dropout, as ``DiscCupUNet`` has.

    Example:
        >>> has_head(DiscCupUNet(backbone="efficientnet-lite0-small", decoder_channels=(16, 16, 8, 8)))
        True
        >>> has_head(nn.Conv2d(3, 3, kernel_size=3))
        False
    """
    head = getattr(network, "segmentation_head", None)
    return (
        callable(getattr(network, "features", None))
        and isinstance(head, nn.Sequential)
        and len(head) > 1
        and isinstance(head[0], nn.Dropout2d)
        and isinstance(head[-1], nn.Conv2d)
        and head[-1].kernel_size == (1, 1)
    )


def require_head(network: nn.Module, what: str) -> None:
    """Refuse a network without a head for something that needs one.

    Args:
        network: to be used.
        what: it is needed for, for the message.

    Raises:
        CallError: see ``has_head``.

    Example:
        >>> require_head(nn.Conv2d(3, 3, kernel_size=3), "refinement")
        Traceback (most recent call last):
        ...
        bundle.errors.CallError: refinement needs a pointwise segmentation_head, which Conv2d does not have. See ...
    """
    if not has_head(network):
        problem = f"{what} needs a pointwise segmentation_head, which {type(network).__name__} does not have."
        raise CallError(problem, "See docs/how-to/other_networks.md.")


class HeadInput:
    """Context manager that keeps F, the tensor that entered a network's head in the last forward pass.

    Args:
        network: the network to watch. After a pass, ``features`` holds F, B x K x W x H; of a network without a head
            (see ``has_head``) it stays empty.

    Example:
        >>> network = DiscCupUNet(backbone="efficientnet-lite0-small", decoder_channels=(16, 16, 8, 8)).eval()
        >>> with HeadInput(network) as head_input:
        ...     _ = network(torch.zeros(1, 3, 32, 32))
        >>> tuple(head_input.features.shape)
        (1, 8, 32, 32)
    """

    features: torch.Tensor

    def __init__(self, network: DiscCupUNet) -> None:
        self.network = network
        self.features = torch.empty(0)

    def __enter__(self) -> HeadInput:
        head = self.network.segmentation_head if has_head(self.network) else None
        self.handle = head.register_forward_pre_hook(self._keep) if head is not None else None
        return self

    def __exit__(self, *_: object) -> None:
        if self.handle is not None:
            self.handle.remove()

    def _keep(self, _: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        self.features = inputs[0]


def dropout_of(head: nn.Sequential) -> float:
    """The probability, in [0, 1), with which a head drops a channel of F.

    Args:
        head: ``segmentation_head`` of a ``DiscCupUNet``.

    Example:
        >>> dropout_of(nn.Sequential(nn.Dropout2d(0.3), nn.Conv2d(8, 3, kernel_size=1)))
        0.3
    """
    return cast(nn.Dropout2d, head[0]).p


def classifier_of(head: nn.Sequential) -> nn.Conv2d:
    """The pointwise convolution of a head, which turns F into logits.

    Args:
        head: ``segmentation_head`` of a ``DiscCupUNet``.

    Example:
        >>> classifier_of(nn.Sequential(nn.Dropout2d(0.3), nn.Conv2d(8, 3, kernel_size=1)))
        Conv2d(8, 3, kernel_size=(1, 1), stride=(1, 1))
    """
    return cast(nn.Conv2d, head[-1])
