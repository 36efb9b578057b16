"""What a network gives in adaptation."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from bundle.networks.unet import DiscCupUNet

__all__ = ["AdaptationOutput"]


@dataclass(frozen=True)
class AdaptationOutput:
    """What the network gave for a batch.

    Args:
        network: the network that is being adapted.
        images: B x 3 x W x H.
        features: F, what entered the head, B x K x W x H. K is 0 for a teacher of several views.
        logits: B x 3 x W x H.
        teacher: what the mean teacher gave for the target's ``weak``, without gradients; None in a recipe without one.
    """

    network: DiscCupUNet
    images: torch.Tensor
    features: torch.Tensor
    logits: torch.Tensor
    teacher: AdaptationOutput | None = None
