"""Consistency of the student with its mean teacher."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn
from torch.nn import functional

from bundle.networks.nested_classes import log_odds, nested_probabilities
from bundle.networks.outputs import AdaptationOutput

__all__ = ["ConsistencyLoss"]


class ConsistencyLoss(nn.Module):
    """Make the student, which sees changed colours, agree with the teacher, which sees the photograph unchanged.

    Binary cross-entropy of disc and cup against the teacher's probabilities q, which stay soft: where the teacher is
    uncertain, along the contour, a hard label would only repeat its first guess. The sum over the pixels is divided by
    the area that the teacher gives the structure, which makes the small cup count as much as the disc. An optional
    second term, 1 - soft Dice, compares the structures as a whole.

    Args:
        dice: weight of the Dice term, at least 0.

    Raises:
        ValueError: ``dice`` is negative.

    Example:
        >>> images, features, logits = torch.zeros(1, 3, 4, 4), torch.zeros(1, 8, 4, 4), torch.zeros(1, 3, 4, 4)
        >>> teacher = AdaptationOutput(nn.Identity(), images, features, logits)
        >>> ConsistencyLoss()(AdaptationOutput(nn.Identity(), images, features, logits, teacher), {})
        tensor(1.4322)
    """

    def __init__(self, dice: float = 0.0) -> None:
        super().__init__()
        if dice < 0:
            raise ValueError(f"dice must be at least 0, not {dice}.")
        self.dice = dice

    def forward(self, output: AdaptationOutput, target: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Scalar, at least 0; finite even where the teacher sees no cup. ``target`` is not used.

        Raises:
            ValueError: ``output`` has no teacher.
        """
        if output.teacher is None:
            raise ValueError("the consistency loss needs a recipe with a teacher.")
        z, q = log_odds(output.logits), nested_probabilities(output.teacher.logits)
        entropy = functional.binary_cross_entropy_with_logits(z, q, reduction="none").sum(dim=(0, 2, 3))
        size = q.sum(dim=(0, 2, 3)).clamp(min=1)
        p = z.sigmoid()
        overlap = 2 * (p * q).sum(dim=(0, 2, 3)) / (p.sum(dim=(0, 2, 3)) + size).clamp(min=1)
        return (entropy / size + self.dice * (1 - overlap)).mean()
