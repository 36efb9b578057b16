"""Labels of a batch, their uncertainty, and the features for the prototypes, all from stochastic passes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from bundle.networks.head import dropout_of
from bundle.networks.unet import DiscCupUNet
from bundle.refinement.class_features import GradientFeatures, heat_maps
from bundle.uncertainty.agreement import agreement
from bundle.uncertainty.dropout_passes import channel_masks, stochastic_log_odds, stochastic_logits

__all__ = ["UNCERTAINTIES", "Labelling", "PseudoLabeller"]

UNCERTAINTIES = ("prob", "prob+cam")


@dataclass(frozen=True)
class Labelling:
    """The results of stage 1 for a batch before the prototypes are known; disc first, then cup.

    Attributes:
        label: y, the pixels labelled as part of the structure, B x 2 x W x H, bool.
        reliable: R, the pixels of low uncertainty, B x 2 x W x H, bool.
        probability: p, mean over the passes, B x 2 x W x H in [0, 1].
        uncertainty: u, B x 2 x W x H, at least 0.
        features: A, the class features, B x 2 x K x W x H, half precision.
        agreement: agreement of the passes, B x 2 in [0, 1].
    """

    label: torch.Tensor
    reliable: torch.Tensor
    probability: torch.Tensor
    uncertainty: torch.Tensor
    features: torch.Tensor
    agreement: torch.Tensor


class PseudoLabeller:
    """Find labels, their uncertainty and class features of a batch, all by passes through the head alone.

    Args:
        gradient_features: computes the class-specific features.
        passes: T, the number of stochastic passes, at least 2.
        seed: seed of the dropout masks.
        label_threshold: y^c = [p^c > label_threshold] (DPL: 0.75).
        uncertainty_threshold: R^c = [u^c < uncertainty_threshold] (DPL: 0.05).
        uncertainty: ``prob`` (standard deviation of sigma(z / 2) over the passes, as in DPL) or ``prob+cam`` (the
            larger of that and the standard deviation of the class's heat map).

    Raises:
        ValueError: ``uncertainty`` is neither of the two, ``prob+cam`` is combined with gradient features of another
            layer than the head's input, or there are fewer than two passes.

    Example:
        >>> network = DiscCupUNet(backbone="efficientnet-lite0-small", decoder_channels=(16, 16, 8, 8)).eval()
        >>> images = torch.zeros(1, 3, 32, 32)
        >>> found = PseudoLabeller(GradientFeatures())(network, images, network.features(images), ["eye"])
        >>> found.label.shape, found.features.shape
        (torch.Size([1, 2, 32, 32]), torch.Size([1, 2, 8, 32, 32]))
    """

    def __init__(
        self,
        gradient_features: GradientFeatures,
        passes: int = 10,
        seed: int = 0,
        label_threshold: float = 0.75,
        uncertainty_threshold: float = 0.05,
        uncertainty: str = "prob",
    ) -> None:
        if uncertainty not in UNCERTAINTIES:
            raise ValueError(f"uncertainty must be one of {UNCERTAINTIES}, not {uncertainty!r}.")
        if uncertainty == "prob+cam" and gradient_features.layer != "head":
            raise ValueError("uncertainty 'prob+cam' needs gradient features of layer 'head', which differ by pass.")
        if passes < 2:
            raise ValueError(f"uncertainty needs at least two passes, not {passes}.")
        self.gradient_features = gradient_features
        self.passes = passes
        self.seed = seed
        self.label_threshold = label_threshold
        self.uncertainty_threshold = uncertainty_threshold
        self.uncertainty = uncertainty

    def __call__(
        self, network: DiscCupUNet, images: torch.Tensor, features: torch.Tensor, names: Sequence[str]
    ) -> Labelling:
        """Label a batch.

        Args:
            network: in evaluation mode.
            images: B x 3 x W x H.
            features: F, the head's input for these images, B x K x W x H.
            names: of the photographs, B; a photograph's dropout masks depend on its name and the seed alone.
        """
        head = network.segmentation_head
        dropout = channel_masks(names, self.passes, features.shape[1], dropout_of(head), self.seed).to(features)
        logits = stochastic_logits(head, features, dropout)
        z = stochastic_log_odds(logits)
        probability = z.sigmoid().mean(dim=1)
        label = probability > self.label_threshold
        found = self.gradient_features(network, images, features, logits, dropout, label)
        uncertainty = (z / 2).sigmoid().std(dim=1)
        if self.uncertainty == "prob+cam":
            uncertainty = uncertainty.maximum(heat_maps(found.weights, features).std(dim=1))
        reliable = uncertainty < self.uncertainty_threshold
        # The prototypes must be made from the same numbers that are stored, or a resumed run would differ.
        return Labelling(label, reliable, probability, uncertainty, found.features.half(), agreement(z))
