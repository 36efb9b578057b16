"""Contours as polygons in GeoJSON files, which other programs can edit, and labels from such files."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from skimage.draw import polygon2mask

from bundle.data.listing import list_photographs
from bundle.errors import CallError
from bundle.io.files import atomic_write
from bundle.morphometry.cup_disc import Label, region_contours
from bundle.networks.nested_classes import CLASSES
from bundle.report.contours import CUP_COLOUR, DISC_COLOUR

__all__ = ["label_of", "polygons_of", "write_labels", "write_polygons"]

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
        CallError: the file is not GeoJSON, or an annotation belongs to neither structure.
    """
    remedy = f"Export annotations of the classes {' and '.join(CLASSES)} as GeoJSON."
    masks = {name: np.zeros(shape, bool) for name in CLASSES}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        for feature in content["features"] if isinstance(content, dict) else content:
            name = feature["properties"]["classification"]["name"]
            geometry = feature["geometry"]
            parts = {"Polygon": [geometry["coordinates"]], "MultiPolygon": geometry["coordinates"]}[geometry["type"]]
            for outer, *holes in parts:
                masks[name] |= _filled(outer, shape) & ~np.any([_filled(hole, shape) for hole in holes], axis=0)
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise CallError(f"{path} cannot be read as contours ({error!r}).", remedy) from None
    return np.where(masks["optic_cup"], 2, masks["optic_disc"]).astype(np.uint8)


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


def write_labels(polygons: Path, photographs: Path, masks: Path, output: Path) -> int:
    """Write a data set for training from the photographs that have corrected polygons.

    Args:
        polygons: folder of ``<name>.geojson``.
        photographs: the folder that inference read.
        masks: folder of the PNG masks that inference wrote, which give the size of the labels.
        output: receives ``image/`` and ``label/``.

    Returns:
        How many labels were written.

    Raises:
        CallError: there are no polygons, or some belong to an unknown photograph or to one without a mask.
    """
    paths = sorted(polygons.glob("*.geojson"))
    if not paths:
        raise CallError(f"there are no .geojson files in {polygons}.", "Export the corrected contours there.")
    sources = {item["name"]: Path(item["image"]) for item in list_photographs(photographs)}
    for path in paths:
        mask = masks / f"{path.stem}.png"
        if path.stem not in sources or not mask.is_file():
            missing = mask if path.stem in sources else f"photograph {path.stem} in {photographs}"
            raise CallError(f"{path} has no {missing}.", "Name polygons after the masks that they correct.")
        with Image.open(mask) as picture:
            label = label_of(path, (picture.height, picture.width))
        photograph = output / "image" / f"{path.stem}{sources[path.stem].suffix}"
        with atomic_write(photograph) as temporary:
            shutil.copyfile(sources[path.stem], temporary)
        with atomic_write(output / "label" / f"{path.stem}.png") as temporary:
            Image.fromarray(label).save(temporary)
    return len(paths)
