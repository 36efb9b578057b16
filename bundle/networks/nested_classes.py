"""From three logits (background, disc rim, optic cup) to the two nested structures, optic disc and optic cup."""

from __future__ import annotations

import torch

__all__ = ["CLASSES", "log_odds", "nested_probabilities"]

CLASSES = ("optic_disc", "optic_cup")


def nested_probabilities(logits: torch.Tensor) -> torch.Tensor:
    """p_disc = p_rim + p_cup and p_cup, so that the cup lies in the disc by construction.

    Args:
        logits: B x 3 x W x H.

    Returns:
        B x 2 x W x H in [0, 1], disc first.
    """
    p = logits.softmax(dim=1)
    return torch.stack((p[:, 1] + p[:, 2], p[:, 2]), dim=1)


def log_odds(logits: torch.Tensor) -> torch.Tensor:
    """Class scores z^c = log p^c - log(1 - p^c) of disc and cup, computed on the logits so that none overflows.

    Args:
        logits: B x 3 x W x H.

    Returns:
        B x 2 x W x H, disc first.
    """
    background, rim, cup = logits.unbind(dim=1)
    return torch.stack((torch.logaddexp(rim, cup) - background, cup - torch.logaddexp(background, rim)), dim=1)
