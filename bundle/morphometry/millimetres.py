"""Sizes in millimetres, of photographs whose file says how far apart its pixels lie on the retina."""

from __future__ import annotations

import math
from dataclasses import dataclass

from bundle.data.spacing import PixelSpacing
from bundle.morphometry.cup_disc import Measurements

__all__ = ["Millimetres", "in_millimetres"]


@dataclass(frozen=True)
class Millimetres:
    """Sizes of one optic disc and its cup on the retina, as far as the file's pixel spacing can be trusted.

    DICOM calls that spacing nominal: it varies over the picture and with the eye's length. All values are NaN without a
    disc, or if the file states no spacing; the cup's are 0 without a cup.

    Attributes:
        disc_height_mm: the disc's extent along the image's y axis.
        disc_width_mm: along the x axis.
        cup_height_mm: the cup's extent along the image's y axis.
        cup_width_mm: along the x axis.
        disc_area_mm2: area of the disc, cup included.
        cup_area_mm2: area of the cup.

    Example:
        >>> Millimetres().disc_height_mm
        nan
    """

    disc_height_mm: float = math.nan
    disc_width_mm: float = math.nan
    cup_height_mm: float = math.nan
    cup_width_mm: float = math.nan
    disc_area_mm2: float = math.nan
    cup_area_mm2: float = math.nan


def in_millimetres(measurements: Measurements, spacing: PixelSpacing) -> Millimetres:
    """Turn pixels into millimetres.

    Args:
        measurements: in pixels.
        spacing: of the photograph.

    Example:
        >>> found = in_millimetres(Measurements(disc_height_px=200.0, disc_area_px=30000.0), PixelSpacing(0.01, 0.02))
        >>> found.disc_height_mm, found.disc_area_mm2
        (2.0, 6.0)
    """
    area = spacing.row * spacing.column
    return Millimetres(
        disc_height_mm=measurements.disc_height_px * spacing.row,
        disc_width_mm=measurements.disc_width_px * spacing.column,
        cup_height_mm=measurements.cup_height_px * spacing.row,
        cup_width_mm=measurements.cup_width_px * spacing.column,
        disc_area_mm2=measurements.disc_area_px * area,
        cup_area_mm2=measurements.cup_area_px * area,
    )
