"""The contrastive loss of Grad-CL, which keeps the features of cup and rim apart."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn
from torch.nn import functional

from bundle.losses.base import masked_mean
from bundle.networks.head import classifier_of
from bundle.networks.outputs import AdaptationOutput
from bundle.refinement.class_features import GradientFeatures

__all__ = ["SeparationLoss"]


class SeparationLoss(nn.Module):
    """L_cos: mean over the photographs of relu(cos(v_cup, v_rim) - margin).

    v_cup is the mean of A^cup over trusted cup pixels, and v_rim the mean of A^disc over trusted disc pixels outside
    the cup; the whole disc would push the cup away from itself. The gradient reaches F alone: the channel weights alpha
    count as constants. Grad-CL's abstract (arXiv 2509.10134) names "a contrastive loss based on cosine similarity"; the
    rest is this project's.

    Args:
        gradient_features: computes A; only mode ``cam`` on the head's input lets a gradient through.
        margin: cosine up to which nothing is penalised, in [-1, 1].
        min_pixels: photographs with fewer trusted pixels of either class are left out.

    Raises:
        ValueError: ``gradient_features`` has another layer or mode.

    Example:
        >>> from bundle.networks.unet import DiscCupUNet
        >>> network = DiscCupUNet(backbone="efficientnet-lite0-small", decoder_channels=(16, 16, 8, 8)).eval()
        >>> features = torch.rand(2, 8, 16, 16)
        >>> logits = network.segmentation_head(features)
        >>> output = AdaptationOutput(network, torch.zeros(2, 3, 16, 16), features, logits)
        >>> label = torch.ones(2, 2, 16, 16)
        >>> label[:, 1, :8] = 0  # the left half is rim, the right half cup
        >>> loss = SeparationLoss(GradientFeatures())(output, {"label": label, "mask": torch.ones_like(label)})
        >>> 0 <= loss.item() <= 1
        True
    """

    needs_head = True

    def __init__(self, gradient_features: GradientFeatures, margin: float = 0.0, min_pixels: int = 16) -> None:
        super().__init__()
        if (gradient_features.layer, gradient_features.mode) != ("head", "cam"):
            raise ValueError("the separation loss needs gradient features of layer 'head' and mode 'cam'.")
        self.gradient_features = gradient_features
        self.margin = margin
        self.min_pixels = min_pixels

    def forward(self, output: AdaptationOutput, target: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Scalar in [0, 1 - margin]; where no photograph has enough pixels it is 0 and still differentiable.

        Args:
            output: of the network that is adapted.
            target: ``label`` and ``mask``.
        """
        label, mask = target["label"] > 0.5, target["mask"] > 0.5
        cup = label[:, 1] & mask[:, 1]
        rim = label[:, 0] & mask[:, 0] & ~label[:, 1] & mask[:, 1]
        enough = (cup.sum(dim=(1, 2)) >= self.min_pixels) & (rim.sum(dim=(1, 2)) >= self.min_pixels)
        if not enough.any():
            return output.features.sum() * 0
        cosine = self.cosine(output, label, cup, rim)
        return (cosine - self.margin).relu()[enough].mean()

    def cosine(
        self, output: AdaptationOutput, label: torch.Tensor, cup: torch.Tensor, rim: torch.Tensor
    ) -> torch.Tensor:
        """cos(v_cup, v_rim) of each photograph, B values in [0, 1].

        Args:
            output: of the network that is adapted.
            label: of disc and cup, B x 2 x W x H booleans.
            cup: trusted pixels of the cup, B x W x H.
            rim: trusted pixels of the rim, B x W x H.
        """
        features = output.features
        no_dropout = features.new_ones(len(features), 1, features.shape[1])
        with torch.no_grad():
            logits = classifier_of(output.network.segmentation_head)(features)[:, None]
            weights = self.gradient_features(
                output.network, output.images, features, logits, no_dropout, label
            ).weights[:, 0]
        v_disc, v_cup = (
            masked_mean((weights[:, c, :, None, None] * features).relu(), where) for c, where in ((0, rim), (1, cup))
        )
        return functional.cosine_similarity(v_cup, v_disc, dim=1)
