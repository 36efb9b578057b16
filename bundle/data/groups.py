"""Photographs in groups that depend on what the photographs are, and on nothing else."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["content_groups"]


def content_groups(items: Sequence[Mapping[str, Any]], most: int) -> list[list[int]]:
    """Deal photographs into as few groups as can be, whose sizes differ by one at most.

    The groups, and the order in each, follow from the bytes of the files: neither names nor order nor batches nor
    processes change them.

    Args:
        items: photographs with ``image`` (a path, or an array).
        most: largest number in a group, at least 1.

    Returns:
        Indices of the items, each in one group; no groups without items.

    Example:
        >>> content_groups([{"image": "a"}, {"image": "b"}, {"image": "c"}], most=2)
        [[2], [1, 0]]
    """
    ranked = sorted(range(len(items)), key=lambda index: _digest(items[index]["image"]))
    count = -(-len(items) // most)
    return [ranked[len(items) * i // count : len(items) * (i + 1) // count] for i in range(count)]


def _digest(image: Any) -> bytes:
    """Of a file's bytes, or an array's; of a file's name where it cannot be read, which is reported elsewhere."""
    if not isinstance(image, str | os.PathLike):
        return hashlib.sha256(np.ascontiguousarray(image).tobytes()).digest()
    try:
        with Path(image).open("rb") as file:
            return hashlib.file_digest(file, "sha256").digest()
    except OSError:
        return hashlib.sha256(str(image).encode(errors="surrogateescape")).digest()
