"""Polygons as labelme's JSON, a file per photograph."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bundle.annotation.regions import (
    UNREADABLE,
    Drawing,
    Region,
    as_ring,
    ellipse,
    files_of,
    not_readable,
    structure_named,
)
from bundle.errors import UnreadablePhotographError
from bundle.io.files import atomic_write

__all__ = ["HOLES", "labelme_of", "read", "write"]

HOLES = False


def labelme_of(drawing: Drawing, photograph: str) -> dict[str, Any]:
    """The content of a file.

    Args:
        drawing: of one photograph.
        photograph: path of the picture that labelme opens beside the polygons, relative to the file.

    Example:
        >>> square = np.array([[1.0, 1.0], [4.0, 1.0], [4.0, 4.0], [1.0, 4.0]])
        >>> labelme_of(Drawing("eye", [Region("optic_disc", square)], (5, 5)), "eye.png")["shapes"][0]["points"][0]
        [1.0, 1.0]
    """
    height, width = drawing.size or (0, 0)
    shapes = [
        {
            "label": region.structure,
            "points": region.outer.tolist(),
            "group_id": None,
            "description": "",
            "shape_type": "polygon",
            "flags": {},
        }
        for region in drawing.regions
    ]
    return {
        "version": "5.5.0",
        "flags": {},
        "shapes": shapes,
        "imagePath": photograph,
        "imageData": None,
        "imageHeight": height,
        "imageWidth": width,
    }


def write(drawings: Sequence[Drawing], output: Path) -> None:
    """Write ``output/<name>.json`` for each photograph; each names its photograph, which labelme opens with it."""
    for drawing in drawings:
        photograph = drawing.photograph or f"{drawing.name}.png"
        if os.path.dirname(photograph):  # noqa: PTH120
            photograph = os.path.relpath(photograph, output)
        with atomic_write(output / f"{drawing.name}.json") as temporary:
            temporary.write_text(json.dumps(labelme_of(drawing, Path(photograph).as_posix())), encoding="utf-8")


def read(source: Path) -> list[Drawing]:
    """The drawings in a folder of ``<name>.json``, or in one such file: polygons and circles."""
    found = []
    for path in files_of(source, ".json"):
        drawing = Drawing(path.stem, path=path)
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            if content.get("imageHeight") and content.get("imageWidth"):
                drawing.size = (int(content["imageHeight"]), int(content["imageWidth"]))
            drawing.regions = [_region(shape, path) for shape in content["shapes"]]
        except UnreadablePhotographError as fault:
            drawing.fault = fault
        except UNREADABLE as error:
            drawing.fault = not_readable(path, error, "labelme's JSON")
        found.append(drawing)
    return found


def _region(shape: Mapping[str, Any], path: Path) -> Region:
    structure = structure_named(shape["label"], path)
    points, kind = shape["points"], shape.get("shape_type", "polygon")
    if kind == "circle":
        (x, y), edge = points[0], points[1]
        radius = float(np.hypot(edge[0] - x, edge[1] - y))
        return Region(structure, ellipse(x, y, radius, radius))
    if kind not in ("polygon", "linestrip"):
        raise UnreadablePhotographError(path, f"a {kind} is no contour: draw polygons or circles")
    return Region(structure, as_ring(points))
