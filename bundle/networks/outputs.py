"""The output of a network in adaptation."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from bundle.networks.unet import DiscCupUNet

__all__ = ["AdaptationOutput"]


@dataclass(frozen=True)
class AdaptationOutput:
    """The output of the network for one batch, which the adaptation losses take.

    Args:
        network: the network that is being adapted.
        images: B x 3 x W x H.
        features: F, the tensor that entered the head, B x K x W x H. K is 0 for a teacher that averages
            several views, and for a network without a head.
        logits: B x 3 x W x H.
        teacher: the mean teacher's output for the target's ``weak`` images, without gradients; None if the recipe has
            no teacher.

    Example:
        >>> network = DiscCupUNet(backbone="efficientnet-lite0-small", decoder_channels=(16, 16, 8, 8)).eval()
        >>> images = torch.zeros(1, 3, 32, 32)
        >>> features = network.features(images)
        >>> AdaptationOutput(network, images, features, network.segmentation_head(features)).logits.shape
        torch.Size([1, 3, 32, 32])
    """

    network: DiscCupUNet
    images: torch.Tensor
    features: torch.Tensor
    logits: torch.Tensor
    teacher: AdaptationOutput | None = None
