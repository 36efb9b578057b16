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
"""Degrees, measured clockwise from the direction to the picture's right."""


@dataclass(frozen=True)
class Rims:
    """Widths of the rim, in pixels of the photograph or in millimetres; NaN where the width cannot be measured.

    Attributes:
        inferior: width below the disc's centre.
        superior: width above the disc's centre.
        left: width on the picture's left.
        right: width on the picture's right.
        laterality: which eye it is; ``nasal`` and ``temporal`` depend on it.

    Example:
        >>> rims = Rims(inferior=40.0, superior=36.0, left=22.0, right=31.0, laterality=Laterality("right", "file"))
        >>> rims.nasal, rims.temporal
        (31.0, 22.0)
    """

    inferior: float = math.nan
    superior: float = math.nan
    left: float = math.nan
    right: float = math.nan
    laterality: Laterality = Laterality()

    @property
    def nasal(self) -> float:
        """Width on the side of the nose, the picture's right in a right eye; NaN if the eye is unknown."""
        return {"right": self.right, "left": self.left}.get(self.laterality.eye, math.nan)

    @property
    def temporal(self) -> float:
        """Width on the side of the temple, the picture's left in a right eye; NaN if the eye is unknown."""
        return {"right": self.left, "left": self.right}.get(self.laterality.eye, math.nan)


def measure_rims(
    label: Label,
    laterality: Laterality | None = None,
    sector: float = 30.0,
    borders: Borders | None = None,
    spacing: tuple[float, float] = (1.0, 1.0),
) -> Rims:
    """Measure the rim in four directions from the disc's centroid.

    The width at a point of the disc's border is the shortest distance from that point to the cup's border. The width in
    a direction is the mean over the part of the disc's border in a sector around that direction. Unlike the distance
    along a ray, the shortest distance needs no common centre of disc and cup, and it does not grow where the border
    runs at an angle to the ray.

    Args:
        label: ``H x W``, values 0, 1, 2, after :func:`bundle.morphometry.cup_disc.clean`.
        laterality: which eye it is; unknown by default.
        sector: angle of each sector in degrees, above 0 and up to 90.
        borders: the label's borders, if they have been found already.
        spacing: distances of two rows and of two columns, such as a ``PixelSpacing``; the widths are in its unit.

    Returns:
        Rims: all NaN without a cup or with a spacing of NaN; NaN in directions in which the edge of the picture cuts
        the disc off.

    Raises:
        ValueError: the sector is out of range.

    Example:
        >>> radius = np.hypot(*(np.mgrid[:65, :65] - 32))
        >>> rims = measure_rims((radius < 30).astype(np.uint8) + (radius < 10), Laterality("right", "file"))
        >>> round(rims.inferior), round(rims.nasal)
        (20, 20)
    """
    if not 0 < sector <= 90:
        raise ValueError(f"a sector of {sector} degrees is not possible: it must be above 0 and up to 90")
    laterality = laterality or Laterality()
    borders = borders or find_borders(label)
    unit = np.array(spacing, dtype=np.float64)
    if not borders.disc or not borders.cup or np.isnan(unit).any():
        return Rims(laterality=laterality)
    border = np.concatenate(borders.disc)
    width, _ = cKDTree(np.concatenate(borders.cup) * unit).query(border * unit)
    # Pixel centres lie at 0 to size - 1; where the picture cuts a disc off, its border runs half a pixel outside these.
    cut_off: Mask = np.any((border < 0) | (border > np.array(label.shape) - 1), axis=1)
    angle = np.degrees(np.arctan2(*((border - np.array(borders.centre)) * unit).T))

    def mean(direction: float) -> float:
        (inside,) = np.nonzero(np.abs((angle - direction + 180) % 360 - 180) <= sector / 2)
        return math.nan if not inside.size or cut_off[inside].any() else float(width[inside].mean())

    return Rims(laterality=laterality, **{name: mean(direction) for name, direction in _DIRECTIONS.items()})
