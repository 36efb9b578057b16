"""The pixels inside a polygon."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from skimage.draw import polygon

__all__ = ["pixels_inside"]


def pixels_inside(ring: NDArray[np.floating], shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Mask of the pixels whose centre lies inside a polygon or on it; where it crosses itself, an odd number of times.

    scikit-image's ``polygon``, and not its ``polygon2mask``, which asks of every pixel how it lies to every side and
    takes 20 seconds for the disc of a photograph of 2048 pixels a side.

    Args:
        ring: N x 2, (x, y), in pixels; whole numbers are the centres of pixels.
        shape: H x W of the mask.

    Example:
        >>> pixels_inside(np.array([[0.5, 0.5], [2.5, 0.5], [2.5, 3.5], [0.5, 3.5]]), (5, 4)).astype(int).tolist()
        [[0, 0, 0, 0], [0, 1, 1, 0], [0, 1, 1, 0], [0, 1, 1, 0], [0, 0, 0, 0]]
    """
    mask = np.zeros(shape, dtype=bool)
    mask[polygon(ring[:, 1], ring[:, 0], shape)] = True
    return mask
