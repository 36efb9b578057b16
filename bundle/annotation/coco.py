"""Polygons as COCO's object annotations, one JSON file for all photographs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bundle.annotation.regions import (
    UNREADABLE,
    Drawing,
    Region,
    as_ring,
    files_of,
    not_readable,
    regions_of,
    structure_named,
)
from bundle.errors import CallError, UnreadablePhotographError
from bundle.io.files import atomic_write
from bundle.networks.nested_classes import CLASSES

__all__ = ["FILE", "HOLES", "coco_of", "mask_of_counts", "read", "write"]

HOLES = False
FILE = "annotations.json"


def coco_of(drawings: Sequence[Drawing]) -> dict[str, Any]:
    """Images, categories and annotations; all parts of a structure are one annotation.

    Example:
        >>> square = np.array([[1.0, 1.0], [4.0, 1.0], [4.0, 4.0], [1.0, 4.0]])
        >>> content = coco_of([Drawing("eye", [Region("optic_disc", square)], (5, 5), "eye.png")])
        >>> content["annotations"][0]["bbox"], content["annotations"][0]["area"]
        ([1.0, 1.0, 3.0, 3.0], 9.0)
    """
    categories = [{"id": i, "name": name, "supercategory": "eye"} for i, name in enumerate(CLASSES, start=1)]
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number, drawing in enumerate(drawings, start=1):
        height, width = drawing.size or (0, 0)
        name = Path(drawing.photograph).name or f"{drawing.name}.png"
        images.append({"id": number, "file_name": name, "width": width, "height": height})
        for category, structure in enumerate(CLASSES, start=1):
            rings = [region.outer for region in drawing.regions if region.structure == structure]
            if rings:
                points = np.concatenate(rings)
                low, high = points.min(axis=0), points.max(axis=0)
                annotations.append(
                    {
                        "id": len(annotations) + 1,
                        "image_id": number,
                        "category_id": category,
                        "segmentation": [ring.ravel().tolist() for ring in rings],
                        "area": sum(_area(ring) for ring in rings),
                        "bbox": [*low.tolist(), *(high - low).tolist()],
                        "iscrowd": 0,
                    }
                )
    return {"images": images, "annotations": annotations, "categories": categories}


def _area(ring: NDArray[np.float64]) -> float:
    x, y = ring.T
    return abs(float(x @ np.roll(y, -1) - y @ np.roll(x, -1))) / 2


def write(drawings: Sequence[Drawing], output: Path) -> None:
    """Write ``output/annotations.json``."""
    with atomic_write(output / FILE) as temporary:
        temporary.write_text(json.dumps(coco_of(drawings)), encoding="utf-8")


def read(source: Path) -> list[Drawing]:
    """The drawings of a file, or of all JSON files in a folder; polygons and run lengths, compressed or not.

    Raises:
        CallError: a file is not of this form at all.
    """
    return [drawing for path in files_of(source, ".json") for drawing in _drawings_in(path)]


def _drawings_in(path: Path) -> list[Drawing]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        names = {category["id"]: category["name"] for category in content["categories"]}
        drawings = {
            image["id"]: Drawing(
                Path(image["file_name"]).name.rsplit(".", 1)[0],
                size=(int(image["height"]), int(image["width"])),
                photograph=image["file_name"],
                path=path,
            )
            for image in content["images"]
        }
        annotations = [(drawings[each["image_id"]], each) for each in content["annotations"]]
    except UNREADABLE as error:
        raise CallError(f"{path} is not in COCO's format ({error!r}).", "Export it as COCO 1.0.") from None
    drawn = {id(drawing) for drawing, _ in annotations}
    for drawing, annotation in annotations:
        where = path / drawing.photograph
        try:
            structure = structure_named(names[annotation["category_id"]], where)
            drawing.regions += _regions(structure, annotation["segmentation"])
        except UnreadablePhotographError as fault:
            drawing.fault = fault
        except UNREADABLE as error:
            drawing.fault = not_readable(where, error, "COCO")
    # A file may list all photographs of a project, of which some have been drawn in.
    return [drawing for drawing in drawings.values() if id(drawing) in drawn]


def _regions(structure: str, segmentation: Any) -> list[Region]:
    if isinstance(segmentation, Mapping):
        mask = mask_of_counts(segmentation["counts"], tuple(segmentation["size"]))
        label = mask.astype(np.uint8)
        return [Region(structure, r.outer, r.holes) for r in regions_of(label) if r.structure == CLASSES[0]]
    return [Region(structure, as_ring(np.reshape(ring, (-1, 2)))) for ring in segmentation]


def mask_of_counts(counts: str | Sequence[int], size: tuple[int, ...]) -> NDArray[np.bool_]:
    """The mask of COCO's run lengths, which go down the columns and begin with background.

    Args:
        counts: numbers, or their compressed form: five bits a character, each number after the second as the difference
            from the one before the last.
        size: height and width.

    Returns:
        H x W.

    Raises:
        ValueError: the lengths do not fill the mask.

    Example:
        >>> mask_of_counts([1, 2, 1], (2, 2)).tolist()
        [[False, True], [True, False]]
        >>> mask_of_counts("121", (2, 2)).tolist()
        [[False, True], [True, False]]
    """
    lengths = _decompressed(counts) if isinstance(counts, str) else [int(count) for count in counts]
    if sum(lengths) != size[0] * size[1] or min(lengths, default=0) < 0:
        raise ValueError(f"run lengths fill {sum(lengths)} of {size[0]} x {size[1]} pixels")
    values = np.arange(len(lengths)) % 2 == 1
    return np.repeat(values, lengths).reshape(size[1], size[0]).T


def _decompressed(text: str) -> list[int]:
    lengths: list[int] = []
    value = shift = 0
    for letter in text:
        code = ord(letter) - 48
        value |= (code & 31) << shift
        shift += 5
        if not code & 32:
            if code & 16:
                value -= 1 << shift
            lengths.append(value + (lengths[-2] if len(lengths) > 2 else 0))
            value = shift = 0
    return lengths
