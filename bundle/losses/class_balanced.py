"""The loss of the recipe ``cbmt``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from bundle.networks.nested_classes import CLASSES, log_odds
from bundle.networks.outputs import AdaptationOutput

__all__ = ["ClassBalancedLoss"]


class ClassBalancedLoss(nn.Module):
    """Cross-entropy with the mean teacher's pseudo-labels, its background weighed by what is known of all photographs.

    CBMT (Tang et al., MICCAI 2023, arXiv 2307.09973). With p the student's and q the teacher's probability of class c
    (disc or cup) at pixel i, and gamma the threshold:

        y_i = [q_i > gamma]
        eta_fg = mean of -log q_i       over the target's pixels with gamma < q_i < 1 - r (1 - gamma)
        eta_bg = mean of -log (1 - q_i) over the target's pixels with r gamma < q_i <= gamma
        w_i = 1 where y_i = 1, eta_fg / eta_bg where y_i = 0
        L = sum w_i BCE(p_i, y_i) / sum w_i, over photographs, pixels and both classes together

    The bounds keep the many pixels that are beyond doubt out of the means. As gamma lies above 1/2, eta_bg mostly
    exceeds eta_fg, so that background counts less and the rare foreground is not drowned. The published code: gamma =
    0.75, r = 0.2, teacher 0.98, the cup alone is weighed (the disc's w is 1), Adam at 5e-4 with betas (0.9, 0.99),
    times 0.9 after each of 20 epochs, batches of 8.

    Otherwise in this bundle: the means are running ones. Each photograph keeps what the teacher said when it was last
    seen, and the batch at hand counts already; the code freezes the means over an epoch, and passes over the target
    once more before the first. In the first epoch they are therefore those of the photographs seen so far. Where a mean
    has no pixel, w is 1 (the code divides by 0). The recipe runs 10 epochs at a constant rate, to spare time, and norm
    statistics are fixed for student and teacher alike.

    What is remembered is part of the state dict, in the order in which the photographs were first seen.

    Args:
        threshold: gamma, in (0, 1).
        bound_ratio: r, in (0, 1): how far from certain a pixel must be to count in the means; 1 would leave none.
        calibrated: the classes of ``bundle.regions.CLASSES`` whose background is weighed.

    Raises:
        ValueError: when an argument is out of its range.
    """

    def __init__(
        self, threshold: float = 0.75, bound_ratio: float = 0.2, calibrated: Sequence[str] = ("optic_cup",)
    ) -> None:
        super().__init__()
        if not 0 < threshold < 1:
            raise ValueError(f"threshold must be in (0, 1), not {threshold}.")
        if not 0 < bound_ratio < 1:
            raise ValueError(f"bound_ratio must be in (0, 1), not {bound_ratio}.")
        unknown = sorted(set(calibrated) - set(CLASSES))
        if unknown:
            raise ValueError(f"calibrated names unknown classes {unknown}; there are {list(CLASSES)}.")
        self.threshold = threshold
        self.lower = bound_ratio * threshold
        self.upper = 1 - bound_ratio * (1 - threshold)
        self.calibrated = tuple(calibrated)
        # For each photograph 2 x 2 x 2: disc and cup; foreground and background; sum of the cross-entropy and count.
        self._known: dict[str, torch.Tensor] = {}

    def forward(self, output: AdaptationOutput, target: Mapping[str, Any]) -> torch.Tensor:
        """Scalar, at least 0; finite and differentiable also where no pixel exceeds the threshold.

        Args:
            output: with what the teacher gave.
            target: ``name`` alone is looked at, B different names.

        Raises:
            ValueError: when ``output`` has no teacher.
        """
        if output.teacher is None:
            raise ValueError("the class-balanced loss needs a mean teacher: set the recipe's 'teacher'.")
        taught = log_odds(output.teacher.logits.detach())
        label = taught.sigmoid() > self.threshold
        self._remember(target["name"], taught, label)
        z = log_odds(output.logits)
        background = self.background_weights().to(z)[:, None, None]
        weight = torch.where(label, torch.ones_like(z), background)
        loss = functional.binary_cross_entropy_with_logits(z, label.to(z), reduction="none")
        return (loss * weight).sum() / weight.sum()

    def background_weights(self) -> torch.Tensor:
        """eta_fg / eta_bg of disc and cup, two positive numbers; 1 for a class that is not calibrated or not known."""
        weights = torch.ones(len(CLASSES), dtype=torch.float64)
        if self._known:
            loss, count = torch.stack(list(self._known.values())).sum(dim=0).unbind(dim=-1)
            for c, name in enumerate(CLASSES):
                if name in self.calibrated and (count[c] > 0).all():
                    foreground, background = loss[c] / count[c]
                    weights[c] = foreground / background
        return weights

    def _remember(self, names: Sequence[str], taught: torch.Tensor, label: torch.Tensor) -> None:
        q = taught.sigmoid()
        # softplus(-z) = -log q and softplus(z) = -log(1 - q) do not overflow.
        losses = torch.stack((functional.softplus(-taught), functional.softplus(taught)), dim=2)
        doubtful = torch.stack((label & (q < self.upper), ~label & (q > self.lower)), dim=2)
        sums = torch.stack(((losses.double() * doubtful).sum(dim=(3, 4)), doubtful.double().sum(dim=(3, 4))), dim=-1)
        self._known |= dict(zip(names, sums.cpu(), strict=True))

    def get_extra_state(self) -> dict[str, Any]:
        """What is remembered of each photograph: ``names``, and ``sums`` (N x 2 x 2 x 2)."""
        empty = torch.zeros(0, 2, 2, 2, dtype=torch.float64)
        return {"names": list(self._known), "sums": torch.stack(list(self._known.values())) if self._known else empty}

    def set_extra_state(self, state: Mapping[str, Any]) -> None:
        """Take over what ``get_extra_state`` gave."""
        self._known = dict(zip(state["names"], state["sums"].clone(), strict=True))
