"""The pixels inside a polygon."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["pixels_inside"]


def pixels_inside(ring: NDArray[np.floating], shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Mask of the pixels whose centre lies inside a polygon; where it crosses itself, an odd number of times.

    A line at a time: scikit-image's ``polygon2mask`` gives the same but asks of every pixel how it lies to every side,
    which takes 20 seconds for the disc of a photograph of 2048 pixels a side.

    Args:
        ring: N x 2, (x, y), in pixels; whole numbers are the centres of pixels.
        shape: H x W of the mask.

    Example:
        >>> pixels_inside(np.array([[0.5, 0.5], [2.5, 0.5], [2.5, 3.5], [0.5, 3.5]]), (5, 4)).astype(int).tolist()
        [[0, 0, 0, 0], [0, 1, 1, 0], [0, 1, 1, 0], [0, 1, 1, 0], [0, 0, 0, 0]]
    """
    height, width = shape
    start, end = np.asarray(ring, dtype=float), np.roll(np.asarray(ring, dtype=float), -1, axis=0)
    low, high = np.minimum(start[:, 1], end[:, 1]), np.maximum(start[:, 1], end[:, 1])
    # Of a side the lower end counts and the upper does not, so that a corner on a line is crossed once.
    first = np.clip(np.ceil(low), 0, height).astype(int)
    count = np.clip(np.ceil(high), 0, height).astype(int) - first
    side = np.repeat(np.arange(len(start)), count)
    row = np.repeat(first - np.cumsum(count) + count, count) + np.arange(count.sum())
    (x0, y0), (x1, y1) = start[side].T, end[side].T
    crossing = x0 + (row - y0) * (x1 - x0) / np.where(y1 == y0, 1.0, y1 - y0)
    column = np.clip(np.ceil(crossing), 0, width).astype(int)
    crossings = np.zeros((height, width + 1), np.int64)
    np.add.at(crossings, (row, column), 1)
    return np.cumsum(crossings, axis=1)[:, :width] % 2 == 1
