"""The loss of the first stage of the recipe ``pfa``, re-implemented.

Yu et al., "Source-free domain adaptation for medical image segmentation via prototype-anchored feature alignment and
contrastive learning" (MICCAI 2023, arXiv 2307.09769).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from bundle.losses.functional import transport_costs
from bundle.losses.pixels import HEAD_CLASSES, ScheduledLoss, as_pixels, random_grid
from bundle.networks.head import classifier_of
from bundle.networks.outputs import AdaptationOutput

__all__ = ["TransportLoss"]


class TransportLoss(ScheduledLoss):
    """The mean of both transport costs between the features F and the classifier's weights (``transport_costs``).

    The weights of the pointwise classifier are the source's prototypes; they get no gradient. The classes' proportions
    start out equal, and each batch moves them by ``rate`` towards its mean assignment. As published: temperature 0.1,
    and the mean of both costs. Different: a grid of pixels instead of all, and a larger rate; at the published 0.001
    the proportions would hardly move in the few dozen steps of a recipe.

    Args:
        temperature: temperature of the assignments, above 0.
        rate: share of a batch in the new proportions, in [0, 1].
        stride: distance in pixels between the points of the grid that is used; its position is random in each batch.
        last_epoch: last epoch of the stage, from 1; after it the loss is 0. None for no end.

    Example:
        >>> from bundle.networks.unet import DiscCupUNet
        >>> network = DiscCupUNet(backbone="efficientnet-lite0-small", decoder_channels=(16, 16, 8, 8)).eval()
        >>> features = torch.rand(2, 8, 16, 16)
        >>> logits = network.segmentation_head(features)
        >>> output = AdaptationOutput(network, torch.zeros(2, 3, 16, 16), features, logits)
        >>> 0 <= TransportLoss()(output, {"name": ["left", "right"]}).item() <= 2
        True
    """

    proportions: torch.Tensor

    needs_head = True

    def __init__(
        self, temperature: float = 0.1, rate: float = 0.1, stride: int = 4, last_epoch: int | None = None
    ) -> None:
        super().__init__()
        self.temperature = temperature
        self.rate = rate
        self.stride = stride
        self.last_epoch = last_epoch
        self.register_buffer("proportions", torch.full((HEAD_CLASSES,), 1 / HEAD_CLASSES))

    def forward(self, output: AdaptationOutput, target: Mapping[str, Any]) -> torch.Tensor:
        """Scalar in [0, 2]; of ``target`` only ``name`` is used."""
        epoch = self.epoch_of(target["name"])
        if self.last_epoch is not None and epoch > self.last_epoch:
            return output.features.sum() * 0
        x, y = random_grid(self.stride, *output.features.shape[2:])
        features = as_pixels(output.features[:, :, x, y])
        prototypes = classifier_of(output.network.segmentation_head).weight.detach().flatten(1)
        before = self.proportions.to(features)
        with torch.no_grad():
            assignment = (features @ prototypes.T / self.temperature + before.clamp(min=1e-6).log()).softmax(dim=1)
        self.proportions = before.lerp(assignment.mean(dim=0), self.rate)
        there, back = transport_costs(features, prototypes, self.proportions, self.temperature)
        return (there + back) / 2
