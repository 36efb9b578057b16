"""The width of the neuroretinal rim: inferior, superior, nasal and temporal, in the order of the ISNT rule."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from bundle.morphometry.cup_disc import Borders, Label, Mask, find_borders
from bundle.morphometry.laterality import Laterality

__all__ = ["Rims", "measure_rims"]

_DIRECTIONS = {"right": 0.0, "inferior": 90.0, "left": 180.0, "superior": 270.0}
"""Degrees from the picture's right, clockwise as seen, for y points down."""


@dataclass(frozen=True)
class Rims:
    """Widths of the rim in pixels of the photograph; NaN where there is none to measure.

    Attributes:
        inferior: below the disc's centre.
        superior: above it.
        left: on the picture's left.
        right: on the picture's right.
        laterality: which eye it is, for ``nasal`` and ``temporal``.
    """

    inferior: float = math.nan
    superior: float = math.nan
    left: float = math.nan
    right: float = math.nan
    laterality: Laterality = Laterality()

    @property
    def nasal(self) -> float:
        """On the nose's side: the picture's right in a right eye; NaN if the eye is unknown."""
        return {"right": self.right, "left": self.left}.get(self.laterality.eye, math.nan)

    @property
    def temporal(self) -> float:
        """On the temple's side; NaN if the eye is unknown."""
        return {"right": self.left, "left": self.right}.get(self.laterality.eye, math.nan)


def measure_rims(
    label: Label, laterality: Laterality | None = None, sector: float = 30.0, borders: Borders | None = None
) -> Rims:
    """Measure the rim in four directions from the disc's centroid.

    The width at a point of the disc's border is the shortest distance from there to the cup's border; a rim's width is
    its mean over the border within the sector. Unlike a distance along a ray it needs no common centre, and does not
    grow where the border runs obliquely.

    Args:
        label: ``H x W``, values 0, 1, 2, after :func:`bundle.measurements.clean`.
        laterality: which eye it is; unknown by default.
        sector: angle that is averaged over, in degrees, above 0 and up to 90.
        borders: of the label, if they were found already.

    Returns:
        Rims: all NaN without a cup; NaN in a direction in which the edge of the picture cuts the disc off.

    Raises:
        ValueError: if the sector is out of range.
    """
    if not 0 < sector <= 90:
        raise ValueError(f"a sector of {sector} degrees is not possible: it must be above 0 and up to 90")
    laterality = laterality or Laterality()
    borders = borders or find_borders(label)
    if not borders.disc or not borders.cup:
        return Rims(laterality=laterality)
    border = np.concatenate(borders.disc)
    width, _ = cKDTree(np.concatenate(borders.cup)).query(border)
    # Rows and columns of pixel centres; the border of a disc that is cut off runs half a pixel outside.
    cut_off: Mask = np.any((border < 0) | (border > np.array(label.shape) - 1), axis=1)
    angle = np.degrees(np.arctan2(*(border - np.array(borders.centre)).T))

    def mean(direction: float) -> float:
        (inside,) = np.nonzero(np.abs((angle - direction + 180) % 360 - 180) <= sector / 2)
        return math.nan if not inside.size or cut_off[inside].any() else float(width[inside].mean())

    return Rims(laterality=laterality, **{name: mean(direction) for name, direction in _DIRECTIONS.items()})
