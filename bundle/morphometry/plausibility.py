"""Whether a contour can be that of an optic disc and its cup at all."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.measure import regionprops

from bundle.morphometry.cup_disc import bounding_box

__all__ = ["Shape", "implausibility", "shape_of"]

# Each limit lies beyond what readers drew on 757 discs of four cameras, those of pathologic myopia among them: length
# over width up to 2.41, solidity from 0.969 (of a cup 0.967), a side flat up to 0.36, the cup's diameter up to 0.89 of
# the disc's, height up to 0.35 of a whole photograph (``python -m bundle.benchmark.anatomy``).
_LONGEST = 2.8
_LEAST_SOLID = {"disc": 0.93, "cup": 0.88}
_FLATTEST = 0.5
_WIDEST_CUP = 0.96
_TALLEST = 0.5
_LEAST_PIXELS = 600
"""Below this area a disc is too coarse for its shape to be judged."""
_DARK = 16
"""Highest intensity of what lies outside a photograph's field of view."""
_SIDE = 160
"""Pixels to which a region's longer side is thinned out before its shape is judged; more would only take longer."""


class Shape(NamedTuple):
    """The shape of a region.

    Attributes:
        pieces: number of connected parts.
        length: of its longest axis over the shortest, of the ellipse with the same second moments; at least 1.
        solidity: its area over that of its convex hull, in (0, 1].
        flatness: largest share of a side of its bounding box that it lies against, in (0, 1].
    """

    pieces: int
    length: float
    solidity: float
    flatness: float


def shape_of(region: NDArray[np.bool_]) -> Shape:
    """Measure the shape of a region.

    Args:
        region: H x W, not empty.

    Example:
        >>> y, x = np.mgrid[:99, :99] - 49
        >>> circle = shape_of(np.hypot(x, y) < 40)
        >>> circle.pieces, round(circle.length, 1), round(circle.solidity, 1), circle.flatness < 0.3
        (1, 1.0, 1.0, True)
    """
    box = bounding_box(region)
    if box is None:
        raise ValueError("the region is empty.")
    part = region[box]
    step = max(1, max(part.shape) // _SIDE)
    part = part[::step, ::step]
    (found,) = regionprops(np.pad(part, 1).astype(np.uint8))
    sides = (part[0], part[-1], part[:, 0], part[:, -1])
    return Shape(
        pieces=ndimage.label(part, np.ones((3, 3)))[1],
        length=float(found.axis_major_length / max(found.axis_minor_length, 1)),
        solidity=float(found.solidity),
        flatness=max(float(side.mean()) for side in sides),
    )


def implausibility(label: NDArray[np.uint8], photograph: NDArray[np.uint8] | None = None, whole: bool = False) -> str:
    """What contradicts anatomy in a label map, in words; empty if nothing does.

    The disc is one piece without dents, at most 2.8 times as long as wide, without a straight side; the cup is one
    piece without dents, and leaves a rim; a disc does not fill the field of view.

    Args:
        label: H x W: 0 background, 1 disc rim, 2 optic cup.
        photograph: H x W x 3, uint8; None leaves out what is seen in it.
        whole: whether the photograph shows more than the disc, so that the disc must be small in it.

    Example:
        >>> y, x = np.mgrid[:99, :99] - 49
        >>> disc = (np.hypot(x, y) < 40).astype(np.uint8) + (np.hypot(x, y) < 20)
        >>> implausibility(disc), implausibility(disc * (x < 15))
        ('', 'a straight side')
    """
    disc = label > 0
    box = bounding_box(disc)
    if box is None or np.count_nonzero(disc[box]) < _LEAST_PIXELS:
        return ""
    shape = shape_of(disc[box])
    checks = {
        "several pieces": shape.pieces > 1,
        "dents or holes": shape.solidity < _LEAST_SOLID["disc"],
        "too long for its width": shape.length > _LONGEST,
        # Where the picture cuts a disc off, it is not the contour that is wrong.
        "a straight side": shape.flatness > _FLATTEST and not _is_cut_off(box, label.shape),
        "too large for a whole photograph": whole and box[0].stop - box[0].start > _TALLEST * max(label.shape),
        "the edge of the field of view": photograph is not None and _lies_in_black(photograph, label, box),
        **_of_cup(label[box] == 2, disc[box]),
    }
    return next((words for words, applies in checks.items() if applies), "")


def _of_cup(cup: NDArray[np.bool_], disc: NDArray[np.bool_]) -> dict[str, bool]:
    area = np.count_nonzero(cup)
    wide = {"a cup without a rim": math.sqrt(area / np.count_nonzero(disc)) > _WIDEST_CUP}
    if area < _LEAST_PIXELS:
        return wide
    shape = shape_of(cup)
    return {
        "a cup in several pieces": shape.pieces > 1,
        "a cup with dents or holes": shape.solidity < _LEAST_SOLID["cup"],
        "a cup too long for its width": shape.length > _LONGEST,
        **wide,
    }


def _is_cut_off(box: tuple[slice, slice], shape: tuple[int, ...]) -> bool:
    return any(part.start == 0 or part.stop == side for part, side in zip(box, shape, strict=True))


def _lies_in_black(photograph: NDArray[np.uint8], label: NDArray[np.uint8], box: tuple[slice, slice]) -> bool:
    """Whether most of what surrounds the disc is black, as around the field of view."""
    reach = max(2, round(0.04 * (box[0].stop - box[0].start)))
    rows, columns = (slice(max(0, part.start - reach), part.stop + reach) for part in box)
    disc = label[rows, columns] > 0
    ring = ndimage.distance_transform_edt(~disc) <= reach
    ring &= ~disc
    around = photograph[rows, columns].max(axis=-1)[ring]
    inside = photograph[rows, columns].max(axis=-1)[disc]
    return bool(around.size) and float((around < _DARK).mean()) > 0.5 and float(np.median(inside)) > 2 * _DARK
