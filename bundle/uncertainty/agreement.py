"""Estimates of a prediction's quality without labels: agreement of several passes, and expected Dice of one pass."""

from __future__ import annotations

import torch

from bundle.networks.nested_classes import nested_probabilities

__all__ = ["agreement", "expected_dice"]


def agreement(z: torch.Tensor) -> torch.Tensor:
    """Agreement of several passes: mean Dice between each pass's structure and that of the mean probability.

    It needs no labels. If it is low, the Dice with a label is likely to be low too.

    Args:
        z: log-odds of T passes, B x T x 2 x W x H.

    Returns:
        B x 2 in [0, 1], disc and cup; 1 if neither a pass nor the mean shows the structure.

    Example:
        >>> z = torch.full((1, 2, 2, 4, 4), 3.0)  # two passes that see disc and cup everywhere
        >>> z[:, 1, 1, :2] = -1.0  # but the second sees the cup in one half only
        >>> agreement(z)
        tensor([[1.0000, 0.8333]])
    """
    passes = (z > 0).flatten(3)
    mean = (z.sigmoid().mean(dim=1, keepdim=True) > 0.5).flatten(3)
    overlap = (passes & mean).sum(dim=3).float()
    total = (passes.sum(dim=3) + mean.sum(dim=3)).float()
    return torch.where(total > 0, 2 * overlap / total.clamp(min=1), torch.ones_like(total)).mean(dim=1)


def expected_dice(logits: torch.Tensor) -> torch.Tensor:
    """The Dice to expect if the probabilities are correct: 2 sum(p y) / (sum(p) + sum(y)), with y = [p > 0.5].

    It needs one pass and no labels. The larger the part of a structure whose probability is near neither 0 nor 1, the
    lower it is.

    Args:
        logits: B x 3 x W x H.

    Returns:
        B x 2 in [0, 1], disc and cup; 0 if no pixel of the structure exceeds a probability of 0.5.

    Example:
        >>> p = torch.tensor([0.1, 0.6, 0.3]).view(1, 3, 1, 1).expand(1, 3, 8, 8)  # disc 0.9, cup 0.3
        >>> expected_dice(p.log())
        tensor([[0.9474, 0.0000]])
    """
    p = nested_probabilities(logits).flatten(2)
    y = (p > 0.5).to(p)
    return 2 * (p * y).sum(dim=2) / (p + y).sum(dim=2).clamp(min=1e-6)
