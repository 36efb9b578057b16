"""Cup-to-disc ratios and sizes in a label map, and the clean-up that a label map needs before it is measured.

Label maps are ``H x W`` ``uint8``: 0 background, 1 disc rim, 2 cup. All pixels >= 1 form the optic disc, all pixels
== 2 the optic cup. Coordinates are in pixels; pixel centres lie at integers, x points to the right and y down.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from monai.transforms.utils import get_largest_connected_component_mask
from numpy.typing import NDArray
from scipy import ndimage
from skimage.measure import find_contours

__all__ = ["Borders", "Measurements", "bounding_box", "clean", "find_borders", "measure", "region_contours"]

_LEVEL = 0.5
Mask = NDArray[np.bool_]
Label = NDArray[np.integer]
Contour = NDArray[np.float64]


@dataclass(frozen=True)
class Measurements:
    """Measurements of one optic disc and its cup.

    All values are NaN if there is no disc. If there is a disc without a cup, the cup's sizes and all ratios are 0.

    Attributes:
        vcdr: vertical cup-to-disc ratio, cup height over disc height.
        hcdr: horizontal cup-to-disc ratio, cup width over disc width.
        area_cdr: cup pixels over disc pixels.
        disc_x: x of the disc's centroid in pixels.
        disc_y: y of the disc's centroid in pixels.
        disc_height_px: the disc's extent along the image's y axis.
        disc_width_px: the disc's extent along the image's x axis.
        cup_height_px: the cup's extent along the image's y axis.
        cup_width_px: the cup's extent along the image's x axis.
        disc_area_px: number of the disc's pixels, cup included.
        cup_area_px: number of the cup's pixels.

    Example:
        >>> Measurements().vcdr
        nan
        >>> Measurements(vcdr=0.5, disc_height_px=220.0, cup_height_px=110.0).vcdr
        0.5
    """

    vcdr: float = math.nan
    hcdr: float = math.nan
    area_cdr: float = math.nan
    disc_x: float = math.nan
    disc_y: float = math.nan
    disc_height_px: float = math.nan
    disc_width_px: float = math.nan
    cup_height_px: float = math.nan
    cup_width_px: float = math.nan
    disc_area_px: float = math.nan
    cup_area_px: float = math.nan


class Borders(NamedTuple):
    """The borders of disc and cup in a label map, found once and shared by all functions that measure or draw them.

    Attributes:
        disc: closed contours of the disc, as :func:`region_contours` returns them.
        cup: closed contours of the cup, likewise.
        box: rows and columns of the smallest rectangle that contains the disc; None without a disc.
        centre: mean row and column of the disc's pixels; NaN without a disc.

    Example:
        >>> disc, cup, box, centre = find_borders(np.pad(np.ones((4, 4), dtype=np.uint8), 2))
        >>> len(disc), len(cup), centre
        (1, 0, (3.5, 3.5))
    """

    disc: list[Contour]
    cup: list[Contour]
    box: tuple[slice, slice] | None
    centre: tuple[float, float]


def find_borders(label: Label, probability: NDArray[np.floating] | None = None) -> Borders:
    """Find the borders of disc and cup.

    Args:
        label: ``H x W``, values 0, 1, 2.
        probability: ``2 x H x W`` in [0, 1], first the disc (including the cup), then the cup. Where it agrees with the
            label, the border follows its level set at 0.5 instead of running half-way between two pixels.

    Returns:
        Borders: empty without a disc.

    Raises:
        ValueError: the shapes do not fit.

    Example:
        >>> find_borders(np.pad(np.ones((4, 6), dtype=np.uint8), 2)).box
        (slice(2, 6, None), slice(2, 8, None))
    """
    _check_label(label)
    if probability is not None and probability.shape != (2, *label.shape):
        raise ValueError(f"the probability must be 2 x H x W = {(2, *label.shape)}, not {probability.shape}")
    box = bounding_box(label >= 1)
    if box is None:
        return Borders([], [], None, (math.nan, math.nan))
    # The disc is a small part of a photograph; the rest need not be examined again.
    near = tuple(slice(max(axis.start - 1, 0), axis.stop + 1) for axis in box)
    origin = np.array([axis.start for axis in near], dtype=np.float64)
    regions = (label[near] >= 1, label[near] == 2)
    row, column = (float(pixels.mean() + start) for pixels, start in zip(np.nonzero(regions[0]), origin, strict=True))
    levels = (None, None) if probability is None else (probability[0][near], probability[1][near])
    disc, cup = (
        [contour + origin for contour in region_contours(region, level)]
        for region, level in zip(regions, levels, strict=True)
    )
    return Borders(disc, cup, box, (row, column))


def measure(
    label: Label, probability: NDArray[np.floating] | None = None, borders: Borders | None = None
) -> Measurements:
    """Measure a label map with sub-pixel accuracy; apply :func:`clean` first if it comes from a network.

    Args:
        label: ``H x W``, values 0, 1, 2.
        probability: see :func:`find_borders`.
        borders: the label's borders, if they have been found already.

    Returns:
        Measurements: in pixels of the label's own grid; all NaN without a disc.

    Raises:
        ValueError: the shapes do not fit.

    Example:
        >>> label = np.pad(np.pad(np.full((6, 6), 2), 3, constant_values=1), 4)  # a cup of 6 in a disc of 12 pixels
        >>> found = measure(label)
        >>> found.vcdr, found.area_cdr, found.disc_height_px, found.disc_x
        (0.5, 0.25, 12.0, 9.5)
    """
    borders = borders or find_borders(label, probability)
    if borders.box is None:
        return Measurements()
    window = label[borders.box]
    disc_height, disc_width = _extent(borders.disc)
    cup_height, cup_width = _extent(borders.cup)
    disc_area, cup_area = float(np.count_nonzero(window)), float(np.count_nonzero(window == 2))
    return Measurements(
        vcdr=cup_height / disc_height,
        hcdr=cup_width / disc_width,
        area_cdr=cup_area / disc_area,
        disc_x=borders.centre[1],
        disc_y=borders.centre[0],
        disc_height_px=disc_height,
        disc_width_px=disc_width,
        cup_height_px=cup_height,
        cup_width_px=cup_width,
        disc_area_px=disc_area,
        cup_area_px=cup_area,
    )


def clean(label: Label) -> NDArray[np.uint8]:
    """Reduce a label map to one disc and at most one cup inside it, both without holes.

    Args:
        label: ``H x W``, values 0, 1, 2.

    Returns:
        numpy.ndarray: ``H x W`` ``uint8``, a new array with the largest disc component and, within it, the largest cup
        component. Pixels that touch only at a corner belong to the same component.

    Raises:
        ValueError: the label map is not two-dimensional.

    Example:
        >>> clean(np.array([[1, 1, 1, 0, 0], [1, 0, 1, 0, 1], [1, 1, 1, 0, 0]]))  # a hole, and a speck on the right
        array([[1, 1, 1, 0, 0],
               [1, 1, 1, 0, 0],
               [1, 1, 1, 0, 0]], dtype=uint8)
    """
    _check_label(label)
    disc = _largest_without_holes(label >= 1)
    cup = _largest_without_holes((label == 2) & disc)
    return disc.astype(np.uint8) + cup.astype(np.uint8)


def region_contours(region: Mask, probability: NDArray[np.floating] | None = None) -> list[Contour]:
    """The closed borders of a region.

    Args:
        region: ``H x W`` mask.
        probability: ``H x W`` in [0, 1]; see :func:`find_borders`.

    Returns:
        list: arrays ``N x 2`` of (row, column), in which the last point repeats the first. Without a probability, the
        border between two pixels runs half-way between their centres; the contour of a region that touches the image's
        edge therefore lies half a pixel outside the outermost pixel centres.

    Example:
        >>> (contour,) = region_contours(np.ones((2, 3), dtype=bool))
        >>> contour.min(axis=0).tolist(), contour.max(axis=0).tolist()
        ([-0.5, -0.5], [1.5, 2.5])
    """
    box = bounding_box(region)
    if box is None:
        return []
    top, left = (max(axis.start - 1, 0) for axis in box)
    window = np.s_[top : box[0].stop + 1, left : box[1].stop + 1]
    # The region decides on which side of the border a pixel lies. Where the probability contradicts it (in a filled
    # hole, or at a removed speck), the probability is ignored, or it would undo the clean-up.
    field = region[window].astype(np.float64)
    if probability is not None:
        p = np.asarray(probability[window], dtype=np.float64)
        field = np.where((p > _LEVEL) == region[window], p, field)
    origin = np.array([top - 1, left - 1], dtype=np.float64)
    return [contour + origin for contour in find_contours(np.pad(field, 1), _LEVEL)]


def bounding_box(region: Mask) -> tuple[slice, slice] | None:
    """Rows and columns of the smallest rectangle that contains all pixels of a mask.

    Args:
        region: ``H x W`` mask.

    Returns:
        Slices of rows and columns; None if the mask is empty.

    Example:
        >>> bounding_box(np.array([[False, False, False], [False, True, True]]))
        (slice(1, 2, None), slice(1, 3, None))
    """
    # Projections instead of find_objects, which needs an integer copy of a photograph of many megapixels.
    axes = [np.flatnonzero(region.any(axis=axis)) for axis in (1, 0)]
    if not axes[0].size:
        return None
    rows, columns = (slice(int(axis[0]), int(axis[-1]) + 1) for axis in axes)
    return rows, columns


def _extent(contours: Sequence[Contour]) -> tuple[float, float]:
    """Height and width over all contours, (0, 0) if there are none."""
    if not contours:
        return 0.0, 0.0
    height, width = np.ptp(np.concatenate(contours), axis=0)
    return float(height), float(width)


def _largest_without_holes(mask: Mask) -> Mask:
    """The largest 8-connected component of an ``H x W`` mask with its holes filled; an empty mask stays empty."""
    result = np.zeros(mask.shape, dtype=bool)
    box = bounding_box(mask)
    if box is None:
        return result
    largest = np.asarray(get_largest_connected_component_mask(mask[box]), dtype=bool)
    result[box] = ndimage.binary_fill_holes(largest)
    return result


def _check_label(label: Label) -> None:
    if label.ndim != 2:
        raise ValueError(f"a label map must be H x W, not {label.shape}")
