"""Losses of adaptation. Each is a module ``(output, target) -> scalar`` that a recipe weighs by name.

``output`` is an ``AdaptationOutput``; ``target`` holds ``name`` (the photographs' names), ``weak`` (the photographs
before their colours were changed, B x 3 x W x H) and, in a recipe that runs stage 1, its ``label``, ``mask`` and
``probability`` (B x 2 x W x H, disc and cup).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

from bundle.class_features import GradientFeatures
from bundle.network import DiscCupUNet
from bundle.passes import classifier_of
from bundle.regions import log_odds, nested_probabilities

__all__ = ["AdaptationLoss", "AdaptationOutput", "ConsistencyLoss", "PseudoLabelLoss", "SeparationLoss"]


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


class PseudoLabelLoss(nn.Module):
    """sum M * BCE(p, y) / max(sum M, 1), the mean over disc and cup of the masked cross-entropy, with an anchor.

    The masked term alone says nothing about the pixels between the trusted ones, where the contour lies; the first
    steps of training move it, mostly inwards, and nothing brings it back. The anchor holds those pixels to the
    probability q that stage 1 found: anchor * sum (1 - M) * BCE(p, q) / max(sum M, 1). The anchor is this project's.

    Args:
        anchor: its weight, at least 0; 0 leaves it out.

    Raises:
        ValueError: when ``anchor`` is negative.
    """

    def __init__(self, anchor: float = 0.0) -> None:
        super().__init__()
        if anchor < 0:
            raise ValueError(f"anchor must be at least 0, not {anchor}.")
        self.anchor = anchor

    def forward(self, output: AdaptationOutput, target: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Scalar; finite and differentiable where a batch has no trusted pixel."""
        z = log_odds(output.logits)
        mask = target["mask"].to(z)
        loss = self._total(z, target["label"], mask)
        if self.anchor:
            loss = loss + self.anchor * self._total(z, target["probability"], 1 - mask)
        return (loss / mask.sum(dim=(0, 2, 3)).clamp(min=1)).mean()

    @staticmethod
    def _total(z: torch.Tensor, label: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        loss = functional.binary_cross_entropy_with_logits(z, label.to(z), reduction="none")
        return (loss * weight).sum(dim=(0, 2, 3))


class ConsistencyLoss(nn.Module):
    """The student, who sees changed colours, is held to what the mean teacher says of the photograph itself.

    Binary cross-entropy of disc and cup against the teacher's probabilities q, which stay soft: where the teacher is
    in doubt, along the contour, a hard label would only repeat its first guess. The sum over the pixels is divided by
    the number of pixels that the teacher gives the structure, so that the small cup counts as much as the disc. To this
    can come 1 - soft Dice, which sees the structure as a whole.

    Args:
        dice: weight of the Dice term, at least 0.

    Raises:
        ValueError: when ``dice`` is negative.
    """

    def __init__(self, dice: float = 0.0) -> None:
        super().__init__()
        if dice < 0:
            raise ValueError(f"dice must be at least 0, not {dice}.")
        self.dice = dice

    def forward(self, output: AdaptationOutput, target: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Scalar; finite also where the teacher sees no cup.

        Raises:
            ValueError: when the recipe has no teacher.
        """
        if output.teacher is None:
            raise ValueError("the consistency loss needs a recipe with a teacher.")
        z, q = log_odds(output.logits), nested_probabilities(output.teacher.logits)
        entropy = functional.binary_cross_entropy_with_logits(z, q, reduction="none").sum(dim=(0, 2, 3))
        size = q.sum(dim=(0, 2, 3)).clamp(min=1)
        p = z.sigmoid()
        overlap = 2 * (p * q).sum(dim=(0, 2, 3)) / (p.sum(dim=(0, 2, 3)) + size).clamp(min=1)
        return (entropy / size + self.dice * (1 - overlap)).mean()


class SeparationLoss(nn.Module):
    """L_cos: mean over the photographs of relu(cos(v_cup, v_rim) - margin).

    v_cup is the mean of A^cup over trusted cup pixels and v_rim the mean of A^disc over trusted disc pixels outside the
    cup: the whole disc would push the cup against itself. The channel weights alpha are constants of the loss; what
    moves is F. Grad-CL's abstract names "a contrastive loss based on cosine similarity"; the rest is this project's.

    Args:
        gradient_features: gives A; only its ``cam`` mode on the head's input lets a gradient through.
        margin: cosine that is not punished, in [-1, 1].
        min_pixels: photographs with fewer trusted pixels of either class are passed over.
    """

    def __init__(self, gradient_features: GradientFeatures, margin: float = 0.0, min_pixels: int = 16) -> None:
        super().__init__()
        if (gradient_features.layer, gradient_features.mode) != ("head", "cam"):
            raise ValueError("the separation loss needs gradient features of layer 'head' and mode 'cam'.")
        self.gradient_features = gradient_features
        self.margin = margin
        self.min_pixels = min_pixels

    def forward(self, output: AdaptationOutput, target: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Scalar in [0, 1 - margin]; 0, and still differentiable, where no photograph has enough pixels."""
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
        """cos(v_cup, v_rim) of each photograph, B values in [0, 1]."""
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


def masked_mean(features: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Mean of B x K x W x H features over B x W x H pixels, as B x K; 0 where a photograph has none."""
    m = mask.to(features)
    return torch.einsum("bkxy,bxy->bk", features, m) / m.sum(dim=(1, 2)).clamp(min=1)[:, None]


class AdaptationLoss(nn.Module):
    """The weighted sum of a recipe's losses.

    Args:
        losses: every loss there is, by name.
        weights: the recipe's weights, by name.

    Attributes:
        values: each loss's latest value, by name, for the log.

    Raises:
        ValueError: when a weight names no loss.
    """

    def __init__(self, losses: Mapping[str, nn.Module], weights: Mapping[str, float]) -> None:
        super().__init__()
        unknown = sorted(set(weights) - set(losses))
        if unknown:
            raise ValueError(f"unknown losses {unknown}; there are {sorted(losses)}.")
        self.losses = nn.ModuleDict({name: losses[name] for name in weights})
        self.weights = dict(weights)
        self.values: dict[str, float] = {}

    def forward(self, output: AdaptationOutput, target: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """The weighted sum, a scalar."""
        terms = {name: loss(output, target) for name, loss in self.losses.items()}
        self.values = {name: float(value.detach()) for name, value in terms.items()}
        return torch.stack([self.weights[name] * value for name, value in terms.items()]).sum()
