"""The head of the network: its input, its dropout and its classifier."""

from __future__ import annotations

from typing import cast

import torch
from torch import nn

from bundle.networks.unet import DiscCupUNet

__all__ = ["HeadInput", "classifier_of", "dropout_of"]


class HeadInput:
    """Context manager that keeps F, the tensor that entered a network's head in the last forward pass.

    Args:
        network: the network to watch. After a pass, ``features`` holds F, B x K x W x H.

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

    def __enter__(self) -> HeadInput:
        self.handle = self.network.segmentation_head.register_forward_pre_hook(self._keep)
        return self

    def __exit__(self, *_: object) -> None:
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
