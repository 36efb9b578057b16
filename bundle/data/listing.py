"""What lies in a data set's folder."""

from __future__ import annotations

import os
import stat
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, NoReturn

from monai.utils import ensure_tuple

from bundle.data.formats import FORMATS, LABEL_SUFFIXES, check_label_format
from bundle.data.kinds import PassedOver, is_photograph
from bundle.data.names import split_suffix, unique_names
from bundle.data.own_outputs import own_names
from bundle.errors import CallError

__all__ = ["list_photographs"]


def list_photographs(
    folder: str | os.PathLike[str] | None,
    labels: Literal["none", "optional", "required"] = "none",
    label_format: str = "index",
    exclude: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] = (),
) -> list[dict[str, Any]]:
    """Lists a folder's photographs: those below its subfolder ``image`` if it has one, otherwise all below it.

    Hidden files and folders are left out, and so are the bundle's own results, and label folders: ``label``, and
    ``disc`` and ``cup`` where they lie beside each other or beside a folder ``image``. Links are followed; a link to
    nowhere is listed, because it will be reported as unreadable; a folder that is reached twice is listed once.

    A label belongs to the photograph whose relative path or name it carries, or whose stem if no other photograph has
    the same one. What is neither a photograph nor a table, text or program is counted in one line of the log.

    Args:
        folder: what is listed.
        labels: ``none`` does not look at the label folders at all; ``optional`` adds the labels that are there;
            ``required`` insists on one for every photograph.
        label_format: one of ``LABEL_FORMATS``.
        exclude: folders inside it, one or several, to pass over, such as the output folder.

    Returns:
        per photograph, ordered by relative path, a dict of ``image`` (its absolute path), ``name`` (unique, also where
        case does not count, and fit to be a file's stem) and, if there is a label, ``label`` (its path, or
        ``[disc, cup]``).

    Raises:
        CallError: there is no such folder, no photograph in it, a required label is missing, or the format is unknown.
    """
    check_label_format(label_format)
    dataset = _existing_folder(folder)
    root = dataset / "image" if os.path.isdir(dataset / "image") else dataset  # noqa: PTH112
    excluded = {os.path.realpath(path) for path in ensure_tuple(exclude) if str(path)}
    passed_over = PassedOver()
    found = _photographs_below(root, excluded, passed_over)
    paths = sorted(found, key=lambda path: path.relative_to(root).as_posix())
    passed_over.report(root)
    if not paths:
        raise CallError(f"there are no photographs in {root}.", f"Put {FORMATS} files there.")
    relatives = [path.relative_to(root).as_posix() for path in paths]
    names = unique_names(relatives)
    items: list[dict[str, Any]] = [{"image": str(path), "name": name} for path, name in zip(paths, names, strict=True)]
    if labels != "none":
        _add_labels(items, relatives, dataset, label_format, required=labels == "required")
    return items


def _existing_folder(dataset_dir: str | os.PathLike[str] | None) -> Path:
    if dataset_dir is None or not str(dataset_dir):
        raise CallError("no folder of photographs was given.", "Pass it with --dataset_dir.")
    # os.path answers where Path raises: for a NUL, an unknown ~user, a name that is too long, a closed folder.
    folder = Path(os.path.expanduser(dataset_dir)).absolute()  # noqa: PTH111
    if not os.path.exists(folder):  # noqa: PTH110
        raise CallError(f"the folder {folder} does not exist.", "Pass a folder of photographs with --dataset_dir.")
    if not os.path.isdir(folder):  # noqa: PTH112
        raise CallError(f"{folder} is a file.", "Pass the folder that holds it with --dataset_dir.")
    return folder


def _photographs_below(root: Path, excluded: set[str], passed_over: PassedOver) -> Iterator[Path]:
    seen = {os.path.realpath(root)}
    for folder, subfolders, files in os.walk(root, followlinks=True, onerror=_refuse_folder):
        ours = own_names(folder)
        subfolders[:] = [
            name
            for name in sorted(_without_label_folders(subfolders))
            if name not in ours and _is_new(Path(folder, name), seen, excluded)
        ]
        for name in files:
            path = Path(folder, name)
            if name.startswith(".") or name in ours or not _may_be_file(path):
                continue
            if is_photograph(path):
                yield path
            else:
                passed_over.add(path)


def _refuse_folder(error: OSError) -> NoReturn:
    raise CallError(f"the folder {error.filename} cannot be read ({error.strerror}).", "Change its permissions.")


def _without_label_folders(names: Sequence[str]) -> list[str]:
    """Drops hidden and label folders. A lone ``disc`` may well be a folder of photographs centred on the disc."""
    hidden = {name for name in names if name.startswith(".")}
    paired = "image" in names or {"disc", "cup"} <= set(names)
    return [name for name in names if name not in hidden | {"label"} | ({"disc", "cup"} if paired else set())]


def _is_new(folder: Path, seen: set[str], excluded: set[str]) -> bool:
    real = os.path.realpath(folder)
    if real in seen or real in excluded:
        return False
    seen.add(real)
    return True


def _may_be_file(path: Path) -> bool:
    """Not so for pipes, sockets and devices; so for what cannot be looked at, which will be reported as unreadable."""
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except OSError:
        return True


def _add_labels(
    items: list[dict[str, Any]], relatives: Sequence[str], dataset: Path, label_format: str, required: bool
) -> None:
    folders = [dataset / name for name in (("disc", "cup") if label_format == "pair" else ("label",))]
    if required:
        for folder in folders:
            if not folder.is_dir():
                raise CallError(
                    f"the label folder {folder} does not exist.",
                    f"Put the labels there as {folder.name}/<stem>.png, or pass another --label_format.",
                )
    paths = [split_suffix(relative)[0] for relative in relatives]
    stems = Counter(path.rsplit("/", 1)[-1] for path in paths)
    missing: list[Path] = []
    for item, path in zip(items, paths, strict=True):
        stem = path.rsplit("/", 1)[-1]
        candidates = [path, item["name"]] + ([stem] if stems[stem] == 1 else [])
        found = [_first_label(folder, candidates) for folder in folders]
        if all(found):
            item["label"] = [str(label) for label in found] if label_format == "pair" else str(found[0])
        else:
            missing.append(folders[found.index(None)] / f"{candidates[-1]}.png")
    if required and missing:
        raise CallError(
            f"{len(missing)} of {len(items)} photographs have no label; the first that is missing is {missing[0]}.",
            "Add the labels, or move photographs without one elsewhere.",
        )


def _first_label(folder: Path, candidates: Sequence[str]) -> Path | None:
    # os.path answers where Path raises: for names that are too long, say.
    suffixes = [*LABEL_SUFFIXES, *(suffix.upper() for suffix in LABEL_SUFFIXES)]
    paths = (folder / f"{name}{suffix}" for name in candidates for suffix in suffixes)
    return next((path for path in paths if os.path.isfile(path)), None)  # noqa: PTH113
