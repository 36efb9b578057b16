"""The first loss of the recipe ``pfa``, re-implemented.

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
    """First stage of ``pfa``: the mean of both transport costs between F and the classifier's weights.

    The weights of the pointwise classifier are the source's prototypes; they are constants of the loss. The proportions
    of the classes start alike and follow each batch's mean assignment at ``rate``. Published: temperature 0.1, both
    costs halved, all pixels, and a rate of 0.001, at which the few dozen steps of a recipe would estimate nothing.

    Args:
        temperature: of the assignments, above 0.
        rate: share of a batch in the proportions, in [0, 1].
        stride: of the grid of pixels that is used, randomly placed in each batch.
        last_epoch: the stage's last, after which the loss is 0; None for no end.
    """

    proportions: torch.Tensor

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
        """Scalar in [0, 2]."""
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
