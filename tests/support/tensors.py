"""Small questions to tensors."""

from __future__ import annotations

import torch


def gradient_of(leaf: torch.Tensor) -> torch.Tensor:
    """The gradient that ``backward`` left; that there is none fails the test."""
    assert leaf.grad is not None
    return leaf.grad
