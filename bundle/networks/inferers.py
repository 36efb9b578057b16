"""The inferer that the command line and MONAI Label share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from monai.inferers import SimpleInferer
from monai.utils import convert_to_dst_type, convert_to_tensor

__all__ = ["ChannelsLastInferer"]


class ChannelsLastInferer(SimpleInferer):
    """``SimpleInferer`` that first converts the network to the channels-last memory format.

    The configs use the same format. MONAI Label builds the network from ``network_def`` alone; with this inferer its
    predictions equal those of the command line to the last bit, whereas convolutions in another memory format round
    differently. The network receives plain tensors, because every operation on a ``MetaTensor`` costs time.

    MONAI Deploy hands its inferer every tensor of an item by name; ``photograph``, which the report needs, is not for
    the network.

    Example:
        >>> network = torch.nn.Conv2d(3, 2, kernel_size=3)
        >>> ChannelsLastInferer()(torch.zeros(1, 3, 8, 8), network).shape
        torch.Size([1, 2, 6, 6])
        >>> network.weight.is_contiguous(memory_format=torch.channels_last)
        True
    """

    def __call__(
        self,
        inputs: torch.Tensor,
        network: Callable[..., torch.Tensor],
        *args: Any,
        photograph: torch.Tensor | None = None,
        **kwargs: Any,
    ) -> torch.Tensor:
        """Logits (B x 3 x W x H) of ``inputs`` (B x 3 x W x H); the network stays in the channels-last format."""
        if isinstance(network, torch.nn.Module) and not _is_channels_last(network):
            network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        logits = super().__call__(convert_to_tensor(inputs, track_meta=False), network, *args, **kwargs)
        return convert_to_dst_type(logits, inputs)[0]


def _is_channels_last(network: torch.nn.Module) -> bool:
    """Whether the network already is channels-last; checking one kernel is faster than converting all of them.

    The first kernel with more than one input channel and more than one pixel decides: in others both formats look
    the same.
    """
    kernel = next((p for p in network.parameters() if p.dim() == 4 and min(p.shape[1:]) > 1), None)
    return kernel is not None and kernel.is_contiguous(memory_format=torch.channels_last)
