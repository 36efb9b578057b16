"""The masked cross-entropy with the pseudo-labels of stage 1."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn
from torch.nn import functional

from bundle.networks.nested_classes import log_odds
from bundle.networks.outputs import AdaptationOutput

__all__ = ["PseudoLabelLoss"]


class PseudoLabelLoss(nn.Module):
    """sum M * BCE(p, y) / max(sum M, 1), the masked cross-entropy averaged over disc and cup, with an optional anchor.

    y is the pseudo-label and M the mask of the trusted pixels. This term has no effect on the other pixels, among which
    the contour lies; the first steps of training move it, mostly inwards, and nothing moves it back. The anchor keeps
    those pixels near the probability q that stage 1 found: anchor * sum (1 - M) * BCE(p, q) / max(sum M, 1). It is an
    addition of this project.

    Args:
        anchor: weight of the anchor, at least 0; 0 leaves it out.

    Raises:
        ValueError: ``anchor`` is negative.

    Example:
        >>> images, features, logits = torch.zeros(1, 3, 4, 4), torch.zeros(1, 8, 4, 4), torch.zeros(1, 3, 4, 4)
        >>> output = AdaptationOutput(nn.Identity(), images, features, logits)
        >>> everywhere = torch.ones(1, 2, 4, 4)
        >>> PseudoLabelLoss()(output, {"label": everywhere, "mask": everywhere})
        tensor(0.7520)
    """

    def __init__(self, anchor: float = 0.0) -> None:
        super().__init__()
        if anchor < 0:
            raise ValueError(f"anchor must be at least 0, not {anchor}.")
        self.anchor = anchor

    def forward(self, output: AdaptationOutput, target: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Scalar, at least 0; finite and differentiable even where a batch has no trusted pixel.

        Args:
            output: logits are used.
            target: ``label``, ``mask`` and, with an anchor, ``probability``.
        """
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
