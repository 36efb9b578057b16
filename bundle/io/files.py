"""Files that are written as a whole, inside the output folder alone."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from bundle.errors import CallError

__all__ = ["NO_ROOM", "atomic_write", "check_output_dir", "refuse_write", "safe_output_path", "save_atomically"]

NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""What the system says of a full disk, a quota and a file that may not grow."""


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


def save_atomically(content: Any, path: str | Path) -> None:
    """``torch.save`` under a temporary name, then rename: a killed run leaves the old file or the new one."""
    # Given a path, torch.save writes the file's name into the archive: the same weights would not be the same bytes.
    with atomic_write(path) as temporary, temporary.open("wb") as file:
        torch.save(content, file)
