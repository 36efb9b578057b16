"""The masked cross-entropy with stage 1's pseudo-labels."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn
from torch.nn import functional

from bundle.networks.nested_classes import log_odds
from bundle.networks.outputs import AdaptationOutput

__all__ = ["PseudoLabelLoss"]


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
