"""From three logits (background, disc rim, optic cup) to the two nested structures, optic disc and optic cup."""

from __future__ import annotations

import torch

__all__ = ["CLASSES", "log_odds", "nested_probabilities"]

CLASSES = ("optic_disc", "optic_cup")


def nested_probabilities(logits: torch.Tensor) -> torch.Tensor:
    """Probabilities of the disc (rim and cup together) and of the cup; p_disc >= p_cup by construction.

    Args:
        logits: B x 3 x W x H.

    Returns:
        B x 2 x W x H in [0, 1], disc first: p_rim + p_cup, then p_cup.

    Example:
        >>> p = torch.tensor([0.5, 0.3, 0.2]).view(1, 3, 1, 1)
        >>> nested_probabilities(p.log()).flatten()
        tensor([0.5000, 0.2000])
    """
    p = logits.softmax(dim=1)
    return torch.stack((p[:, 1] + p[:, 2], p[:, 2]), dim=1)


def log_odds(logits: torch.Tensor) -> torch.Tensor:
    """Log-odds z^c = log p^c - log(1 - p^c) of disc and cup, computed from the logits to avoid overflow.

    Args:
        logits: B x 3 x W x H.

    Returns:
        B x 2 x W x H, disc first.

    Example:
        >>> p = torch.tensor([0.5, 0.3, 0.2]).view(1, 3, 1, 1)
        >>> log_odds(p.log()).sigmoid().flatten()
        tensor([0.5000, 0.2000])
    """
    background, rim, cup = logits.unbind(dim=1)
    return torch.stack((torch.logaddexp(rim, cup) - background, cup - torch.logaddexp(background, rim)), dim=1)
