"""The borders of disc and cup as SVG paths."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from bundle.morphometry.cup_disc import Borders, Contour
from bundle.report.contours import place_contour

__all__ = ["Outlines", "outlines_of"]

_PATH_UNITS = 10
"""SVG coordinates are whole numbers of this part of a pixel, which is shorter than decimals."""


class Outlines(NamedTuple):
    """The borders of disc and cup as SVG paths, to be laid over the picture that they were made for.

    Attributes:
        width: width of the picture in the paths' units.
        height: height of the picture in the paths' units.
        disc: path data, closed; empty if there is no disc.
        cup: path data, closed; empty if there is no cup.
    """

    width: int
    height: int
    disc: str
    cup: str


def outlines_of(borders: Borders, size: int, scale: float, origin: tuple[float, float]) -> Outlines:
    """The outlines for a square picture of ``size`` pixels a side, which shows a part of the labelled photograph.

    Args:
        borders: of the label.
        size: side of the picture in pixels.
        scale: pixels of the picture per pixel of the photograph.
        origin: where in the photograph the picture starts: (x, y), in pixel corners.
    """
    disc, cup = (
        "".join(_path(place_contour(contour, scale, origin)) for contour in contours)
        for contours in (borders.disc, borders.cup)
    )
    return Outlines(size * _PATH_UNITS, size * _PATH_UNITS, disc, cup)


def _path(points: Contour) -> str:
    """A closed contour, (x, y) in pixel corners, as SVG path data: an absolute start and relative lines."""
    # Steps between rounded points: rounding the steps themselves would let the line drift.
    corners = np.rint(points * _PATH_UNITS).astype(int)
    steps = np.diff(corners[:-1], axis=0)
    return f"M{corners[0, 0]} {corners[0, 1]}l" + " ".join(f"{x} {y}" for x, y in steps) + "z"
