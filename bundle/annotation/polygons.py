"""Contours as polygons that annotators' programs edit, and labels from what they export."""

from __future__ import annotations

import logging
import shutil
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from bundle.annotation import coco, cvat, labelme, qupath
from bundle.annotation.regions import Drawing, Region, label_of_regions, regions_of
from bundle.data.limits import size_text
from bundle.data.listing import list_photographs
from bundle.data.names import split_suffix
from bundle.data.photograph_reader import PhotographReader
from bundle.errors import CallError, UnreadablePhotographError, one_line
from bundle.io.files import atomic_write
from bundle.morphometry.cup_disc import Label

__all__ = ["FORMATS", "Format", "Written", "write_labels", "write_polygons"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Format:
    """A format of annotations.

    Args:
        write: writes drawings into a folder.
        read: reads those of a folder, or of one file.
        holes: whether it has holes.
        files: what its files are called, for messages.
    """

    write: Callable[[Sequence[Drawing], Path], None]
    read: Callable[[Path], list[Drawing]]
    holes: bool
    files: str


FORMATS: Mapping[str, Format] = {
    "qupath": Format(qupath.write, qupath.read, qupath.HOLES, ".geojson"),
    "coco": Format(coco.write, coco.read, coco.HOLES, ".json"),
    "cvat": Format(cvat.write, cvat.read, cvat.HOLES, ".xml"),
    "labelme": Format(labelme.write, labelme.read, labelme.HOLES, ".json"),
}
"""The formats by name."""


@dataclass(frozen=True)
class Written:
    """What was written of a folder of masks.

    Args:
        masks: their number.
        fewest: points of a contour.
        most: points of a contour.
        lowest_dice: between a mask's disc, or its cup, and that which its polygons make; NaN where nothing is drawn.
    """

    masks: int
    fewest: int
    most: int
    lowest_dice: float


def write_polygons(
    masks: Path, output: Path, name: str = "qupath", tolerance: float | None = None, photographs: Path | None = None
) -> Written:
    """Write the contours of all PNG masks of a folder.

    Args:
        masks: folder of the PNG masks that inference wrote.
        output: receives the files.
        name: a key of ``FORMATS``.
        tolerance: largest distance in pixels from the mask's border; None: 30 to 60 points a contour, see ``thinned``.
        photographs: the folder that inference read, whose names COCO, CVAT and labelme write down; None: each is called
            as its mask.

    Returns:
        Their number, and how far the polygons keep to them.

    Raises:
        CallError: there are no masks.
    """
    paths = sorted(masks.glob("*.png"))
    if not paths:
        raise CallError(f"there are no PNG masks in {masks}.", "Run inference first, with --mask_format png.")
    sources = {item["name"]: item["image"] for item in list_photographs(photographs)} if photographs else {}
    drawings: list[Drawing] = []
    points: list[int] = []
    kept: list[float] = []
    for path in paths:
        with Image.open(path) as picture:
            label = np.asarray(picture)
        regions = regions_of(label, tolerance, holes=FORMATS[name].holes)
        points += [len(region.outer) for region in regions]
        kept += _dice_of(label, regions, path)
        drawings.append(Drawing(path.stem, regions, (label.shape[0], label.shape[1]), sources.get(path.stem, "")))
    FORMATS[name].write(drawings, output)
    return Written(len(paths), min(points, default=0), max(points, default=0), min(kept, default=float("nan")))


def _dice_of(label: Label, regions: Sequence[Region], path: Path) -> list[float]:
    """Dice of disc and of cup between a label and that of its polygons, of those that are drawn."""
    if not regions:
        return []
    back = label_of_regions(regions, (label.shape[0], label.shape[1]), path)
    pairs = [(label >= value, back >= value) for value in (1, 2)]
    return [float(2 * (one & other).sum() / (one.sum() + other.sum())) for one, other in pairs if one.any()]


def write_labels(
    polygons: Path,
    photographs: Path,
    output: Path,
    masks: Path | None = None,
    name: str = "qupath",
    only: str | None = None,
    reader: str | None = None,
) -> tuple[int, dict[str, str]]:
    """Write a data set for training from the photographs that have corrected polygons.

    Of a drawing that makes no label (see ``label_of_regions``) nothing is written, and the log names it.

    Args:
        polygons: folder of the files, or one file.
        photographs: the folder that inference read.
        output: receives ``image/`` and ``label/``.
        masks: folder of the PNG masks that inference wrote, which give the size of the labels; None takes that of each
            photograph.
        name: a key of ``FORMATS``.
        only: ``optic_disc`` or ``optic_cup`` where only that was corrected: the label leaves the other one out.
        reader: who drew: the labels go to ``label/<reader>/``; None: to ``label/``.

    Returns:
        How many labels were written, and by path why the others were not.

    Raises:
        CallError: there are no polygons, some belong to an unknown photograph or to one without a mask, or none makes a
            label. Nothing is written then.
    """
    if reader is not None and (Path(reader).name != reader or reader.startswith(".")):
        raise CallError(f"--reader {reader!r} is no name of a folder.", "Give a plain name.")
    drawings = FORMATS[name].read(polygons)
    if not drawings:
        files = FORMATS[name].files
        raise CallError(
            f"there are no {files} files with contours in {polygons}.", "Export the corrected contours there."
        )
    sources = _sources(photographs)
    for drawing in drawings:
        where = drawing.path if drawing.path.stem == drawing.name else f"{drawing.name} in {drawing.path}"
        if drawing.name not in sources:
            problem = f"{where} has no photograph {drawing.name} in {photographs}."
            raise CallError(problem, "Name polygons after the masks that they correct.")
        if masks is not None and not (masks / f"{sources[drawing.name][0]}.png").is_file():
            problem = f"{where} has no {masks / drawing.name}.png."
            raise CallError(problem, "Name polygons after the masks that they correct.")
    unfit: dict[str, str] = {}
    written = 0
    for drawing in drawings:
        stem, source = sources[drawing.name]
        try:
            label = _label(drawing, source, masks / f"{stem}.png" if masks else None, only)
            _write_pair(label, source, stem, output, reader)
            written += 1
        except UnreadablePhotographError as error:
            unfit[error.path] = error.reason
            logger.warning("no label: %s", one_line(str(error)))
    if not written:
        first, reason = next(iter(unfit.items()))
        raise CallError(
            f"not one of {len(drawings)} files makes a label; the first is {first}: {reason}.", "Mend them."
        )
    return written, unfit


def _sources(photographs: Path) -> dict[str, tuple[str, Path]]:
    """Name and file of each photograph, by its name and, where no other has the same, by its file's stem."""
    items = list_photographs(photographs)
    stems = {item["name"]: split_suffix(Path(item["image"]).name)[0] for item in items}
    counts = Counter(stems.values())
    by_stem = {stems[item["name"]]: (item["name"], Path(item["image"])) for item in items}
    found = {stem: entry for stem, entry in by_stem.items() if counts[stem] == 1}
    return found | {item["name"]: (item["name"], Path(item["image"])) for item in items}


def _label(drawing: Drawing, source: Path, mask: Path | None, only: str | None) -> Label:
    """The label of a drawing, of the mask's size or of the photograph's."""
    if drawing.fault is not None:
        raise drawing.fault
    if mask is not None:
        with Image.open(mask) as picture:
            shape = (picture.height, picture.width)
    else:
        reader = PhotographReader()
        width, height = reader.get_data(reader.read(str(source)))[0].shape[:2]
        shape = (height, width)
    where = drawing.path if drawing.path.stem == drawing.name else drawing.path / drawing.name
    if drawing.size is not None and drawing.size != shape:
        drawn, wanted = size_text(drawing.size[::-1]), size_text(shape[::-1])
        raise UnreadablePhotographError(
            where,
            f"it was drawn in a picture of {drawn} pixels, and the photograph has {wanted}: draw in the photograph",
        )
    return label_of_regions(drawing.regions, shape, where, only)


def _write_pair(label: Label, source: Path, name: str, output: Path, reader: str | None) -> None:
    """Write a label, and a copy of its photograph beside it."""
    suffix = source.name.removeprefix(split_suffix(source.name)[0])
    with atomic_write(output / "image" / f"{name}{suffix}") as temporary:
        shutil.copyfile(source, temporary)
    with atomic_write(output / "label" / (reader or "") / f"{name}.png") as temporary:
        Image.fromarray(label).save(temporary)
