"""Contours as polygons in GeoJSON files, which other programs can edit, and labels from such files."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from skimage.draw import polygon2mask

from bundle.data.listing import list_photographs
from bundle.data.names import split_suffix
from bundle.errors import CallError, UnreadablePhotographError, one_line
from bundle.io.files import atomic_write
from bundle.morphometry.cup_disc import Label, region_contours
from bundle.networks.nested_classes import CLASSES
from bundle.report.contours import CUP_COLOUR, DISC_COLOUR

__all__ = ["label_of", "polygons_of", "write_labels", "write_polygons"]

logger = logging.getLogger(__name__)

COLOURS = dict(zip(CLASSES, (DISC_COLOUR, CUP_COLOUR), strict=True))


def polygons_of(label: Label) -> dict[str, Any]:
    """The contours of a label map as GeoJSON annotations, as QuPath reads them.

    Args:
        label: H x W of 0 (background), 1 (disc rim) and 2 (cup).

    Returns:
        A feature collection. Its points are (x, y) in pixels from the picture's upper left corner, so that the centre
        of the first pixel is (0.5, 0.5).

    Example:
        >>> label = np.zeros((9, 9), np.uint8)
        >>> label[2:7, 2:7], label[4, 4] = 1, 2
        >>> [feature["properties"]["classification"]["name"] for feature in polygons_of(label)["features"]]
        ['optic_disc', 'optic_cup']
    """
    features = []
    for name, region in zip(CLASSES, (label >= 1, label == 2), strict=True):
        for contour in region_contours(region):
            properties = {"objectType": "annotation", "classification": {"name": name, "color": COLOURS[name]}}
            geometry = {"type": "Polygon", "coordinates": [(contour[:, ::-1] + 0.5).tolist()]}
            features.append({"type": "Feature", "geometry": geometry, "properties": properties})
    return {"type": "FeatureCollection", "features": features}


def label_of(path: Path, shape: tuple[int, int]) -> Label:
    """The label map of a GeoJSON file: a pixel belongs to a polygon if its centre lies inside.

    Args:
        path: the file, a feature collection or a list of features.
        shape: height and width of the label map.

    Returns:
        H x W of 0 (background), 1 (disc rim) and 2 (cup); a pixel in the cup's polygon is 2, even outside the disc's.

    Raises:
        UnreadablePhotographError: the file is not GeoJSON, an annotation belongs to neither structure, or there is no
            label in it: no polygon of the disc holds a pixel, or the cup lies outside it.
    """
    remedy = f"export annotations of the classes {' and '.join(CLASSES)} as GeoJSON"
    masks = {name: np.zeros(shape, bool) for name in CLASSES}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        for feature in content["features"] if isinstance(content, dict) else content:
            name = feature["properties"]["classification"]["name"]
            geometry = feature["geometry"]
            parts = {"Polygon": [geometry["coordinates"]], "MultiPolygon": geometry["coordinates"]}[geometry["type"]]
            for outer, *holes in parts:
                masks[name] |= _filled(outer, shape) & ~np.any([_filled(hole, shape) for hole in holes], axis=0)
    except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
        raise UnreadablePhotographError(path, f"it cannot be read as contours ({error!r}): {remedy}") from None
    disc, cup = (masks[name] for name in CLASSES)
    if not disc.any():
        what = "a cup without a disc" if cup.any() else "neither disc nor cup"
        raise UnreadablePhotographError(path, f"it shows {what}: draw the disc, or leave the file out")
    if cup.any() and not (cup & disc).any():
        raise UnreadablePhotographError(path, "the cup lies outside the disc: draw both in pixels of the photograph")
    return np.where(cup, 2, disc).astype(np.uint8)


def _filled(ring: Sequence[Sequence[float]], shape: tuple[int, int]) -> np.ndarray:
    """Mask of the pixels whose centre lies in a ring of points (x, y)."""
    return polygon2mask(shape, np.asarray(ring, dtype=float)[:, ::-1] - 0.5)


def write_polygons(masks: Path, output: Path) -> int:
    """Write each PNG mask of a folder as ``output/<name>.geojson``.

    Returns:
        The number of masks.

    Raises:
        CallError: there are no masks.
    """
    paths = sorted(masks.glob("*.png"))
    if not paths:
        raise CallError(f"there are no PNG masks in {masks}.", "Run inference first, with --mask_format png.")
    for path in paths:
        content = polygons_of(np.asarray(Image.open(path)))
        with atomic_write(output / f"{path.stem}.geojson") as temporary:
            temporary.write_text(json.dumps(content), encoding="utf-8")
    return len(paths)


def write_labels(polygons: Path, photographs: Path, masks: Path, output: Path) -> tuple[int, dict[str, str]]:
    """Write a data set for training from the photographs that have corrected polygons.

    Of a file that makes no label (see ``label_of``) nothing is written, and the log names it.

    Args:
        polygons: folder of ``<name>.geojson``.
        photographs: the folder that inference read.
        masks: folder of the PNG masks that inference wrote, which give the size of the labels.
        output: receives ``image/`` and ``label/``.

    Returns:
        How many labels were written, and by path why the others were not.

    Raises:
        CallError: there are no polygons, some belong to an unknown photograph or to one without a mask, or none makes a
            label. Nothing is written then.
    """
    paths = sorted(polygons.glob("*.geojson"))
    if not paths:
        raise CallError(f"there are no .geojson files in {polygons}.", "Export the corrected contours there.")
    sources = {item["name"]: Path(item["image"]) for item in list_photographs(photographs)}
    shapes: dict[Path, tuple[int, int]] = {}
    for path in paths:
        mask = masks / f"{path.stem}.png"
        if path.stem not in sources or not mask.is_file():
            missing = mask if path.stem in sources else f"photograph {path.stem} in {photographs}"
            raise CallError(f"{path} has no {missing}.", "Name polygons after the masks that they correct.")
        with Image.open(mask) as picture:
            shapes[path] = (picture.height, picture.width)
    unfit: dict[str, str] = {}
    for path, shape in shapes.items():
        try:
            _write_pair(label_of(path, shape), sources[path.stem], path.stem, output)
        except UnreadablePhotographError as error:
            unfit[error.path] = error.reason
            logger.warning("no label: %s", one_line(str(error)))
    if len(unfit) == len(paths):
        first, reason = next(iter(unfit.items()))
        raise CallError(f"not one of {len(paths)} files makes a label; the first is {first}: {reason}.", "Mend them.")
    return len(paths) - len(unfit), unfit


def _write_pair(label: Label, source: Path, name: str, output: Path) -> None:
    """Write a label, and a copy of its photograph beside it."""
    suffix = source.name.removeprefix(split_suffix(source.name)[0])
    with atomic_write(output / "image" / f"{name}{suffix}") as temporary:
        shutil.copyfile(source, temporary)
    with atomic_write(output / "label" / f"{name}.png") as temporary:
        Image.fromarray(label).save(temporary)
