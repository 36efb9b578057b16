"""Labels of several readers, each in a folder of their own: ``label/<reader>/<name>.png``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bundle.data.formats import LABEL_SUFFIXES
from bundle.data.names import split_suffix
from bundle.errors import CallError
from bundle.settings import nearest

__all__ = ["readers_in", "readers_of", "with_readers"]


def readers_in(folder: Path, label_format: str = "index") -> list[str]:
    """The readers who have a folder of labels.

    A folder of labels that bears the name of a folder of photographs belongs to these, and to no reader.

    Args:
        folder: with ``label/`` (with ``disc/`` and ``cup/`` for ``pair``) and perhaps ``image/``.
        label_format: see ``LabelReader``.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     (Path(folder) / "label" / "anna").mkdir(parents=True)
        ...     readers_in(Path(folder))
        ['anna']
    """
    labels = folder / ("disc" if label_format == "pair" else "label")
    if not labels.is_dir():
        return []
    found = sorted(path.name for path in labels.iterdir() if path.is_dir() and not path.name.startswith("."))
    return [name for name in found if not (folder / "image" / name).is_dir()]


def readers_of(items: Sequence[Mapping[str, Any]]) -> list[str]:
    """The readers who drew the labels of photographs, in alphabetical order; none where labels have no reader.

    Example:
        >>> readers_of([{"name": "a", "readers": "ben/anna"}, {"name": "b"}])
        ['anna', 'ben']
    """
    return sorted({reader for item in items for reader in item.get("readers", "").split("/") if reader})


def with_readers(
    items: Sequence[Mapping[str, Any]], folder: Path, label_format: str = "index", reader: str | None = None
) -> list[dict[str, Any]]:
    """The photographs with the labels of all readers, or of one.

    Args:
        items: photographs, with or without a label.
        folder: see ``readers_in``.
        label_format: see ``LabelReader``.
        reader: whose labels count; None for those of all.

    Returns:
        The items: ``label`` is what the readers drew, a path, or all paths one reader after the other, and ``readers``
        names them, with slashes between them. A photograph that no reader labelled keeps the label it has, but loses it
        where ``reader`` is given.

    Raises:
        CallError: no folder is that reader's.
    """
    known = readers_in(folder, label_format)
    if reader is not None and reader not in known:
        whose = f"Use one of {', '.join(known)}." if known else "Put the labels into label/<reader>/<name>.png."
        raise CallError(f"{folder} holds no labels of a reader {reader!r}{nearest(reader, known)}.", whose)
    return [_with_readers(item, folder, label_format, [reader] if reader else known, bool(reader)) for item in items]


def _with_readers(
    item: Mapping[str, Any], folder: Path, label_format: str, readers: Sequence[str], alone: bool
) -> dict[str, Any]:
    structures = ("disc", "cup") if label_format == "pair" else ("label",)
    by_reader = {reader: [_label_of(item, folder / kind / reader) for kind in structures] for reader in readers}
    whole = {reader: [str(path) for path in paths if path] for reader, paths in by_reader.items() if all(paths)}
    paths = [path for found in whole.values() for path in found]
    if not paths:
        return {key: value for key, value in item.items() if not (alone and key == "label")}
    return {**item, "label": paths if len(paths) > 1 else paths[0], "readers": "/".join(whole)}


def _label_of(item: Mapping[str, Any], folder: Path) -> Path | None:
    """The label that bears a photograph's name, or its stem."""
    stems = dict.fromkeys((item["name"], split_suffix(Path(item["image"]).name)[0]))
    paths = (folder / f"{stem}{suffix}" for stem in stems for suffix in LABEL_SUFFIXES)
    return next((path for path in paths if path.is_file()), None)
