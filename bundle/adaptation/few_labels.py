"""A few photographs of the target that a reader corrected."""

from __future__ import annotations

import logging
import math
import os
import statistics
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import ignite.distributed as idist
import numpy as np
import torch
from monai.utils import convert_to_tensor
from numpy.typing import NDArray
from torch import nn

from bundle.data.formats import LABEL_SUFFIXES
from bundle.data.label_checks import label_fault
from bundle.data.label_reader import LabelReader
from bundle.data.labelled_dataset import LabelledDataset
from bundle.data.listing import list_photographs
from bundle.data.partial_labels import NOT_CUP, RIM_OR_CUP, hard_label
from bundle.data.photograph_reader import PhotographReader
from bundle.data.reader_labels import readers_in, with_readers
from bundle.errors import CallError, UnreadablePhotographError, one_line
from bundle.morphometry.cup_disc import measure
from bundle.transforms.disc_view import DiscLocation
from bundle.transforms.labelled_view import labelled_disc

__all__ = ["UNCHANGED", "corrected_photographs", "leave_out_unchanged"]

logger = logging.getLogger(__name__)

UNCHANGED = 0.997
"""Dice of disc and of cup from which on a label counts as the model's own proposal, in the model's view."""
_FAR = 0.25
"""Distance of a vertical ratio from the others' median from which on a warning asks whether one reader drew both."""
_SURE = 0.8
"""Confidence of the search from which on its disc decides whether a label is turned."""
_MISSES, _FITS = 0.5, 0.8
"""Dice with the model's drawing below which a label misses it, and above which a turned one fits."""
_SHOWN: Mapping[str, str] = {"": "both", "no_cup": "disc", "no_rim": "cup"}
"""What a label shows, by its fault; other faults make it useless."""
_OF_NO_USE: Mapping[str, str] = {
    "no_disc": "it shows neither disc nor cup",
    "swapped": "its rim lies inside its cup",
    "outside": "its cup lies outside its disc",
}


def corrected_photographs(
    folder: str | os.PathLike[str] | None,
    label_format: str = "index",
    others: Sequence[Mapping[str, Any]] = (),
    reader: str | None = None,
    locate: Callable[[torch.Tensor], DiscLocation | None] | None = None,
) -> list[dict[str, Any]]:
    """List the corrected photographs in a folder, and say what is left out and why.

    Args:
        folder: with ``label/`` and, unless the photographs are among ``others``, ``image/``; None for no photographs.
            Labels of several readers lie in ``label/<reader>/``.
        label_format: see ``LabelReader``.
        others: photographs among which a label finds its own by name, where the folder has none.
        reader: whose labels count, the name of a folder in ``label/``; None for those of all.
        locate: finds the disc in a photograph (3 x W x H, 0 to 255), to tell turned labels; None where all are crops.

    Returns:
        per photograph a dict of ``image``, ``label`` (a path, or those of all readers), ``name``, ``structures``
        (``both``, or ``disc`` or ``cup`` where only one is drawn) and, where readers have folders, ``readers``.

    Raises:
        CallError: there is no such folder or reader, or no label in it is of use.
    """
    if folder is None:
        if reader is not None:
            raise CallError("--reader chooses among corrected photographs.", "Pass their folder with --few_labels.")
        return []
    useful, ratios = [], {}
    for item in _listed(folder, label_format, others, reader):
        if "label" not in item:
            continue
        drawn = _Drawn(item, label_format, locate)
        if drawn.labels:
            useful.append({**item, **drawn.entries()})
        if drawn.ratios:
            ratios[item["name"]] = statistics.fmean(drawn.ratios.values())
    if not useful:
        remedy = "Put labels there as label/<stem>.png: 0 background, 1 disc rim, 2 cup."
        raise CallError(f"{folder} holds no label of use for --few_labels.", remedy)
    _compare(ratios)
    return useful


class _Drawn:
    """What the readers of a photograph drew; what is of no use is named and left out.

    Attributes:
        labels: the files of each reader whose label is of use; the name is empty where readers have no folders.
        ratios: the vertical ratio of each label that shows both structures.
    """

    def __init__(
        self,
        item: Mapping[str, Any],
        label_format: str,
        locate: Callable[[torch.Tensor], DiscLocation | None] | None = None,
    ) -> None:
        paths, each = _paths(item), 2 if label_format == "pair" else 1
        parts = [paths[start : start + each] for start in range(0, len(paths), each)]
        self.labels: dict[str, list[str]] = {}
        self.ratios: dict[str, float] = {}
        self.shown: set[str] = set()
        reader = LabelReader(label_format)
        where = _place(item["image"], locate)
        for name, files in zip(item.get("readers", "").split("/"), parts, strict=True):
            whose = f"{item['name']} by {name}" if name else item["name"]
            try:
                label = reader.get_data(reader.read(files))[0]
            except UnreadablePhotographError:
                # Whoever reads it next with its photograph tells of it.
                self._keep(name, files, "both")
                continue
            fault = label_fault(label)
            if where is not None and _lies_turned(label, where):
                _say("the label of %s is left out: turned or mirrored, it would lie on the disc, and does not", whose)
                continue
            if fault == "":
                self.ratios[name] = measure(label.T).vcdr
            elif fault not in _SHOWN:
                _say("the label of %s is left out: %s", whose, _OF_NO_USE[fault])
                continue
            else:
                _say("the label of %s shows the %s alone: only that is learned", whose, _SHOWN[fault])
            self._keep(name, files, _SHOWN[fault])
        if self.ratios and max(self.ratios.values()) - min(self.ratios.values()) > _FAR:
            ratios = ", ".join(f"{name} {ratio:.2f}" for name, ratio in self.ratios.items())
            _say("readers contradict each other in %s, whose vertical ratio is %s", item["name"], ratios)

    def _keep(self, name: str, files: list[str], shown: str) -> None:
        self.labels[name] = files
        self.shown |= {"disc", "cup"} if shown == "both" else {shown}

    def entries(self) -> dict[str, Any]:
        """The item's ``label``, ``structures`` and ``readers``."""
        paths = [path for files in self.labels.values() for path in files]
        structures = "both" if len(self.shown) > 1 else next(iter(self.shown))
        readers = {"readers": "/".join(self.labels)} if "" not in self.labels else {}
        return {"label": paths if len(paths) > 1 else paths[0], "structures": structures, **readers}


def _place(photograph: str, locate: Callable[[torch.Tensor], DiscLocation | None] | None) -> DiscLocation | None:
    """Where a photograph shows its disc; None if that is not asked, not sure, or the photograph cannot be read."""
    if locate is None:
        return None
    reader = PhotographReader()
    try:
        found = locate(torch.as_tensor(reader.get_data(reader.read(photograph))[0]).movedim(-1, 0).float())
    except UnreadablePhotographError:
        # Whoever reads it next tells of it.
        return None
    return found if found is not None and found.confidence >= _SURE and not found.rival else None


def _lies_turned(label: NDArray[np.uint8], where: DiscLocation) -> bool:
    """Whether a label (W x H) misses the disc that a photograph shows, and turned or mirrored would lie on it."""
    drawn = labelled_disc(torch.from_numpy(label)[None])
    if drawn is None or math.hypot(drawn.x - where.x, drawn.y - where.y) < (drawn.diameter + where.diameter) / 2:
        return False
    (width, height), (x, y) = label.shape, (drawn.x, drawn.y)
    places = [(width - 1 - x, y), (x, height - 1 - y), (width - 1 - x, height - 1 - y)]
    if width == height:
        places += [(b, a) for a, b in [(x, y), *places]]
    return any(math.hypot(a - where.x, b - where.y) < where.diameter / 2 for a, b in places)


def _listed(
    folder: str | os.PathLike[str], label_format: str, others: Sequence[Mapping[str, Any]], reader: str | None
) -> list[dict[str, Any]]:
    root = Path(os.path.expanduser(folder))  # noqa: PTH111
    labels = root / ("disc" if label_format == "pair" else "label")
    if (root / "image").is_dir() or not labels.is_dir():
        items = list_photographs(root, labels="optional", label_format=label_format)
    else:
        items = [_with_label(item, root, label_format) for item in others]
    readers = readers_in(root, label_format)
    if readers or reader is not None:
        items = with_readers(items, root, label_format, reader)
    used = {Path(str(path)).name for item in items for path in _paths(item)}
    folders = [labels / reader] if reader is not None else [labels, *(labels / name for name in readers)]
    orphans = {path.name for each in folders for path in _label_files(each) if path.name not in used}
    if orphans:
        _say("left out, for their photographs are not there: %s", one_line(", ".join(sorted(orphans))))
    return items


def _label_files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return [path for path in folder.iterdir() if path.name.lower().endswith(tuple(LABEL_SUFFIXES))]


def _paths(item: Mapping[str, Any]) -> list[str]:
    label = item.get("label", [])
    return [label] if isinstance(label, str) else list(label)


def _with_label(item: Mapping[str, Any], root: Path, label_format: str) -> dict[str, Any]:
    """A photograph with the label that bears its name, if there is one."""
    names = ("disc", "cup") if label_format == "pair" else ("label",)
    stems = dict.fromkeys((item["name"], Path(item["image"]).stem))
    files = [
        next(
            (
                str(path)
                for stem in stems
                for suffix in LABEL_SUFFIXES
                if (path := root / name / f"{stem}{suffix}").is_file()
            ),
            None,
        )
        for name in names
    ]
    if not all(files):
        return dict(item)
    return {**item, "label": files if label_format == "pair" else files[0]}


def _compare(ratios: Mapping[str, float]) -> None:
    """Warn of ratios that lie far from the others, as those of another reader would."""
    for name, ratio in ratios.items():
        rest = [other for key, other in ratios.items() if key != name]
        if len(rest) > 1 and abs(ratio - statistics.median(rest)) > _FAR:
            words = (
                "the cup drawn in %s has a ratio of %.2f, the others' median is %.2f: was it drawn by the same rules?"
            )
            _say(words, name, ratio, statistics.median(rest))


def leave_out_unchanged(
    dataset: LabelledDataset, network: nn.Module, seen: Callable[[Any], Any], device: torch.device | str = "cpu"
) -> None:
    """Leave out photographs whose label is what the model drew itself: they would teach it to stay as it is.

    A crop's label that fits what the model drew only when it is turned or mirrored is left out too.

    Args:
        dataset: corrected photographs; those that are not corrected are taken out of it.
        network: before adaptation.
        seen: from an item to what the network sees, with the label in the same view.
        device: of the network.

    Raises:
        CallError: none is left.
    """
    if not dataset.data:
        return
    kept = []
    network.eval()
    for item in dataset.data:
        view = seen(item)
        with torch.no_grad():
            drawn = network(torch.as_tensor(view["image"])[None].to(device)).argmax(dim=1)[0].cpu()
        told = hard_label(convert_to_tensor(view["label"], track_meta=False)[0]).long()
        if _fits_turned(told, drawn):
            _say("the label of %s is left out: turned or mirrored it would fit, and does not", item["name"])
        elif _is_drawn(told, drawn):
            _say("not corrected, left out: the label of %s is the model's own", item["name"])
        else:
            kept.append(item)
    if not kept:
        raise CallError("no label of --few_labels differs from what the model drew.", "Correct some of the masks.")
    if len(kept) < len(dataset.data):
        dataset.set_data(kept)


def _fits_turned(label: torch.Tensor, drawn: torch.Tensor) -> bool:
    """Whether a label misses what the model drew, and fits when it is turned or mirrored; W x W each."""
    if (label == NOT_CUP).any():
        region, own = label == 2, drawn == 2
    else:
        region, own = (label >= 1) & (label <= RIM_OR_CUP), drawn >= 1
    if _dice(own, region) >= _MISSES:
        return False
    turned = [torch.rot90(each, quarters) for each in (region, region.T) for quarters in range(4)]
    return max(_dice(own, each) for each in turned) > _FITS


def _is_drawn(label: torch.Tensor, drawn: torch.Tensor) -> bool:
    """Whether all that a label tells of disc and cup is what the model drew, W x H each."""
    parts = []
    if not (label == NOT_CUP).any():
        parts.append((drawn >= 1, (label >= 1) & (label <= RIM_OR_CUP)))
    if not (label == RIM_OR_CUP).any():
        parts.append((drawn == 2, label == 2))
    return min(_dice(one, other) for one, other in parts) >= UNCHANGED


def _dice(one: torch.Tensor, other: torch.Tensor) -> float:
    total = int(one.sum() + other.sum())
    return 2 * int((one & other).sum()) / total if total else 1.0


def _say(message: str, *values: Any) -> None:
    if idist.get_rank() == 0:
        logger.warning(message, *values)
