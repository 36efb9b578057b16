"""Research data sets of disc and cup, as they ship: which file belongs to which photograph and reader."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.io import loadmat

from bundle.annotation.contour_text import fits_into, read_points
from bundle.annotation.drawn_contours import label_of_drawing
from bundle.annotation.filling import pixels_inside
from bundle.data.formats import PICTURE_SUFFIXES
from bundle.data.label_reader import LabelReader
from bundle.data.label_values import foreground, label_values
from bundle.data.photograph_reader import PhotographReader
from bundle.errors import CallError, UnreadablePhotographError
from bundle.morphometry.cup_disc import Label

__all__ = ["SETS", "Case", "cases_of", "picture_of"]

Shape = tuple[int, int]
Draw = Callable[[Shape], Label]
"""From a photograph's height and width to what a reader drew in it."""
_ORDERS = {"xy": 1, "yx": -1}
"""Step through the columns of a point file that gives x and y."""


@dataclass
class Case:
    """A photograph of a research data set and what readers drew in it.

    Args:
        photograph: the file.
        readers: per reader what gives the label, H x W of 0, 1 and 2, for the photograph's size.
        whole: the same for a label of all readers together that the data set ships itself; None if it has none.
        left_half: whether only the left half of the photograph counts, as in a stereo pair.
    """

    photograph: Path
    readers: Mapping[str, Draw] = field(default_factory=dict)
    whole: Draw | None = None
    left_half: bool = False


def cases_of(name: str, folder: Path, points: str | None = None) -> list[Case]:
    """The cases of a data set.

    Args:
        name: a key of ``SETS``.
        folder: as it was unpacked; photographs and labels are found wherever they lie in it.
        points: order of Drishti-GS's point files, ``xy`` or ``yx``; None finds it out by the soft maps.

    Returns:
        Ordered by the photograph's path, those with at least one label.

    Raises:
        CallError: there is no such folder, or no photograph with a label in it.
    """
    if not folder.is_dir():
        raise CallError(f"the folder {folder} does not exist.", "Name the folder in which the data set was unpacked.")
    files = sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))
    found = SETS[name](files, points) if name == "drishti" else SETS[name](files)
    cases = sorted(found, key=lambda case: case.photograph)
    if not cases:
        problem = f"{folder} holds no photograph with a label as {name} ships them."
        raise CallError(problem, "See docs/how-to/research_data.md.")
    return cases


def picture_of(case: Case) -> NDArray[np.uint8]:
    """The photograph of a case, H x W x 3, in the orientation in which it is displayed.

    Raises:
        UnreadablePhotographError: it cannot be decoded.
    """
    picture = _displayed(case.photograph)
    return picture[:, : picture.shape[1] // 2] if case.left_half else picture


def _displayed(path: Path) -> NDArray[np.uint8]:
    reader = PhotographReader()
    values, _ = reader.get_data(reader.read(str(path)))
    return np.swapaxes(np.asarray(values), 0, 1).round().astype(np.uint8)


class _Photographs:
    """Finds the photograph of a label by its stem; of several of one stem the one that lies nearest."""

    def __init__(self, files: Sequence[Path]) -> None:
        self.by_stem: dict[str, list[Path]] = {}
        for path in files:
            if path.name.lower().endswith(PICTURE_SUFFIXES):
                self.by_stem.setdefault(path.stem.lower(), []).append(path)

    def of(self, stem: str, label: Path) -> Path | None:
        found = [path for path in self.by_stem.get(stem.lower(), []) if path != label]
        return max(found, key=lambda path: _shared(path, label), default=None)


def _shared(one: Path, other: Path) -> int:
    """How many of the first folders two files have in common."""
    pairs = zip(one.parts, other.parts, strict=False)
    return next((i for i, (a, b) in enumerate(pairs) if a != b), 0)


def _label(path: Path | tuple[Path, ...], label_format: str, shape: Shape) -> Label:
    """A label of one of the formats of ``--label_format``, of the photograph's size."""
    reader = LabelReader(label_format)
    values, _ = reader.get_data(reader.read(path))
    return _sized(np.swapaxes(values, 0, 1), path if isinstance(path, Path) else path[0], shape)


def _sized(label: NDArray[Any], path: Path, shape: Shape) -> NDArray[Any]:
    if label.shape != shape:
        sizes = " x ".join(map(str, label.shape[::-1])), " x ".join(map(str, shape[::-1]))
        raise UnreadablePhotographError(path, f"the label is {sizes[0]} pixels but its photograph {sizes[1]}")
    return label


def _refuge(files: Sequence[Path]) -> Iterator[Case]:
    """REFUGE: ``Disc_Cup_Masks/…/g0001.bmp`` of 0 (cup), 128 (rim) and 255."""
    photographs = _Photographs([path for path in files if path.suffix.lower() in (".jpg", ".jpeg")])
    for path in files:
        if path.suffix.lower() in (".bmp", ".png") and (photograph := photographs.of(path.stem, path)):
            yield Case(photograph, whole=partial(_label, path, "refuge"))


def _drishti(files: Sequence[Path], points: str | None = None) -> Iterator[Case]:
    """Drishti-GS: ``SoftMap/…_ODsegSoftmap.png``, the share of readers; or ``AvgBoundary/…_ODAvgBoundary.txt``."""
    photographs = _Photographs(files)
    maps = _pairs(files, r"(.+)_(OD|cup)segSoftmap\.png")
    lines = _pairs(files, r"(.+)_(OD|cup)AvgBoundary\.txt")
    order = points
    for eye in sorted({*maps, *lines}):
        disc, cup = (maps.get(eye) or lines[eye])["od"], (maps.get(eye) or lines[eye]).get("cup")
        photograph = photographs.of(eye, disc)
        if photograph is None or cup is None:
            continue
        if eye in maps:
            agreements = {f"at_least_{n}_of_4": partial(_soft, disc, cup, n) for n in range(1, 5)}
            yield Case(photograph, agreements, whole=partial(_label, (disc, cup), "pair"))
        else:
            order = order or _order_of_points(maps, lines)
            yield Case(photograph, whole=partial(_points, disc, cup, order))


def _soft(disc: Path, cup: Path, least: int, shape: Shape) -> Label:
    """What at least so many of four readers drew."""
    maps = []
    for path in (disc, cup):
        values = label_values(path, by_index=False)
        grey = np.swapaxes(values.max(axis=-1) if values.ndim == 3 else values, 0, 1)
        maps.append(_sized(grey >= (least - 0.5) / 4 * 255, path, shape))
    return maps[0].astype(np.uint8) + (maps[0] & maps[1])


def _order_of_points(maps: Mapping[str, Mapping[str, Path]], lines: Mapping[str, Mapping[str, Path]]) -> str | None:
    """In which order the point files hold x and y, by an eye that has a soft map too; None if there is none."""
    for eye in sorted(maps.keys() & lines.keys()):
        disc = np.swapaxes(foreground(maps[eye]["od"], label_values(maps[eye]["od"], by_index=False)), 0, 1)
        drawn = read_points(lines[eye]["od"])
        inside = {
            order: (pixels_inside(drawn[:, ::step], disc.shape) & disc).sum() for order, step in (("xy", 1), ("yx", -1))
        }
        return max(inside, key=lambda order: inside[order])
    return None


def _points(disc: Path, cup: Path, order: str | None, shape: Shape) -> Label:
    """The label of two point files of Drishti-GS."""
    drawn = [read_points(path) for path in (disc, cup)]
    if order is None:
        fit = [order for order, step in _ORDERS.items() if fits_into(drawn[0][:, ::step], shape)]
        if len(fit) != 1:
            reason = "its points may be x y or y x" if fit else "its points lie outside the photograph"
            raise UnreadablePhotographError(disc, f"{reason}: say which with --points xy or --points yx")
        order = fit[0]
    masks = [pixels_inside(each[:, :: _ORDERS[order]], shape) for each in drawn]
    return masks[0].astype(np.uint8) + (masks[0] & masks[1])


def _pairs(files: Sequence[Path], pattern: str) -> dict[str, dict[str, Path]]:
    """By eye the files of disc (``od`` or ``disc``) and cup, of a pattern that names both; without a disc left out."""
    found: dict[str, dict[str, Path]] = {}
    for path in files:
        if match := re.fullmatch(pattern, path.name, re.IGNORECASE):
            found.setdefault(match[1], {})[match[2].lower()] = path
    return {eye: parts for eye, parts in found.items() if "od" in parts or "disc" in parts}


def _rim_one(files: Sequence[Path]) -> Iterator[Case]:
    """RIM-ONE: r3 ``N-1-L-1-Disc-exp1.png`` of two readers and ``…-Disc-Avg.png``; DL ``r1_Im001-1-Disc-T.png``."""
    photographs = _Photographs(files)
    pattern = re.compile(r"(.+?)(?:-\d)?-(disc|cup)-([A-Za-z]+\d*)\.\w+", re.IGNORECASE)
    found: dict[str, dict[str, dict[str, Path]]] = {}
    for path in files:
        if path.name.lower().endswith(PICTURE_SUFFIXES) and (match := pattern.fullmatch(path.name)):
            found.setdefault(match[1], {}).setdefault(match[3].lower(), {})[match[2].lower()] = path
    for eye, readers in found.items():
        draws = {
            reader: partial(_stereo_pair, parts["disc"], parts["cup"])
            for reader, parts in sorted(readers.items())
            if parts.keys() == {"disc", "cup"}
        }
        some = next(iter(next(iter(readers.values())).values()))
        photograph = photographs.of(eye, some)
        if photograph is not None and draws:
            whole = next((draws.pop(reader) for reader in ("t", "avg") if reader in draws), None)
            left_half = "stereo" in photograph.parent.name.lower()
            yield Case(photograph, draws, whole=whole, left_half=left_half)


def _stereo_pair(disc: Path, cup: Path, shape: Shape) -> Label:
    """A pair of masks, of the photograph or of both pictures of a stereo pair, of which the left one is drawn in."""
    reader = LabelReader("pair")
    values, _ = reader.get_data(reader.read((disc, cup)))
    label = np.swapaxes(values, 0, 1)
    if label.shape[0] == shape[0] and label.shape[1] // 2 == shape[1]:
        label = label[:, : shape[1]]
    return _sized(label, disc, shape)


def _origa(files: Sequence[Path]) -> Iterator[Case]:
    """ORIGA: ``001.mat`` with a matrix of the photograph's size, 0, 1 (disc rim) and 2 (cup)."""
    photographs = _Photographs(files)
    for path in files:
        if path.suffix.lower() == ".mat" and (photograph := photographs.of(path.stem, path)):
            yield Case(photograph, whole=partial(_matrix, path))


def _matrix(path: Path, shape: Shape) -> Label:
    try:
        content = loadmat(path)
    except NotImplementedError:
        raise UnreadablePhotographError(path, "it is of MATLAB 7.3: save it with -v7") from None
    except Exception as error:
        raise UnreadablePhotographError(path, f"it cannot be read as a .mat file ({type(error).__name__})") from None
    planes = {name: value for name, value in content.items() if getattr(value, "ndim", 0) == 2 and value.size > 4}
    fitting = [value for value in planes.values() if value.shape == shape]
    if len(fitting) != 1:
        sizes = ", ".join(f"{name} {value.shape[1]} x {value.shape[0]}" for name, value in planes.items()) or "none"
        wanted = f"{shape[1]} x {shape[0]}"
        raise UnreadablePhotographError(path, f"it holds no single matrix of the photograph's size {wanted}: {sizes}")
    values = np.asarray(fitting[0]).astype(float)
    if not set(np.unique(values)) <= {0.0, 1.0, 2.0}:
        raise UnreadablePhotographError(path, "its matrix holds other values than 0 background, 1 disc rim and 2 cup")
    return values.astype(np.uint8)


def _contours(files: Sequence[Path]) -> Iterator[Case]:
    """PAPILA: ``RET002OD_disc_exp1.txt`` and ``RET002OD_cup_exp1.txt``, x and y in each line."""
    photographs = _Photographs(files)
    pattern = re.compile(r"(.+)_(disc|cup)(?:_([^_]+))?\.txt", re.IGNORECASE)
    found: dict[str, dict[str, dict[str, Path]]] = {}
    for path in files:
        if match := pattern.fullmatch(path.name):
            reader = (match[3] or "").lower()
            found.setdefault(match[1], {}).setdefault(reader, {})[match[2].lower()] = path
    for eye, readers in found.items():
        draws = {
            reader: partial(_points, parts["disc"], parts["cup"], "xy")
            for reader, parts in sorted(readers.items())
            if parts.keys() == {"disc", "cup"}
        }
        photograph = photographs.of(eye, next(iter(next(iter(readers.values())).values())))
        if photograph is not None and draws:
            whole = draws.pop("", None)
            yield Case(photograph, draws, whole=whole)


def _riga(files: Sequence[Path]) -> Iterator[Case]:
    """RIGA: ``image1prime.tif``, and ``image1-1.tif`` to ``image1-6.tif`` with a reader's lines in it; or text."""
    yield from _contours(files)
    pictures = [path for path in files if path.name.lower().endswith(PICTURE_SUFFIXES)]
    for prime in pictures:
        if not prime.stem.lower().endswith("prime"):
            continue
        stem = re.escape(prime.stem[: -len("prime")])
        readers = {
            f"reader{match[1]}": partial(_drawn, prime, path)
            for path in pictures
            if path.parent == prime.parent and (match := re.fullmatch(rf"{stem}-(\d+)", path.stem, re.IGNORECASE))
        }
        if readers:
            yield Case(prime, readers)


def _drawn(prime: Path, drawing: Path, shape: Shape) -> Label:
    picture = _displayed(drawing)
    _sized(picture[..., 0], drawing, shape)
    label = label_of_drawing(_displayed(prime), picture)
    if label is None:
        raise UnreadablePhotographError(drawing, f"no line in it encloses anything that {prime.name} does not show")
    return label


def _idrid(files: Sequence[Path]) -> Iterator[Case]:
    """IDRiD: ``5. Optic Disc/IDRiD_01_OD.tif``, the disc alone."""
    photographs = _Photographs(files)
    for path in files:
        if (match := re.fullmatch(r"(.+)_OD\.tiff?", path.name, re.IGNORECASE)) and (
            photograph := photographs.of(match[1], path)
        ):
            yield Case(photograph, whole=partial(_disc_alone, path))


def _disc_alone(path: Path, shape: Shape) -> Label:
    mask = foreground(path, label_values(path, by_index=False))
    return _sized(np.swapaxes(mask, 0, 1).astype(np.uint8), path, shape)


SETS: Mapping[str, Callable[..., Iterator[Case]]] = {
    "refuge": _refuge,
    "drishti": _drishti,
    "rim-one": _rim_one,
    "origa": _origa,
    "papila": _contours,
    "riga": _riga,
    "idrid": _idrid,
}
"""The data sets by name; each function gives the cases among files."""
