"""Averaging the weights of several models of one architecture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

__all__ = ["average_weights"]


def average_weights(states: Sequence[Mapping[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    """Average each weight over several stages of one training run.

    Each model must have continued the training of the one before it. On photographs that differ from the training
    photographs, the averaged model is often more reliable than any single one (Wortsman et al., "Model soups", ICML
    2022).

    Args:
        states: the models' state dicts, at least one, in the order in which they were trained.

    Returns:
        A state dict. Counters, which cannot be averaged, come from the last model.

    Example:
        >>> average_weights([{"w": torch.tensor([1.0])}, {"w": torch.tensor([3.0])}])
        {'w': tensor([2.])}
    """
    return {
        name: torch.stack([state[name] for state in states]).mean(dim=0) if value.is_floating_point() else value
        for name, value in states[-1].items()
    }
