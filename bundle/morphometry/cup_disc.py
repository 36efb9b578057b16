"""Cup-to-disc ratios and sizes of a labelled photograph, and the clean-up that a label map needs before it is measured.

Label maps are ``H x W`` ``uint8``: 0 background, 1 disc rim, 2 cup. The optic disc is every pixel >= 1, the optic cup
every pixel == 2. Coordinates are in pixels with pixel centres at integers, x to the right and y down.
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
    """What is measured on one optic disc. Every value is NaN if there is no disc; without a cup its sizes are 0.

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


class Borders(NamedTuple):
    """Where disc and cup of a label map end; found once, for all who measure or draw them.

    Attributes:
        disc: closed contours as :func:`region_contours` returns them.
        cup: the same of the cup.
        box: rows and columns of the smallest rectangle that holds the disc; None if there is none.
        centre: mean row and column of the disc's pixels; NaN if there are none.
    """

    disc: list[Contour]
    cup: list[Contour]
    box: tuple[slice, slice] | None
    centre: tuple[float, float]


def find_borders(label: Label, probability: NDArray[np.floating] | None = None) -> Borders:
    """The borders of disc and cup.

    Args:
        label: ``H x W``, values 0, 1, 2.
        probability: ``2 x H x W`` in [0, 1], disc (with cup) then cup. Where it agrees with the label, the border runs
            along its level set at 0.5 instead of half-way between two pixels.

    Raises:
        ValueError: if the shapes do not fit.
    """
    _check_label(label)
    if probability is not None and probability.shape != (2, *label.shape):
        raise ValueError(f"the probability must be 2 x H x W = {(2, *label.shape)}, not {probability.shape}")
    box = bounding_box(label >= 1)
    if box is None:
        return Borders([], [], None, (math.nan, math.nan))
    # The disc is a small part of a photograph, and nothing else of it needs to be looked at again.
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
    """Measure a label map to sub-pixel accuracy; call :func:`clean` on it first if it comes from a network.

    Args:
        label: ``H x W``, values 0, 1, 2.
        probability: see :func:`find_borders`.
        borders: of the label, if they were found already.

    Returns:
        Measurements: in pixels of the label's own grid; all NaN where the label has no disc.

    Raises:
        ValueError: if the shapes do not fit.
    """
    borders = borders or find_borders(label, probability)
    if borders.box is None:
        return Measurements()
    window = label[borders.box]
    disc_height, disc_width = _extent(borders.disc)
    cup_height, cup_width = _extent(borders.cup)
    return Measurements(
        vcdr=cup_height / disc_height,
        hcdr=cup_width / disc_width,
        area_cdr=float(np.count_nonzero(window == 2) / np.count_nonzero(window)),
        disc_x=borders.centre[1],
        disc_y=borders.centre[0],
        disc_height_px=disc_height,
        disc_width_px=disc_width,
        cup_height_px=cup_height,
        cup_width_px=cup_width,
    )


def clean(label: Label) -> NDArray[np.uint8]:
    """Reduce a label map to one disc and at most one cup inside it, both without holes.

    Args:
        label: ``H x W``, values 0, 1, 2.

    Returns:
        numpy.ndarray: ``H x W`` ``uint8``, a new array with the largest disc component and, within it, the largest cup
        component. Pixels that touch only at a corner belong to one component.

    Raises:
        ValueError: if the label map is not two-dimensional.
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
        list: arrays ``N x 2`` of (row, column), the first point repeated as the last. A border between two pixels runs
        half-way between their centres, so a region that touches the image's edge reaches half a pixel past it.
    """
    box = bounding_box(region)
    if box is None:
        return []
    top, left = (max(axis.start - 1, 0) for axis in box)
    window = np.s_[top : box[0].stop + 1, left : box[1].stop + 1]
    # The region decides on which side of the border a pixel lies: a probability that says otherwise (a filled hole, a
    # removed speck) must not bring back what was cleaned away.
    field = region[window].astype(np.float64)
    if probability is not None:
        p = np.asarray(probability[window], dtype=np.float64)
        field = np.where((p > _LEVEL) == region[window], p, field)
    origin = np.array([top - 1, left - 1], dtype=np.float64)
    return [contour + origin for contour in find_contours(np.pad(field, 1), _LEVEL)]


def bounding_box(region: Mask) -> tuple[slice, slice] | None:
    """Rows and columns of the smallest rectangle that holds an ``H x W`` mask, or None if the mask is empty."""
    # Projections rather than find_objects, which needs an integer copy of a photograph of many megapixels.
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
