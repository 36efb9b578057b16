"""Which eye a photograph shows: what the file says, or a guess that is marked as one.

A fundus photograph is taken to show the eye as an examiner sees it, upright and not mirrored: a right eye's nose lies
to the picture's right. Two things tell the nasal side then. In a whole photograph that is centred on the macula, the
disc lies nasal of the centre. And within the disc the nasal side is the darker one, for there the vessels' trunk runs
and the rim is thick, while the temporal side is pale; a crop shows that too. Where both are seen and contradict each
other, or neither is seen, the eye is unknown. docs/reference/report.md says how often the guess was right.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from bundle.morphometry.cup_disc import Label, bounding_box

__all__ = ["Laterality", "guess_laterality", "position_shift", "shade_shift"]

Eye = Literal["right", "left", "unknown"]
_DISC_HEIGHT = 96
"""The disc is looked at when reduced or enlarged to this height in pixels."""
_BLUR = 1.5
"""Standard deviation of the blur against noise, in those pixels."""
_MARGIN = 4
"""Pixels within the disc's border that are left out, because the retina beyond it is dark too."""
_FIELD_LEVEL = 24
"""A column of the picture whose brightest value is above this lies in the field of view."""


class Laterality(NamedTuple):
    """Which eye, and how that is known.

    Attributes:
        eye: ``right``, ``left`` or ``unknown``.
        source: ``file`` (a DICOM file says so), ``name`` (the name of the file or its folder does), ``guessed``, or
            empty where the eye is unknown.
    """

    eye: Eye = "unknown"
    source: Literal["file", "name", "guessed", ""] = ""


def guess_laterality(
    image: NDArray[np.uint8], label: Label, min_shade_shift: float = 0.03, min_position_shift: float = 1.0
) -> Laterality:
    """Guess the eye from the disc's place in the photograph and from the darker side of the disc.

    Args:
        image: ``H x W x 3`` ``uint8``.
        label: ``H x W``, values 0, 1, 2.
        min_shade_shift: :func:`shade_shift` must be at least this large to count.
        min_position_shift: :func:`position_shift` must be at least this large to count.

    Returns:
        Laterality: ``guessed``, or unknown.
    """
    limits = ((shade_shift(image, label), min_shade_shift), (position_shift(image, label), min_position_shift))
    sides = {bool(shift > 0) for shift, least in limits if abs(shift) >= least}
    if len(sides) != 1:
        return Laterality()
    return Laterality("right" if sides.pop() else "left", "guessed")


def position_shift(image: NDArray[np.uint8], label: Label, max_disc_share: float = 0.3) -> float:
    """How far the disc lies to the right of the middle of the field of view, in disc heights.

    Args:
        image: ``H x W x 3`` ``uint8``.
        label: ``H x W``, values 0, 1, 2.
        max_disc_share: a picture whose disc takes a larger share of its field's width is a crop, which tells nothing.

    Returns:
        float: NaN in a crop or without a disc.
    """
    box = bounding_box(label >= 1)
    # One axis after the other, which numpy does two hundred times faster than both at once.
    field = np.flatnonzero(image.max(axis=0).max(axis=1) > _FIELD_LEVEL)
    if box is None or not field.size:
        return float("nan")
    height, width = (axis.stop - axis.start for axis in box)
    left, right = int(field[0]), int(field[-1]) + 1
    if width > max_disc_share * (right - left):
        return float("nan")
    return ((box[1].start + box[1].stop) / 2 - (left + right) / 2) / height


def shade_shift(image: NDArray[np.uint8], label: Label, min_height_px: int = 24) -> float:
    """How far the dark in the disc lies to the right of its centre, in halves of its width.

    Dark counts in the green channel, in which vessels absorb most, from the disc's brightest pixels down.

    Args:
        image: ``H x W x 3`` ``uint8``.
        label: ``H x W``, values 0, 1, 2.
        min_height_px: a disc of less height is too small to tell.

    Returns:
        float: in [-1, 1]; NaN if there is no disc, a smaller one, or one of even brightness.
    """
    box = bounding_box(label >= 1)
    if box is None or box[0].stop - box[0].start < min_height_px:
        return float("nan")
    height, width = (axis.stop - axis.start for axis in box)
    size = (max(1, round(width * _DISC_HEIGHT / height)), _DISC_HEIGHT)
    green, disc = (
        np.asarray(Image.fromarray(np.ascontiguousarray(part[box])).resize(size, Image.Resampling.BOX), np.float64)
        for part in (image[..., 1], (label >= 1).astype(np.uint8) * 255)
    )
    green = ndimage.gaussian_filter(green, _BLUR)
    inside = ndimage.binary_erosion(disc > 127, iterations=_MARGIN)
    darkest, brightest = np.percentile(green[inside], (2, 98)) if inside.any() else (0, 0)
    if brightest - darkest < 1:
        return float("nan")
    dark = np.where(inside, np.clip((brightest - green) / (brightest - darkest), 0, 1), 0)
    return float((ndimage.center_of_mass(dark)[1] - ndimage.center_of_mass(inside)[1]) / (size[0] / 2))
