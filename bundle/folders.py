"""What lies in a data set's folder, under which names its results are written, and how they are written."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import secrets
import stat
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, NoReturn

from bundle.errors import CallError

__all__ = [
    "DICOM_SUFFIXES",
    "LABEL_FORMATS",
    "NO_ROOM",
    "NIFTI_SUFFIXES",
    "PHOTOGRAPH_SUFFIXES",
    "atomic_write",
    "check_label_format",
    "check_output_dir",
    "has_dicom_preamble",
    "list_photographs",
    "refuse_write",
    "safe_output_path",
    "split_source",
]

LABEL_FORMATS = ("index", "refuge", "pair")
DICOM_SUFFIXES = (".dcm", ".dicom")
NIFTI_SUFFIXES = (".nii.gz", ".nii")
PHOTOGRAPH_SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", *DICOM_SUFFIXES, *NIFTI_SUFFIXES)

NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""What the system says of a full disk, a quota and a file that may not grow."""

_FORMATS = "PNG, JPEG, TIFF, BMP, DICOM or NIfTI"
_MAX_NAME_BYTES = 150
_UNUSUAL = frozenset("\"'`/\\:*?<>|")


def check_label_format(label_format: str) -> None:
    """Raises ``CallError`` unless ``label_format`` is one of ``LABEL_FORMATS``."""
    if label_format not in LABEL_FORMATS:
        raise CallError(f"unknown label_format {label_format!r}.", f"Pass one of {', '.join(LABEL_FORMATS)}.")


def has_dicom_preamble(path: Path) -> bool:
    """Whether a file without a telling suffix (none, or the last number of a UID) starts as a DICOM file does."""
    suffix = path.suffix[1:]
    # Opening a pipe would wait for someone to write into it.
    if (suffix and not suffix.isdecimal()) or not os.path.isfile(path):  # noqa: PTH113
        return False
    try:
        with path.open("rb") as file:
            return file.read(132)[128:] == b"DICM"
    except OSError:
        return False


def list_photographs(
    dataset_dir: str | os.PathLike[str],
    labels: Literal["none", "optional", "required"] = "none",
    label_format: str = "index",
    exclude: Sequence[str | os.PathLike[str]] = (),
) -> list[dict[str, Any]]:
    """Lists a folder's photographs: those below its subfolder ``image`` if it has one, otherwise all below it.

    Hidden files and folders are left out, and so are label folders: ``label``, and ``disc`` and ``cup`` where they lie
    beside each other or beside a folder ``image``. Links are followed; a link to nowhere is listed, for it will be
    reported as unreadable; a folder that is reached twice is listed once.

    A label belongs to the photograph whose relative path or name it carries, or whose stem if no other photograph has
    the same one.

    Args:
        dataset_dir: the folder.
        labels: ``none`` does not look at the label folders at all; ``optional`` adds the labels that are there;
            ``required`` insists on one for every photograph.
        label_format: one of ``LABEL_FORMATS``.
        exclude: folders inside ``dataset_dir`` to pass over, such as the output folder.

    Returns:
        per photograph, ordered by relative path, a dict of ``image`` (its absolute path), ``name`` (unique, also where
        case does not count, and fit to be a file's stem) and, if there is a label, ``label`` (its path, or
        ``[disc, cup]``).

    Raises:
        CallError: there is no such folder, no photograph in it, a required label is missing, or the format is unknown.
    """
    check_label_format(label_format)
    dataset = _existing_folder(dataset_dir)
    root = dataset / "image" if os.path.isdir(dataset / "image") else dataset  # noqa: PTH112
    excluded = {os.path.realpath(folder) for folder in exclude if str(folder)}
    paths = sorted(_photographs_below(root, excluded), key=lambda path: path.relative_to(root).as_posix())
    if not paths:
        raise CallError(f"there are no photographs in {root}.", f"Put {_FORMATS} files there.")
    relatives = [path.relative_to(root).as_posix() for path in paths]
    names = _unique_names(relatives)
    items: list[dict[str, Any]] = [{"image": str(path), "name": name} for path, name in zip(paths, names, strict=True)]
    if labels != "none":
        _add_labels(items, relatives, dataset, label_format, required=labels == "required")
    return items


def split_source(
    items: Iterable[Mapping[str, Any]], fraction: float, seed: int, prefix_length: int = 1
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Holds out a share of the items for validation, in each stratum of names that begin alike.

    Which ones depends on the seed and the names alone, not on the order of the items.

    Args:
        items: dicts with a unique ``name`` each, at least two.
        fraction: the share to hold out, between 0 and 1; a stratum of two or more gives at least one item and keeps
            at least one.
        seed: chooses among the possible splits.
        prefix_length: how many letters of the name make the stratum (REFUGE: ``g`` glaucoma, ``n`` normal).

    Returns:
        the items for training and those for validation, each in the order of their names and never empty.

    Raises:
        CallError: the fraction is out of range, or there are fewer than two items.
    """
    if not 0 < fraction < 1:
        raise CallError(f"a validation fraction of {fraction} is not possible.", "Pass a number between 0 and 1.")
    ordered = sorted((dict(item) for item in items), key=lambda item: str(item["name"]))
    if len(ordered) < 2:
        raise CallError("one photograph cannot be split into training and validation.", "Add photographs.")
    strata: dict[str, list[str]] = defaultdict(list)
    for item in ordered:
        strata[str(item["name"])[:prefix_length]].append(str(item["name"]))
    if all(len(names) == 1 for names in strata.values()):
        strata = {"": [name for names in strata.values() for name in names]}
    held_out: set[str] = set()
    for names in strata.values():
        count = min(max(round(fraction * len(names)), 1), len(names) - 1)
        # A hash ranks a name alike whatever else is there and whichever version of a library draws.
        held_out.update(sorted(names, key=lambda name: _digest(f"{seed}:{name}"))[:count])
    training = [item for item in ordered if str(item["name"]) not in held_out]
    return training, [item for item in ordered if str(item["name"]) in held_out]


def safe_output_path(output_dir: str | os.PathLike[str], *parts: str | os.PathLike[str]) -> Path:
    """Joins ``parts`` to ``output_dir``, without ``..`` in the result.

    Raises:
        ValueError: the result would lie outside ``output_dir``, or hold a NUL.
        CallError: a folder between ``output_dir`` and the result is a link to somewhere else.
    """
    folder = Path(os.path.normpath(output_dir))
    joined = folder.joinpath(*parts)
    # Asked before normpath, which some interpreters end at a NUL.
    has_nul = "\0" in str(joined)
    path = Path(os.path.normpath(joined))
    if has_nul or not path.is_relative_to(folder) or ".." in path.relative_to(folder).parts:
        raise ValueError(f"{str(joined)!r} would leave the output folder {str(folder)!r}")
    # The last part may be a link: what is written replaces it.
    if not Path(os.path.realpath(path.parent)).is_relative_to(os.path.realpath(folder)):
        raise CallError(
            f"{path.parent} is a link that leads out of the output folder.",
            "Remove the link, or pass another --output_dir.",
        )
    return path


@contextmanager
def atomic_write(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yields a temporary path to write to; if the block succeeds, that file replaces ``path``.

    The temporary file is hidden, lies in the same folder (made if need be), ends in the same suffix, and is removed if
    the block raises.

    Raises:
        CallError: the disk is full or the folder cannot be written to.
    """
    target = Path(path)
    temporary = target.parent / f".{secrets.token_hex(8)}{target.suffix}"
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        temporary.replace(target)
    except BaseException as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        refuse_write(error, target)
        raise


def check_output_dir(output_dir: str | os.PathLike[str]) -> None:
    """Makes the folder and writes to it, so that a stage does not find out at its end that it cannot.

    Raises:
        CallError: it cannot.
    """
    probe = Path(output_dir) / f".{secrets.token_hex(8)}"
    try:
        probe.parent.mkdir(parents=True, exist_ok=True)
        probe.write_bytes(b"\0")
    except OSError as error:
        refuse_write(error, probe)
        raise
    finally:
        with contextlib.suppress(OSError):
            probe.unlink(missing_ok=True)


def refuse_write(error: BaseException, path: Path) -> None:
    """Turns a full disk and the like into the line that the caller reads.

    Args:
        error: what writing raised.
        path: the file that was to be written.

    Raises:
        CallError: the error says that there is no room, or that the file's folder cannot be written to.
    """
    # torch.save answers a full disk with an error of its own while it handles the disk's.
    cause = next((e for e in (error, error.__cause__, error.__context__) if isinstance(e, OSError)), None)
    if cause is None:
        return
    again = "run the same command again."
    reason = cause.strerror or cause
    if cause.errno in NO_ROOM:
        raise CallError(f"no room is left in {path.parent} ({reason}).", f"Free some and {again}") from error
    if cause.errno not in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST):
        return
    named = [Path(os.fsdecode(name)) for name in (cause.filename, cause.filename2) if isinstance(name, (str, bytes))]
    if any(path.parent.is_relative_to(name) or name.parent == path.parent for name in named):
        raise CallError(
            f"{path.parent} cannot be written to ({reason}).",
            f"Pass another --output_dir, or mend that one and {again}",
        ) from error


def _existing_folder(dataset_dir: str | os.PathLike[str]) -> Path:
    if not str(dataset_dir):
        raise CallError("no folder of photographs was given.", "Pass it with --dataset_dir.")
    # os.path answers where Path raises: for a NUL, an unknown ~user, a name that is too long, a closed folder.
    folder = Path(os.path.expanduser(dataset_dir)).absolute()  # noqa: PTH111
    if not os.path.exists(folder):  # noqa: PTH110
        raise CallError(f"the folder {folder} does not exist.", "Pass a folder of photographs with --dataset_dir.")
    if not os.path.isdir(folder):  # noqa: PTH112
        raise CallError(f"{folder} is a file.", "Pass the folder that holds it with --dataset_dir.")
    return folder


def _photographs_below(root: Path, excluded: set[str]) -> Iterator[Path]:
    seen = {os.path.realpath(root)}
    for folder, subfolders, files in os.walk(root, followlinks=True, onerror=_refuse_folder):
        subfolders[:] = [
            name for name in sorted(_without_label_folders(subfolders)) if _is_new(Path(folder, name), seen, excluded)
        ]
        for name in files:
            path = Path(folder, name)
            if not name.startswith(".") and _may_be_file(path) and _is_photograph(path):
                yield path


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


def _is_photograph(path: Path) -> bool:
    return path.name.lower().endswith(PHOTOGRAPH_SUFFIXES) or has_dicom_preamble(path)


def _split_suffix(relative: str) -> tuple[str, str]:
    """A relative path without the suffix that makes it a photograph, and that suffix, fit to be part of a name."""
    suffix = next((suffix for suffix in PHOTOGRAPH_SUFFIXES if relative.lower().endswith(suffix)), "")
    return (relative[: -len(suffix)], suffix[1:].replace(".", "_")) if suffix else (relative, "")


def _unique_names(relatives: Sequence[str]) -> list[str]:
    """A name per relative path: its stem; where that is taken, more of the path, and a hash as the last resort."""
    levels = [0] * len(relatives)
    while True:
        names = [_name(relative, level) for relative, level in zip(relatives, levels, strict=True)]
        taken = Counter(_folded(name) for name in names)
        collided = [taken[_folded(name)] > 1 for name in names]
        if not any(collided):
            return names
        levels = [level + int(is_taken) for level, is_taken in zip(levels, collided, strict=True)]


def _name(relative: str, level: int) -> str:
    path, suffix = _split_suffix(relative)
    name = path.rsplit("/", 1)[-1] if level == 0 else path.replace("/", "__")
    if level >= 2 and suffix:
        name = f"{name}_{suffix}"
    name = _printable(name)
    digest = _digest(relative)[: 8 * (level - 2)] if level >= 3 else ""
    if digest:
        name = f"{name}-{digest}"
    if len(name.encode()) > _MAX_NAME_BYTES:
        digest = digest or _digest(relative)[:8]
        room = _MAX_NAME_BYTES - len(digest) - 1
        name = f"{name.encode()[:room].decode(errors='ignore')}-{digest}"
    return name


def _printable(name: str) -> str:
    """The name fit for any file system and table: quotes, separators and what does not print become ``_``."""
    printable = "".join(
        "_"
        if letter in _UNUSUAL or unicodedata.category(letter) in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")
        else letter
        for letter in name
    )
    return "_" if not printable.strip(" .") else printable


def _folded(name: str) -> str:
    """Equal for names that some file system takes for the same."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()


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
    paths = [_split_suffix(relative)[0] for relative in relatives]
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
    paths = [folder / f"{name}.png" for name in candidates]
    return next((path for path in paths if os.path.isfile(path)), None)  # noqa: PTH113
