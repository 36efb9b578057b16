"""How far several answers agree, and the Dice that one answer expects of itself."""

from __future__ import annotations

import torch

from bundle.networks.nested_classes import nested_probabilities

__all__ = ["agreement", "expected_dice"]


def agreement(z: torch.Tensor) -> torch.Tensor:
    """How far the passes agree: mean Dice between each pass's structure and that of the mean probability.

    It needs no labels; where it is low the Dice against a label is likely to be low too.

    Args:
        z: log-odds of T passes, B x T x 2 x W x H.

    Returns:
        B x 2 in [0, 1], disc and cup; 1 where neither any pass nor the mean shows the structure.
    """
    passes = (z > 0).flatten(3)
    mean = (z.sigmoid().mean(dim=1, keepdim=True) > 0.5).flatten(3)
    overlap = (passes & mean).sum(dim=3).float()
    total = (passes.sum(dim=3) + mean.sum(dim=3)).float()
    return torch.where(total > 0, 2 * overlap / total.clamp(min=1), torch.ones_like(total)).mean(dim=1)


def expected_dice(logits: torch.Tensor) -> torch.Tensor:
    """The Dice that is expected if the probabilities are true: 2 sum(p y) / (sum(p) + sum(y)), with y = p > 0.5.

    It needs one pass and no labels. The more of a structure lies in doubt, the lower it is, and a structure of which
    nothing is beyond doubt has none.

    Args:
        logits: B x 3 x W x H.

    Returns:
        B x 2 in [0, 1], disc and cup; 0 where nothing of the structure is predicted.
    """
    p = nested_probabilities(logits).flatten(2)
    y = (p > 0.5).to(p)
    return 2 * (p * y).sum(dim=2) / (p + y).sum(dim=2).clamp(min=1e-6)
