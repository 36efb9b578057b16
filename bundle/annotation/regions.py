"""Contours of disc and cup as polygons, and the label that polygons make.

Points are (x, y) in pixels from the upper left corner of the picture, so that the first pixel's centre is (0.5, 0.5);
QuPath, COCO, CVAT and labelme count so too. The outer ring of a region runs so that the sum of x1 y2 - x2 y1 over its
sides is positive, its holes the other way round, as RFC 7946 wants it of GeoJSON; rings are read in either direction.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.measure import approximate_polygon

from bundle.annotation.filling import pixels_inside
from bundle.errors import UnreadablePhotographError
from bundle.morphometry.cup_disc import Label, region_contours
from bundle.networks.nested_classes import CLASSES

__all__ = [
    "UNREADABLE",
    "Drawing",
    "Region",
    "Ring",
    "as_ring",
    "ellipse",
    "files_of",
    "label_of_regions",
    "not_readable",
    "regions_of",
    "structure_named",
    "thinned",
]

logger = logging.getLogger(__name__)

Ring = NDArray[np.float64]
"""N x 2 points (x, y); the last is not the first again."""
FEWEST, MOST = 30, 60
"""Points of a contour that is thinned without a given tolerance: few enough to move by hand."""
UNREADABLE = (OSError, ValueError, KeyError, TypeError, IndexError, AttributeError)
"""What reading a file of another form raises."""
_NAMES = {
    "optic_disc": ("optic_disc", "optic_disk", "disc", "disk", "od"),
    "optic_cup": ("optic_cup", "cup", "oc"),
}


@dataclass(frozen=True)
class Region:
    """A connected part of a structure.

    Args:
        structure: one of ``CLASSES``.
        outer: its border.
        holes: the borders of its holes.
    """

    structure: str
    outer: Ring
    holes: tuple[Ring, ...] = ()

    @property
    def rings(self) -> tuple[Ring, ...]:
        """The outer ring, then the holes."""
        return (self.outer, *self.holes)


@dataclass
class Drawing:
    """What was drawn in one photograph.

    Args:
        name: of the photograph, without its suffix.
        regions: the polygons.
        size: height and width of the picture; None if the file does not say.
        photograph: the photograph's file, or its name.
        path: the file that the polygons come from.
        fault: why there is no label in it.
    """

    name: str
    regions: list[Region] = field(default_factory=list)
    size: tuple[int, int] | None = None
    photograph: str = ""
    path: Path = Path()
    fault: UnreadablePhotographError | None = None


def structure_named(name: object, path: Path) -> str:
    """The structure that a class of annotations stands for: ``optic_disc``, ``disc``, ``OD``, ``Optic Cup``, ...

    Raises:
        UnreadablePhotographError: it stands for none; ``path`` is named.

    Example:
        >>> structure_named("Optic Disc", Path()), structure_named("cup", Path())
        ('optic_disc', 'optic_cup')
    """
    plain = str(name).strip().lower().replace(" ", "_").replace("-", "_")
    for structure, names in _NAMES.items():
        if plain in names:
            return structure
    raise UnreadablePhotographError(path, f"{name!r} is no class of it: name the classes {' and '.join(CLASSES)}")


def regions_of(label: Label, tolerance: float | None = 0.0, holes: bool = True) -> list[Region]:
    """The contours of a label map.

    Args:
        label: H x W of 0 (background), 1 (disc rim) and 2 (cup).
        tolerance: largest distance in pixels by which the polygon may miss the border between pixels; at 0 the label
            comes back pixel for pixel; None: see ``thinned``.
        holes: whether holes are kept; otherwise they are filled, for formats without holes, and the log says so.

    Returns:
        Discs first, then cups, which lie in them.

    Example:
        >>> label = np.zeros((9, 9), np.uint8)
        >>> label[2:7, 2:7], label[4, 4] = 1, 2
        >>> [(region.structure, len(region.outer)) for region in regions_of(label)]
        [('optic_disc', 20), ('optic_cup', 4)]
    """
    found = []
    for structure, mask in zip(CLASSES, (label >= 1, label == 2), strict=True):
        filled = ndimage.binary_fill_holes(mask)
        if not holes:
            if filled.sum() > mask.sum():
                logger.warning("a hole in the %s is filled, for this format has none", structure)
            mask = filled
        # Pixels that touch at a corner alone are parts of their own, as the contours take them.
        parts, count = ndimage.label(mask)
        for number in range(1, count + 1):
            outer, *inner = sorted(map(_ring, region_contours(parts == number)), key=_area, reverse=True)
            rings = [_turned(thinned(ring, tolerance), i == 0) for i, ring in enumerate((outer, *inner))]
            found.append(Region(structure, rings[0], tuple(rings[1:])))
    return found


def thinned(ring: Ring, tolerance: float | None) -> Ring:
    """A ring with fewer points (Douglas and Peucker, as scikit-image has it).

    Args:
        ring: N x 2.
        tolerance: largest distance in pixels from the ring; None: the smallest at which 60 points are left, which
            leaves 30 to 60 of any ring with so many.

    Example:
        >>> turn = np.linspace(0, 2 * np.pi, 400, endpoint=False)
        >>> circle = 100 + 50 * np.stack([np.cos(turn), np.sin(turn)], axis=1)
        >>> len(thinned(circle, 0.5)), 30 <= len(thinned(circle, None)) <= 60
        (32, True)
    """
    if tolerance is not None:
        return _approximated(ring, tolerance)
    if len(ring) <= MOST:
        return ring
    low, high = 0.0, 1.0
    while len(_approximated(ring, high)) > MOST:
        low, high = high, 2 * high
    for _ in range(12):
        middle = (low + high) / 2
        low, high = (middle, high) if len(_approximated(ring, middle)) > MOST else (low, middle)
    return _approximated(ring, high)


def _approximated(ring: Ring, tolerance: float) -> Ring:
    if tolerance <= 0 or len(ring) < 5:
        return ring
    # Both halves are thinned on their own: of a closed line the first and the last point stay, and they are one.
    half = len(ring) // 2
    parts = (ring[: half + 1], np.concatenate([ring[half:], ring[:1]]))
    left = np.concatenate([approximate_polygon(part, tolerance)[:-1] for part in parts])
    return left if len(left) > 2 else ring


def _ring(contour: NDArray[np.float64]) -> Ring:
    """A closed contour of (row, column) as a ring."""
    return contour[:-1, ::-1] + 0.5


def _area(ring: Ring) -> float:
    return abs(_signed_area(ring))


def _signed_area(ring: Ring) -> float:
    x, y = ring.T
    return float(x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2


def _turned(ring: Ring, positive: bool) -> Ring:
    return ring if (_signed_area(ring) > 0) == positive else ring[::-1]


def as_ring(points: Sequence[Sequence[float]] | Ring) -> Ring:
    """Points (x, y) as a ring, whether or not the last is the first again.

    Raises:
        ValueError: they are fewer than three, or no finite numbers.

    Example:
        >>> as_ring([[0, 0], [4, 0], [4, 4], [0, 0]]).tolist()
        [[0.0, 0.0], [4.0, 0.0], [4.0, 4.0]]
    """
    ring = np.asarray(points, dtype=float)
    if ring.ndim != 2 or ring.shape[1] < 2 or not np.isfinite(ring).all():
        raise ValueError("points are not pairs of finite numbers")
    ring = ring[:-1, :2] if len(ring) > 1 and (ring[0, :2] == ring[-1, :2]).all() else ring[:, :2]
    if len(ring) < 3:
        raise ValueError(f"a contour has {len(ring)} points")
    return ring


def files_of(source: Path, suffix: str) -> list[Path]:
    """A file itself, or the files of a folder that end in ``suffix``, sorted.

    Example:
        >>> files_of(Path("no/such/folder"), ".json")
        []
    """
    return [source] if source.is_file() else sorted(source.glob(f"*{suffix}"))


def not_readable(path: Path, error: Exception, kind: str) -> UnreadablePhotographError:
    """What is said of a file that is not of its format."""
    remedy = f"export annotations of the classes {' and '.join(CLASSES)} as {kind}"
    return UnreadablePhotographError(path, f"it cannot be read as contours ({error!r}): {remedy}")


def ellipse(x: float, y: float, radius_x: float, radius_y: float, degrees: float = 0.0) -> Ring:
    """An ellipse as a ring of 180 points.

    Args:
        x: of the centre.
        y: of the centre.
        radius_x: half of its width before it is turned.
        radius_y: half of its height before it is turned.
        degrees: by which it is turned, clockwise as seen.

    Example:
        >>> ring = ellipse(50, 40, 20, 10, degrees=90)
        >>> ring.min(axis=0).round().tolist(), ring.max(axis=0).round().tolist()
        ([40.0, 20.0], [60.0, 60.0])
    """
    turn, by = np.linspace(0, 2 * np.pi, 180, endpoint=False), np.radians(degrees)
    along, across = radius_x * np.cos(turn), radius_y * np.sin(turn)
    return np.stack(
        [x + along * np.cos(by) - across * np.sin(by), y + along * np.sin(by) + across * np.cos(by)], axis=1
    )


def label_of_regions(regions: Iterable[Region], shape: tuple[int, int], path: Path, only: str | None = None) -> Label:
    """The label map of polygons: a pixel belongs to a region if its centre lies inside the outer ring and in no hole.

    Parts of a structure are united, in whatever order and direction they were drawn.

    Args:
        regions: the polygons.
        shape: height and width of the label map.
        path: the file that they come from, for the message.
        only: a structure, where the other one is to be left out.

    Returns:
        H x W of 0 (background), 1 (disc rim) and 2 (cup); a pixel in the cup is 2, even outside the disc. With ``only``
        there is no 2, or no 1.

    Raises:
        UnreadablePhotographError: there is no label in them: no polygon of the disc, or of ``only``, holds a pixel, or
            the cup lies outside the disc.

    Example:
        >>> square = np.array([[1.0, 1.0], [4.0, 1.0], [4.0, 4.0], [1.0, 4.0]])
        >>> int(label_of_regions([Region("optic_disc", square)], (5, 5), Path()).sum())
        9
    """
    masks = {name: np.zeros(shape, bool) for name in CLASSES}
    for region in regions:
        outer, *holes = (pixels_inside(ring - 0.5, shape) for ring in region.rings)
        masks[region.structure] |= outer & ~np.any([np.zeros(shape, bool), *holes], axis=0)
    disc, cup = (masks[name] for name in CLASSES)
    if only is not None:
        if not masks[only].any():
            raise UnreadablePhotographError(path, f"it shows no {only}: draw it, or leave the file out")
        return (masks[only] * (CLASSES.index(only) + 1)).astype(np.uint8)
    if not disc.any():
        remedy = "draw the disc, or leave the file out"
        what = f"a cup without a disc: {remedy}, or pass --only cup" if cup.any() else f"neither disc nor cup: {remedy}"
        raise UnreadablePhotographError(path, f"it shows {what}")
    if cup.any() and not (cup & disc).any():
        raise UnreadablePhotographError(path, "the cup lies outside the disc: draw both in pixels of the photograph")
    return np.where(cup, 2, disc).astype(np.uint8)
