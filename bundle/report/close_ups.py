"""Close-ups of the disc.

Photographs are ``H x W x 3`` ``uint8`` RGB, label maps ``H x W`` ``uint8`` (0 background, 1 disc rim, 2 cup).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bundle.morphometry.cup_disc import Borders, Label, find_borders
from bundle.report.contours import draw_contours
from bundle.report.outlines import Outlines, outlines_of
from bundle.report.overlays import check_pair

__all__ = ["close_up", "outlined_close_up"]


def close_up(image: NDArray[np.uint8], label: Label, size: int = 384, margin: float = 0.6) -> Image.Image | None:
    """Cut out a square around the disc and draw the contours at the close-up's own scale.

    Args:
        image: ``H x W x 3`` ``uint8``.
        label: ``H x W``, values 0, 1, 2.
        size: side of the close-up in pixels.
        margin: what is shown on each side of the disc, as a share of the disc's larger extent. The square stays inside
            the photograph where the disc leaves room for that; what lies outside is black.

    Returns:
        PIL.Image.Image | None: RGB, ``size x size``; None if the label has no disc.

    Raises:
        ValueError: if the shapes do not fit.
    """
    borders = find_borders(label)
    cut = _cut_around_disc(image, label, borders, size, margin)
    if cut is None:
        return None
    picture, scale, origin = cut
    draw_contours(picture, borders, scale=scale, origin=origin, width=max(1.2, size / 190))
    return picture


def outlined_close_up(
    image: NDArray[np.uint8], label: Label, size: int = 512, margin: float = 0.6, borders: Borders | None = None
) -> tuple[Image.Image, Outlines] | None:
    """As :func:`close_up`, but with the contours beside the picture instead of in it, for a viewer that can hide them.

    Args:
        image: ``H x W x 3`` ``uint8``.
        label: ``H x W``, values 0, 1, 2.
        size: side of the close-up in pixels.
        margin: see :func:`close_up`.
        borders: of the label, if they were found already.

    Returns:
        tuple | None: RGB, ``size x size``, and its outlines; None if the label has no disc.

    Raises:
        ValueError: if the shapes do not fit.
    """
    borders = borders or find_borders(label)
    cut = _cut_around_disc(image, label, borders, size, margin)
    if cut is None:
        return None
    picture, scale, origin = cut
    return picture, outlines_of(borders, size, scale, origin)


def _cut_around_disc(
    image: NDArray[np.uint8], label: Label, borders: Borders, size: int, margin: float
) -> tuple[Image.Image, float, tuple[float, float]] | None:
    """A close-up without contours, its pixels per pixel of the photograph, and where in that it starts (x, y)."""
    check_pair(image, label)
    box = borders.box
    if box is None:
        return None
    extent = max(axis.stop - axis.start for axis in box)
    side = max(extent, min(round(extent * (1 + 2 * margin)), *label.shape))
    top, left = (_start(axis, side, length) for axis, length in zip(box, label.shape, strict=True))
    # Sliced before it becomes a picture: only the crop is copied, not the photograph.
    rows, columns = (slice(max(start, 0), start + side) for start in (top, left))
    crop = Image.fromarray(np.ascontiguousarray(image[rows, columns]))
    crop = crop.crop((left - columns.start, top - rows.start, left - columns.start + side, top - rows.start + side))
    # Lanczos' filter takes twice the time, and nobody sees the difference in a picture that shrinks.
    smooth = Image.Resampling.HAMMING if side > size else Image.Resampling.LANCZOS
    return crop.resize((size, size), smooth), size / side, (float(left), float(top))


def _start(axis: slice, side: int, length: int) -> int:
    """Where a window of ``side`` pixels around ``axis`` starts: inside [0, length) if it fits, else centred."""
    start = (axis.start + axis.stop - side) // 2
    return min(max(start, 0), length - side) if side <= length else start
