"""The inferer that the command line and MONAI Label share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from monai.inferers import SimpleInferer
from monai.utils import convert_to_dst_type, convert_to_tensor

__all__ = ["ChannelsLastInferer"]


class ChannelsLastInferer(SimpleInferer):
    """``SimpleInferer`` that brings the network into the memory format that the configs give it.

    A network that is made from ``network_def`` alone, as MONAI Label does, then gives the command line's prediction to
    the last bit; in another format the convolutions round differently. The network gets plain tensors, because each
    operation on a ``MetaTensor`` costs time.
    """

    def __call__(
        self, inputs: torch.Tensor, network: Callable[..., torch.Tensor], *args: Any, **kwargs: Any
    ) -> torch.Tensor:
        """Logits of ``inputs`` (B x 3 x W x H); the network stays in the format."""
        if isinstance(network, torch.nn.Module) and not _is_channels_last(network):
            network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        logits = super().__call__(convert_to_tensor(inputs, track_meta=False), network, *args, **kwargs)
        return convert_to_dst_type(logits, inputs)[0]


def _is_channels_last(network: torch.nn.Module) -> bool:
    """Whether the network has the format already, by its first telling kernel: asking is faster than setting it."""
    kernel = next((p for p in network.parameters() if p.dim() == 4 and min(p.shape[1:]) > 1), None)
    return kernel is not None and kernel.is_contiguous(memory_format=torch.channels_last)
