"""Labels that several readers drew: how many of them drew a structure at each pixel."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

__all__ = ["SHARES", "SHARE_SETS", "is_soft", "pooled", "shares_of", "without_structure"]

SHARES = 60
"""A share of readers is kept as so many parts: exact for one to six readers, and for ten, twelve and fifteen."""
_BOTH, _DISC, _CUP = 1024, 8192, 16384
"""Where the values start that stand for shares: of disc and cup, of the disc alone and of the cup alone."""
_STEP = 64
SHARE_SETS: tuple[tuple[int, ...], ...] = ((0,), (1,), (2,), (1, 2), (0, 1))
"""The classes (0 background, 1 rim, 2 cup) that each share of ``shares_of`` leaves open."""


def pooled(labels: Sequence[NDArray[np.uint8]]) -> NDArray[np.int32]:
    """One label of what several readers drew.

    A reader who drew the disc alone counts for the disc, one who drew the cup alone for the cup; what nobody drew stays
    away.

    Args:
        labels: W x H of 0 (background), 1 (disc rim) and 2 (cup), one per reader, of one size.

    Returns:
        W x H: 0, 1 and 2 where all agree, other values as ``shares_of`` reads them.

    Example:
        >>> one, other = np.array([[0, 1, 2]], np.uint8), np.array([[1, 1, 2]], np.uint8)
        >>> label = pooled([one, other])
        >>> shares_of(torch.from_numpy(label))[1].tolist(), label[0, 1:].tolist()
        ([[0.5, 0.0, 0.0]], [1, 2])
    """
    stack = np.stack(labels)
    has_rim, has_cup = ((stack == value).any(axis=(1, 2)) for value in (1, 2))
    neither = ~(has_rim | has_cup)
    disc = _share(stack[has_rim | neither] >= 1)
    cup = _share(stack[has_cup | neither | ~has_cup.any()] == 2)
    if not has_rim.any():
        disc = cup
    disc = np.maximum(disc, cup)
    certain = np.isin(disc, (0, SHARES)) & np.isin(cup, (0, SHARES))
    return np.where(certain, (disc > 0).astype(np.int32) + (cup > 0), _BOTH + _STEP * disc + cup).astype(np.int32)


def _share(drawn: NDArray[np.bool_]) -> NDArray[np.int64]:
    return np.round(drawn.mean(axis=0) * SHARES).astype(int) if len(drawn) else np.zeros(drawn.shape[1:], int)


def is_soft(label: torch.Tensor) -> torch.Tensor:
    """Where a label's value stands for shares of readers.

    Example:
        >>> is_soft(torch.tensor([0, 2, 255, 1024 + 64 * 30])).tolist()
        [False, False, False, True]
    """
    # PyTorch compares small integers after wrapping the constant round.
    return label.float() >= _BOTH


def without_structure(label: torch.Tensor, shown: str) -> torch.Tensor:
    """Keep of soft values what they say of one structure; all others stay as they are.

    Args:
        label: of any shape.
        shown: ``disc`` or ``cup``, the structure that is kept.

    Example:
        >>> shares_of(without_structure(torch.tensor([1024 + 64 * 30 + 15]), "disc"))[3].tolist()
        [0.5]
    """
    value = label.long()
    disc, cup = (value - _BOTH) // _STEP, (value - _BOTH) % _STEP
    kept = _DISC + disc if shown == "disc" else _CUP + cup
    return torch.where((value >= _BOTH) & (value < _DISC), kept.to(label.dtype), label)


def shares_of(label: torch.Tensor) -> torch.Tensor:
    """Shares of readers, by what they say of a pixel.

    Args:
        label: of any shape; values below those of shares count as no share at all.

    Returns:
        5 x the shape, in [0, 1]: background, rim, cup, rim or cup, and not cup. Where the label is soft they sum to 1.

    Example:
        >>> label = torch.tensor([1024 + 64 * 45 + 15, 2])  # of four readers three drew a disc and one a cup
        >>> shares_of(label)[:3].T.tolist()
        [[0.25, 0.5, 0.25], [0.0, 0.0, 0.0]]
    """
    value = label.long()
    shares = torch.zeros(5, *label.shape, device=label.device)
    both = (value >= _BOTH) & (value < _DISC)
    disc, cup = (value - _BOTH) // _STEP / SHARES, (value - _BOTH) % _STEP / SHARES
    for index, share in enumerate((1 - disc, disc - cup, cup)):
        shares[index] = torch.where(both, share, 0.0)
    alone, share = (value >= _DISC) & (value < _CUP), (value - _DISC) / SHARES
    shares[0], shares[3] = torch.where(alone, 1 - share, shares[0]), torch.where(alone, share, 0.0)
    alone, share = value >= _CUP, (value - _CUP) / SHARES
    shares[2], shares[4] = torch.where(alone, share, shares[2]), torch.where(alone, 1 - share, 0.0)
    return shares
