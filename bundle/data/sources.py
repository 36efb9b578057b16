"""Several data sets that a network is trained on at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from bundle.data.listing import list_photographs
from bundle.data.partial_labels import STRUCTURES
from bundle.data.reader_labels import with_readers
from bundle.data.splits import split_source
from bundle.errors import CallError
from bundle.settings import nearest

__all__ = ["Source", "source_items", "with_both"]


@dataclass(frozen=True)
class Source:
    """How one data set takes part in training.

    Args:
        share: its part of all draws in training, above 0; shares are relative to each other.
        structures: what its labels show, one of ``STRUCTURES``; of ``none`` no label is looked for.
        held_out: share of its photographs, in [0, 1), that is kept for validation (``split_source``).
        most: largest number of photographs to train on, spread evenly over the sorted names; None for all.
        readers: whether to train on what each reader drew, ``label/<reader>/<name>.png``; what is held out keeps the
            label ``label/<name>.png``.

    Raises:
        ValueError: a value is out of range.

    Example:
        >>> Source(structures="disc", held_out=0.2)
        Source(share=1.0, structures='disc', held_out=0.2, most=None, readers=False)
    """

    share: float = 1.0
    structures: str = "both"
    held_out: float = 0.0
    most: int | None = None
    readers: bool = False

    def __post_init__(self) -> None:
        if not self.share > 0 or not 0 <= self.held_out < 1 or (self.most is not None and self.most < 1):
            raise ValueError(f"out of range: {self}.")
        if self.structures not in STRUCTURES:
            raise ValueError(f"structures is {self.structures!r}; allowed are {', '.join(STRUCTURES)}.")


def source_items(
    dataset_dir: str | Path | None,
    sources: Mapping[str, Mapping[str, Any]],
    leave_out: str | Sequence[str] | None = None,
    label_format: str = "index",
    seed: int = 0,
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """List the photographs of several data sets, those to train on and those that are held out.

    Args:
        dataset_dir: the folder that contains the data sets.
        sources: the arguments of a ``Source`` by its folder, relative to ``dataset_dir``.
        leave_out: first parts of folders that take no part at all, such as ``refuge`` or ``drishti_gs`` (which leaves
            ``drishti_gs_fullframe`` out too): a camera on which the network shall be tried. Several are separated by
            commas.
        label_format: of all labels, see ``LabelReader``.
        seed: of ``split_source``.

    Returns:
        two lists of dicts with ``image``, ``name`` (with the data set's), ``structures``, ``weight`` (with which the
        photograph is drawn) and, unless it is unlabelled, ``label``; in the second list only what is held out.

    Raises:
        CallError: a folder, its photographs or a label is missing, a setting of a source is unknown or out of range,
            ``leave_out`` is in no folder's name, or nothing is left.

    Example:
        >>> import tempfile
        >>> from PIL import Image
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     for kind, mode in (("image", "RGB"), ("label", "L")):
        ...         (Path(folder) / "clinic" / kind).mkdir(parents=True)
        ...         Image.new(mode, (32, 32)).save(Path(folder) / "clinic" / kind / "eye.png")
        ...     training, held_out = source_items(folder, {"clinic": {"structures": "disc", "share": 2.0}})
        >>> training[0]["name"], training[0]["structures"], training[0]["weight"], held_out
        ('clinic/eye', 'disc', 2.0, [])
    """
    left_out = [name for name in (leave_out.split(",") if isinstance(leave_out, str) else leave_out or ()) if name]
    for name in left_out:
        if not any(folder.startswith(name) for folder in sources):
            remedy = f"Pass the start of one of {', '.join(sources)}."
            raise CallError(f"leave_out {name!r} is in no source{nearest(name, sources)}.", remedy)
    training: list[dict[str, Any]] = []
    held_out: list[dict[str, Any]] = []
    for folder, settings in sources.items():
        if folder.startswith(tuple(left_out)):
            continue
        source = _source(folder, settings)
        kept, kept_back = _split(source, folder, dataset_dir, label_format, seed)
        common = {"structures": source.structures, "weight": source.share / len(kept)}
        training += [{**item, "name": f"{folder}/{item['name']}", **common} for item in kept]
        held_out += [{**item, "name": f"{folder}/{item['name']}", **common} for item in kept_back]
    if not training:
        raise CallError("no source is left to train on.", "Leave out fewer.")
    return training, held_out


def _source(folder: str, settings: Mapping[str, Any]) -> Source:
    try:
        return Source(**settings)
    except (TypeError, ValueError) as error:
        known = ", ".join(Source.__dataclass_fields__)
        raise CallError(f"source {folder}: {error}", f"Its settings: {known}.") from None


def _split(
    source: Source, folder: str, dataset_dir: str | Path | None, label_format: str, seed: int
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    if dataset_dir is None:
        raise CallError("no folder of data sets was given.", "Pass it with --dataset_dir.")
    labels: Literal["none", "required"] = "none" if source.structures == "none" else "required"
    found = list_photographs(Path(dataset_dir) / folder, labels=labels, label_format=label_format)
    kept, kept_back = split_source(found, source.held_out, seed) if source.held_out else (found, [])
    count = len(kept) if source.most is None else min(source.most, len(kept))
    chosen = np.unique(np.linspace(0, len(kept) - 1, count).round().astype(int))
    training = [kept[index] for index in chosen]
    if source.readers:
        training = with_readers(training, Path(dataset_dir) / folder, label_format)
        for item in training:
            item.pop("readers", None)  # Items of a batch have the same entries.
    return training, kept_back


def with_both(items: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The items whose labels show both structures.

    Example:
        >>> with_both([{"name": "a", "structures": "both"}, {"name": "b", "structures": "disc"}])
        [{'name': 'a', 'structures': 'both'}]
    """
    return [item for item in items if item["structures"] == "both"]
