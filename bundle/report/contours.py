"""The borders of disc and cup as lines on a picture.

The disc is a solid cyan line; the cup is a light yellow dashed line. They differ in pattern and in lightness as well as
in hue, so they stay apart for colour-blind readers and on a grey print, and a dark edge keeps them visible on the
bright nerve head.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

import numpy as np
from PIL import Image, ImageDraw
from scipy import ndimage

from bundle.morphometry.cup_disc import Borders, Contour

__all__ = ["CUP_COLOUR", "DISC_COLOUR", "HALO_COLOUR", "HALO_WIDTH", "Colour", "draw_contours", "place_contour"]

Colour = tuple[int, int, int]
DISC_COLOUR: Colour = (0, 229, 255)
CUP_COLOUR: Colour = (255, 240, 120)
HALO_COLOUR: Colour = (10, 22, 32)
HALO_WIDTH = 2.1
"""Width of the dark edge in line widths."""
_HALO_ALPHA = 0.75
_DASH, _GAP = 4.5, 3.0
"""Length of the cup's dashes and of what lies between them, in line widths."""
_STEP = 0.3
"""Points that a smooth contour keeps are this many roots of their number apart, 0.06 pixels off a circle."""
_SMOOTHING = 1.5
"""Standard deviation in contour points (about one pixel) by which the stairs of a pixel mask are smoothed away; where
the points that are kept are farther apart it is half of that, so that what lies between them counts too."""


def draw_contours(
    picture: Image.Image, borders: Borders, *, scale: float, origin: tuple[float, float], width: float
) -> None:
    """Draw both borders on ``picture``, whose pixel (0, 0) starts at ``origin`` (x, y) of the label's pixel corners."""
    disc = [place_contour(contour, scale, origin) for contour in borders.disc]
    cup = [place_contour(contour, scale, origin) for contour in borders.cup]
    dashes = [dash for contour in cup for dash in _dashes(contour, _DASH * width, _GAP * width)]
    _stroke(picture, disc, HALO_COLOUR, HALO_WIDTH * width, _HALO_ALPHA)
    _stroke(picture, disc, DISC_COLOUR, width)
    # The dark edge runs on between the dashes: dark and light in turn are seen on any ground, the pale cup included.
    _stroke(picture, cup, HALO_COLOUR, HALO_WIDTH * width, _HALO_ALPHA)
    _stroke(picture, dashes, CUP_COLOUR, width)


def place_contour(contour: Contour, scale: float, origin: tuple[float, float]) -> Contour:
    """A contour's (row, column) as (x, y) in pixel corners of the picture, without the stairs of the pixel mask."""
    points = contour[:, ::-1]
    if len(points) > 10 * _SMOOTHING:
        step = max(1, int(_STEP * math.sqrt(len(points))))
        ring = ndimage.gaussian_filter1d(points[:-1], max(_SMOOTHING, step / 2), axis=0, mode="wrap")[::step]
        points = np.concatenate([ring, ring[:1]])
    return (points + 0.5 - np.asarray(origin)) * scale


def _dashes(points: Contour, dash: float, gap: float) -> Iterator[Contour]:
    """Cut a closed line into dashes; their number is whole, so that the seam does not show."""
    along = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(points, axis=0).T))])
    count = max(1, round(along[-1] / (dash + gap)))
    period = along[-1] / count
    length = period * dash / (dash + gap)
    for start in np.arange(count) * period:
        inside = along[(along > start) & (along < start + length)]
        at = np.concatenate([[start], inside, [start + length]])
        yield np.stack([np.interp(at, along, axis) for axis in points.T], axis=1)


def _stroke(picture: Image.Image, lines: Iterable[Contour], colour: Colour, width: float, alpha: float = 1.0) -> None:
    """Draw anti-aliased lines, (x, y) in pixel corners, in place."""
    lines = list(lines)
    if not lines:
        return
    points = np.concatenate(lines)
    reach = width + 2
    left, top = (max(0, math.floor(low - reach)) for low in points.min(axis=0))
    right, bottom = (
        min(length, math.ceil(high + reach)) for high, length in zip(points.max(axis=0), picture.size, strict=True)
    )
    if right <= left or bottom <= top:
        return
    # Pillow draws without anti-aliasing, hence larger and then reduced; a wide line needs fewer steps to look smooth.
    factor = 4 if width < 6 else 2
    coverage = Image.new("L", ((right - left) * factor, (bottom - top) * factor))
    draw = ImageDraw.Draw(coverage)
    for line in lines:
        path = [(float(x), float(y)) for x, y in (line - (left, top)) * factor - 0.5]
        draw.line(path, fill=round(255 * alpha), width=max(1, round(width * factor)), joint="curve")
    picture.paste(colour, (left, top, right, bottom), coverage.reduce(factor))
