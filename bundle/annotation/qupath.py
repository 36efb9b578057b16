"""Polygons as GeoJSON, a file per photograph, as QuPath opens and exports it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bundle.annotation.regions import UNREADABLE, Drawing, Region, as_ring, files_of, not_readable, structure_named
from bundle.errors import UnreadablePhotographError
from bundle.io.files import atomic_write
from bundle.networks.nested_classes import CLASSES
from bundle.report.contours import CUP_COLOUR, DISC_COLOUR

__all__ = ["COLOURS", "HOLES", "geojson_of", "read", "write"]

HOLES = True
"""Whether the format has holes."""
COLOURS = dict(zip(CLASSES, (DISC_COLOUR, CUP_COLOUR), strict=True))


def geojson_of(regions: Sequence[Region]) -> dict[str, Any]:
    """A feature collection of annotations; its rings are closed, the outer one first.

    Example:
        >>> square = np.array([[1.0, 1.0], [4.0, 1.0], [4.0, 4.0], [1.0, 4.0]])
        >>> geojson_of([Region("optic_disc", square)])["features"][0]["properties"]["classification"]["name"]
        'optic_disc'
    """
    features = []
    for region in regions:
        name = region.structure
        properties = {"objectType": "annotation", "classification": {"name": name, "color": COLOURS[name]}}
        rings = [np.concatenate([ring, ring[:1]]).tolist() for ring in region.rings]
        features.append(
            {"type": "Feature", "geometry": {"type": "Polygon", "coordinates": rings}, "properties": properties}
        )
    return {"type": "FeatureCollection", "features": features}


def write(drawings: Sequence[Drawing], output: Path) -> None:
    """Write ``output/<name>.geojson`` for each photograph."""
    for drawing in drawings:
        with atomic_write(output / f"{drawing.name}.geojson") as temporary:
            temporary.write_text(json.dumps(geojson_of(drawing.regions)), encoding="utf-8")


def read(source: Path) -> list[Drawing]:
    """The drawings in a folder of ``<name>.geojson``, or in one such file."""
    found = []
    for path in files_of(source, ".geojson"):
        drawing = Drawing(path.stem, path=path)
        try:
            drawing.regions = _regions_in(path)
        except UnreadablePhotographError as fault:
            drawing.fault = fault
        found.append(drawing)
    return found


def _regions_in(path: Path) -> list[Region]:
    found = []
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        for feature in content["features"] if isinstance(content, dict) else content:
            kind = feature["properties"]["classification"]
            structure = structure_named(kind["name"] if "name" in kind else kind["names"][0], path)
            geometry = feature["geometry"]
            parts = {"Polygon": [geometry["coordinates"]], "MultiPolygon": geometry["coordinates"]}[geometry["type"]]
            found += [Region(structure, as_ring(outer), tuple(map(as_ring, holes))) for outer, *holes in parts]
    except UNREADABLE as error:
        raise not_readable(path, error, "GeoJSON") from None
    return found
