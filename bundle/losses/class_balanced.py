"""Class-balanced cross-entropy with a mean teacher: the loss of the recipes ``cbmt`` and ``plus``."""

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
    """Cross-entropy with the mean teacher's pseudo-labels; statistics of the target weight the background pixels.

    This is the loss of CBMT (Tang et al., MICCAI 2023, arXiv 2307.09973). With p the student's and q the teacher's
    probability of class c (disc or cup) at pixel i, and gamma the threshold:

        y_i = [q_i > gamma]
        eta_fg = mean of -log q_i       over the target's pixels with gamma < q_i < 1 - r (1 - gamma)
        eta_bg = mean of -log (1 - q_i) over the target's pixels with r gamma < q_i <= gamma
        w_i = 1 where y_i = 1, eta_fg / eta_bg where y_i = 0
        L = sum w_i BCE(p_i, y_i) / sum w_i, over photographs, pixels and both classes together

    The bounds exclude the many pixels that leave no doubt from the means. As gamma is above 1/2, eta_bg is usually
    larger than eta_fg; the background therefore counts less and does not outweigh the rare foreground. The published
    code has gamma = 0.75, r = 0.2, a teacher momentum of 0.98, weights for the cup alone (the disc's w is 1), Adam at
    5e-4 with betas (0.9, 0.99), a rate that is multiplied by 0.9 after each of 20 epochs, and batches of 8.

    This bundle differs in these points. The means are updated with every batch: each photograph contributes what the
    teacher said when it was last seen, the current batch included. In the first epoch they are therefore means over the
    photographs seen so far. The published code fixes the means for an epoch, and makes an extra pass over the target
    before the first one. Where no pixel counts in a mean, w is 1 (the published code divides by 0). To save time, the
    recipe ``cbmt`` runs 10 epochs at a constant rate. The norm statistics of both student and teacher are fixed.

    The photographs' statistics are part of the state dict, in the order in which the photographs were first seen.

    Args:
        threshold: gamma, in (0, 1).
        bound_ratio: r, in (0, 1): how far from certain a pixel must be to count in the means; 1 would exclude all.
        calibrated: the classes of ``bundle.networks.nested_classes.CLASSES`` whose background is weighted.
        visits: number of a photograph's last visits over which the teacher's probabilities are averaged, at least 1. A
            teacher that looks at another view in each epoch (see ``ViewConsensus``) then gives nearly the mean of all
            views. The photographs must not be moved between visits.

    Raises:
        ValueError: an argument is out of its range.

    Example:
        >>> images, features, logits = torch.zeros(1, 3, 4, 4), torch.zeros(1, 8, 4, 4), torch.zeros(1, 3, 4, 4)
        >>> teacher = AdaptationOutput(nn.Identity(), images, features, logits)
        >>> output = AdaptationOutput(nn.Identity(), images, features, logits, teacher)
        >>> loss = ClassBalancedLoss()
        >>> loss(output, {"name": ["eye"]})  # of background, at a probability of 2/3 for the disc and 1/3 for the cup
        tensor(0.7520)
        >>> loss.background_weights()  # the teacher sees no cup, so nothing is known of it
        tensor([1., 1.], dtype=torch.float64)
    """

    def __init__(
        self,
        threshold: float = 0.75,
        bound_ratio: float = 0.2,
        calibrated: Sequence[str] = ("optic_cup",),
        visits: int = 1,
    ) -> None:
        super().__init__()
        if not 0 < threshold < 1:
            raise ValueError(f"threshold must be in (0, 1), not {threshold}.")
        if not 0 < bound_ratio < 1:
            raise ValueError(f"bound_ratio must be in (0, 1), not {bound_ratio}.")
        unknown = sorted(set(calibrated) - set(CLASSES))
        if unknown:
            raise ValueError(f"calibrated names unknown classes {unknown}; there are {list(CLASSES)}.")
        if visits < 1:
            raise ValueError(f"visits must be at least 1, not {visits}.")
        self.threshold = threshold
        self.lower = bound_ratio * threshold
        self.upper = 1 - bound_ratio * (1 - threshold)
        self.calibrated = tuple(calibrated)
        self.visits = visits
        # 2 x 2 x 2 per photograph: disc and cup; foreground and background; sum of the cross-entropy and pixel count.
        self._known: dict[str, torch.Tensor] = {}
        # Per photograph the number of visits and the mean probabilities, in half precision to save memory.
        self._answers: dict[str, tuple[int, torch.Tensor]] = {}

    def forward(self, output: AdaptationOutput, target: Mapping[str, Any]) -> torch.Tensor:
        """Scalar, at least 0; finite and differentiable even where no pixel exceeds the threshold.

        Args:
            output: with the output of the teacher.
            target: only ``name`` is used, B different names.

        Raises:
            ValueError: ``output`` has no teacher.
        """
        if output.teacher is None:
            raise ValueError("the class-balanced loss needs a mean teacher: set the recipe's 'teacher'.")
        taught = log_odds(output.teacher.logits.detach())
        if self.visits > 1:
            taught = self._averaged(target["name"], taught.sigmoid()).logit(eps=1e-6)
        label = taught.sigmoid() > self.threshold
        self._remember(target["name"], taught, label)
        z = log_odds(output.logits)
        background = self.background_weights().to(z)[:, None, None]
        weight = torch.where(label, torch.ones_like(z), background)
        loss = functional.binary_cross_entropy_with_logits(z, label.to(z), reduction="none")
        return (loss * weight).sum() / weight.sum()

    def background_weights(self) -> torch.Tensor:
        """eta_fg / eta_bg of disc and cup, two positive numbers; 1 for a class not calibrated or without pixels."""
        weights = torch.ones(len(CLASSES), dtype=torch.float64)
        if self._known:
            loss, count = torch.stack(list(self._known.values())).sum(dim=0).unbind(dim=-1)
            for c, name in enumerate(CLASSES):
                if name in self.calibrated and (count[c] > 0).all():
                    foreground, background = loss[c] / count[c]
                    weights[c] = foreground / background
        return weights

    def _averaged(self, names: Sequence[str], q: torch.Tensor) -> torch.Tensor:
        for i, name in enumerate(names):
            count, mean = self._answers.get(name, (0, q[i]))
            count = min(count + 1, self.visits)
            mean = mean.to(q)
            self._answers[name] = (count, (mean + (q[i] - mean) / count).half())
        return torch.stack([self._answers[name][1] for name in names]).to(q)

    def _remember(self, names: Sequence[str], taught: torch.Tensor, label: torch.Tensor) -> None:
        q = taught.sigmoid()
        # softplus(-z) = -log q and softplus(z) = -log(1 - q) do not overflow.
        losses = torch.stack((functional.softplus(-taught), functional.softplus(taught)), dim=2)
        doubtful = torch.stack((label & (q < self.upper), ~label & (q > self.lower)), dim=2)
        sums = torch.stack(((losses.double() * doubtful).sum(dim=(3, 4)), doubtful.double().sum(dim=(3, 4))), dim=-1)
        self._known |= dict(zip(names, sums.cpu(), strict=True))

    def get_extra_state(self) -> dict[str, Any]:
        """What is known of each photograph: ``names`` and ``sums`` (N x 2 x 2 x 2); ``answers`` of its last visits."""
        empty = torch.zeros(0, 2, 2, 2, dtype=torch.float64)
        return {
            "names": list(self._known),
            "sums": torch.stack(list(self._known.values())) if self._known else empty,
            "answers": {name: (count, mean.cpu()) for name, (count, mean) in self._answers.items()},
        }

    def set_extra_state(self, state: Mapping[str, Any]) -> None:
        """Restore what ``get_extra_state`` returned."""
        self._known = dict(zip(state["names"], state["sums"].clone(), strict=True))
        self._answers = {name: (count, mean.clone()) for name, (count, mean) in state.get("answers", {}).items()}
