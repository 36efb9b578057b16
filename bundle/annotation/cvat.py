"""Polygons as CVAT's XML for images, one file for all photographs."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from bundle.annotation.regions import (
    UNREADABLE,
    Drawing,
    Region,
    as_ring,
    ellipse,
    files_of,
    not_readable,
    regions_of,
    structure_named,
)
from bundle.errors import CallError, UnreadablePhotographError
from bundle.io.files import atomic_write
from bundle.networks.nested_classes import CLASSES

__all__ = ["FILE", "HOLES", "cvat_of", "read", "write"]

HOLES = False
FILE = "annotations.xml"


def cvat_of(drawings: Sequence[Drawing]) -> ET.Element:
    """The document, in version 1.1; the cup lies above the disc (``z_order``).

    Example:
        >>> square = np.array([[1.0, 1.0], [4.0, 1.0], [4.0, 4.0], [1.0, 4.0]])
        >>> document = cvat_of([Drawing("eye", [Region("optic_disc", square)], (5, 5), "eye.png")])
        >>> document.find("image/polygon").get("points")
        '1.00,1.00;4.00,1.00;4.00,4.00;1.00,4.00'
    """
    document = ET.Element("annotations")
    ET.SubElement(document, "version").text = "1.1"
    # Datumaro reads no file without it.
    task = ET.SubElement(ET.SubElement(document, "meta"), "task")
    ET.SubElement(task, "size").text = str(len(drawings))
    ET.SubElement(task, "mode").text = "annotation"
    labels = ET.SubElement(task, "labels")
    for name in CLASSES:
        ET.SubElement(ET.SubElement(labels, "label"), "name").text = name
    for number, drawing in enumerate(drawings):
        height, width = drawing.size or (0, 0)
        name = Path(drawing.photograph).name or f"{drawing.name}.png"
        image = ET.SubElement(document, "image", id=str(number), name=name, width=str(width), height=str(height))
        for region in drawing.regions:
            ET.SubElement(
                image,
                "polygon",
                label=region.structure,
                source="auto",
                occluded="0",
                points=";".join(f"{x:.2f},{y:.2f}" for x, y in region.outer.tolist()),
                z_order=str(CLASSES.index(region.structure)),
            )
    return document


def write(drawings: Sequence[Drawing], output: Path) -> None:
    """Write ``output/annotations.xml``."""
    document = cvat_of(drawings)
    ET.indent(document)
    with atomic_write(output / FILE) as temporary:
        temporary.write_bytes(ET.tostring(document, encoding="utf-8", xml_declaration=True))


def read(source: Path) -> list[Drawing]:
    """The drawings of a file, or of all XML files in a folder: polygons, ellipses and masks.

    Raises:
        CallError: a file is not of this form at all.
    """
    return [drawing for path in files_of(source, ".xml") for drawing in _drawings_in(path)]


def _drawings_in(path: Path) -> list[Drawing]:
    remedy = "Export it as CVAT for images 1.1."
    try:
        content = path.read_bytes()
        if b"<!DOCTYPE" in content or b"<!ENTITY" in content:
            raise ValueError("it declares entities")
        document = ET.fromstring(content)
        images = [(image, int(image.attrib["height"]), int(image.attrib["width"])) for image in document.iter("image")]
    except (ET.ParseError, *UNREADABLE) as error:
        raise CallError(f"{path} is not in CVAT's format ({error!r}).", remedy) from None
    if document.tag != "annotations":
        raise CallError(f"{path} is not in CVAT's format (it begins with <{document.tag}>).", remedy)
    found = []
    for image, height, width in images:
        name = image.get("name", "")
        stem = Path(name).name.rsplit(".", 1)[0]
        drawing = Drawing(stem, size=(height, width), photograph=name, path=path)
        shapes = [shape for shape in image if shape.tag != "tag"]
        for shape in shapes:
            where = path / name
            try:
                structure = structure_named(shape.get("label"), where)
                drawing.regions += _SHAPES[shape.tag](structure, shape.attrib, (height, width))
            except UnreadablePhotographError as fault:
                drawing.fault = fault
            except UNREADABLE as error:
                drawing.fault = not_readable(where, error, "CVAT")
        if shapes:
            found.append(drawing)
    return found


def _polygon(structure: str, shape: Mapping[str, str], size: tuple[int, int]) -> list[Region]:
    points = [[float(number) for number in point.split(",")] for point in shape["points"].split(";")]
    return [Region(structure, as_ring(points))]


def _ellipse(structure: str, shape: Mapping[str, str], size: tuple[int, int]) -> list[Region]:
    x, y, radius_x, radius_y = (float(shape[key]) for key in ("cx", "cy", "rx", "ry"))
    return [Region(structure, ellipse(x, y, radius_x, radius_y, float(shape.get("rotation", 0))))]


def _mask(structure: str, shape: Mapping[str, str], size: tuple[int, int]) -> list[Region]:
    """Run lengths along the rows of a box, background first."""
    lengths = [int(count) for count in shape["rle"].split(",")]
    left, top, width, height = (int(float(shape[key])) for key in ("left", "top", "width", "height"))
    inside = np.repeat(np.arange(len(lengths)) % 2, lengths).reshape(height, width)
    label = np.zeros(size, np.uint8)
    label[top : top + height, left : left + width] = inside
    return [Region(structure, region.outer, region.holes) for region in regions_of(label)]


_SHAPES: Mapping[str, Callable[[str, Mapping[str, str], tuple[int, int]], list[Region]]] = {
    "polygon": _polygon,
    "ellipse": _ellipse,
    "mask": _mask,
}
