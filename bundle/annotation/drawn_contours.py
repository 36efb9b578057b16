"""Contours that were drawn into a copy of the photograph, as RIGA ships them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.measure import regionprops

from bundle.morphometry.cup_disc import Label

__all__ = ["label_of_drawing"]

_LEAST_CHANGE = 40
"""Difference, of 255, from which on a pixel belongs to a line: compression changes it by less."""
_GAP = 2
"""Breaks of a line of up to about twice as many pixels are closed."""
_LEAST_SHARE = 0.01
"""Areas smaller than this share of the disc are specks between strokes."""


def label_of_drawing(photograph: NDArray[np.uint8], drawing: NDArray[np.uint8]) -> Label | None:
    """The label that a reader drew as one or two closed lines into a copy of the photograph.

    A structure's edge is the middle of its line. Of what the lines enclose, the roundest part is the cup, and all of it
    is the disc; one line alone is the disc's.

    Args:
        photograph: H x W x 3, as it was.
        drawing: the copy, H x W x 3.

    Returns:
        H x W of 0 (background), 1 (disc rim) and 2 (cup); None if no line encloses anything.

    Example:
        >>> picture = np.full((40, 40, 3), 90, np.uint8)
        >>> y, x = np.mgrid[:40, :40] - 20
        >>> drawn = picture.copy()
        >>> drawn[abs(np.hypot(x, y) - 14) < 1] = drawn[abs(np.hypot(x, y) - 6) < 1] = 0
        >>> label = label_of_drawing(picture, drawn)
        >>> [round(float(np.sqrt((label >= value).sum() / np.pi))) for value in (1, 2)]
        [14, 6]
    """
    change = np.abs(photograph.astype(np.int16) - drawing.astype(np.int16)).max(axis=-1)
    line = change > _LEAST_CHANGE
    # A border of its own, so that closing treats the picture's edge as any other place.
    line = ndimage.binary_closing(np.pad(line, 2 * _GAP), iterations=_GAP)[2 * _GAP : -2 * _GAP, 2 * _GAP : -2 * _GAP]
    areas, count = ndimage.label(np.pad(~line, 1, constant_values=True))
    areas = areas[1:-1, 1:-1]
    outside = 1  # The border is labelled first.
    enclosed = [part for part in regionprops(areas) if part.label != outside]
    if count < 2 or not enclosed:
        return None
    whole = sum(part.area for part in enclosed)
    parts = [part for part in enclosed if part.area >= _LEAST_SHARE * whole]
    # Each pixel of a line goes to the area that is nearest to it.
    known = np.isin(areas, [outside, *(part.label for part in parts)])
    nearest = ndimage.distance_transform_edt(~known, return_distances=False, return_indices=True)
    areas = areas[tuple(nearest)]
    label = (areas != outside).astype(np.uint8)
    if len(parts) > 1:
        cup = max(parts, key=lambda part: part.solidity)
        label[areas == cup.label] = 2
    return label
