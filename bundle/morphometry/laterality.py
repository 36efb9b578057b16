"""Which eye a photograph shows: as the file states it, or a guess that is marked as one.

The guess assumes that the photograph is upright and not mirrored, as an examiner sees the eye: in a right eye, the
nasal side is on the picture's right. Two signs show which side is nasal. In a whole photograph centred on the macula,
the disc lies on the nasal side of the centre. Within the disc, the nasal side is darker, because the trunk of the
vessels runs there and the rim is thick, while the temporal side is pale; crops show this sign too. If the two signs
contradict each other, or if neither is visible, the eye is unknown. docs/reference/report.md states how often the
guess was right.
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
"""Height in pixels to which the disc is resized before its shades are compared."""
_BLUR = 1.5
"""Standard deviation of the blur against noise, in pixels of the resized disc."""
_MARGIN = 4
"""Width of the band inside the disc's border that is ignored, in the same pixels; the retina outside is dark too."""
_FIELD_LEVEL = 24
"""A column of the picture belongs to the field of view if its brightest value (0 to 255) exceeds this."""


class Laterality(NamedTuple):
    """Which eye a photograph shows, and how that is known.

    Attributes:
        eye: ``right``, ``left`` or ``unknown``.
        source: ``file`` (a DICOM file states it), ``name`` (the name of the file or its folder states it), ``guessed``,
            or empty if the eye is unknown.

    Example:
        >>> Laterality("right", "file").eye, Laterality().eye
        ('right', 'unknown')
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
        min_shade_shift: smallest absolute :func:`shade_shift` that counts as a sign.
        min_position_shift: smallest absolute :func:`position_shift` that counts as a sign.

    Returns:
        Laterality: with source ``guessed``, or unknown.

    Example:
        >>> image = np.full((200, 200, 3), 90, dtype=np.uint8)
        >>> label = np.zeros((200, 200), dtype=np.uint8)
        >>> label[90:110, 140:160] = 1  # the disc lies right of the centre
        >>> guess_laterality(image, label)
        Laterality(eye='right', source='guessed')
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
        max_disc_share: if the disc is wider than this share of the field of view, the picture counts as a crop, in
            which the disc's place says nothing about the eye.

    Returns:
        float: negative if the disc lies to the left; NaN in a crop, without a disc, or without a field of view.

    Example:
        >>> image = np.full((200, 200, 3), 90, dtype=np.uint8)
        >>> label = np.zeros((200, 200), dtype=np.uint8)
        >>> label[90:110, 140:160] = 1
        >>> position_shift(image, label)
        2.5
    """
    box = bounding_box(label >= 1)
    # One axis after the other: numpy is two hundred times faster this way than with both at once.
    field = np.flatnonzero(image.max(axis=0).max(axis=1) > _FIELD_LEVEL)
    if box is None or not field.size:
        return float("nan")
    height, width = (axis.stop - axis.start for axis in box)
    left, right = int(field[0]), int(field[-1]) + 1
    if width > max_disc_share * (right - left):
        return float("nan")
    return ((box[1].start + box[1].stop) / 2 - (left + right) / 2) / height


def shade_shift(image: NDArray[np.uint8], label: Label, min_height_px: int = 24) -> float:
    """How far the dark part of the disc lies to the right of the disc's centre, in halves of the disc's width.

    The dark part is measured in the green channel, in which vessels absorb most: each pixel is weighted by how much
    darker it is than the disc's brightest pixels, and the centroid of these weights is compared with the disc's.

    Args:
        image: ``H x W x 3`` ``uint8``.
        label: ``H x W``, values 0, 1, 2.
        min_height_px: smallest height in pixels of a disc that is large enough to judge.

    Returns:
        float: in [-1, 1]; NaN without a disc, or if the disc is too small or of even brightness.

    Example:
        >>> image = np.full((64, 64, 3), 200, dtype=np.uint8)
        >>> image[:, 32:] = 100  # the right half is darker
        >>> label = np.zeros((64, 64), dtype=np.uint8)
        >>> label[12:52, 12:52] = 1
        >>> 0.4 < shade_shift(image, label) < 0.5
        True
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
