"""Writing files atomically, and only inside the output folder."""

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
"""Error numbers of a full disk, an exceeded quota and a file that has reached its largest size."""


def safe_output_path(output_dir: str | os.PathLike[str], *parts: str | os.PathLike[str]) -> Path:
    """Join ``parts`` to ``output_dir``, and refuse a path outside of it.

    Args:
        output_dir: the folder.
        parts: path below it, such as a name from a file list.

    Returns:
        The path, without ``..`` in it.

    Raises:
        ValueError: the result would lie outside ``output_dir``, or hold a NUL.
        CallError: a folder between ``output_dir`` and the result is a link that leads out of ``output_dir``.

    Example:
        >>> safe_output_path("output", "masks", "eye.png").as_posix()
        'output/masks/eye.png'
        >>> safe_output_path("output", "../eye.png")
        Traceback (most recent call last):
            ...
        ValueError: 'output/../eye.png' would leave the output folder 'output'
    """
    folder = Path(os.path.normpath(output_dir))
    joined = folder.joinpath(*parts)
    # Checked before normpath, which in some versions of Python cuts the path off at a NUL.
    has_nul = "\0" in str(joined)
    path = Path(os.path.normpath(joined))
    if has_nul or not path.is_relative_to(folder) or ".." in path.relative_to(folder).parts:
        raise ValueError(f"{str(joined)!r} would leave the output folder {str(folder)!r}")
    # The last part may be a link, because writing replaces it.
    if not Path(os.path.realpath(path.parent)).is_relative_to(os.path.realpath(folder)):
        raise CallError(
            f"{path.parent} is a link that leads out of the output folder.",
            "Remove the link, or pass another --output_dir.",
        )
    return path


@contextmanager
def atomic_write(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Context manager that gives a temporary path to write to; if the block succeeds, that file replaces ``path``.

    The temporary file is hidden, is in the same folder (made if it does not exist), has the same suffix, and is removed
    if the block raises. A reader therefore sees the old file or the new one, never a part.

    Args:
        path: the file to write.

    Yields:
        The temporary path.

    Raises:
        CallError: the disk is full or the folder cannot be written to.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with atomic_write(f"{folder}/report.txt") as temporary:
        ...         _ = temporary.write_text("done")
        ...     [path.name for path in Path(folder).iterdir()]
        ['report.txt']
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
    """Make the output folder and try to write to it, so that a stage fails at its start instead of at its end.

    Args:
        output_dir: the folder; made if it does not exist.

    Raises:
        CallError: the folder cannot be made or written to, or the disk is full.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     check_output_dir(f"{folder}/output")
        ...     Path(folder, "output").is_dir()
        True
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
    """Turn an error of writing, such as a full disk, into a ``CallError`` with a one-line message.

    Args:
        error: what writing raised; for any other error, nothing happens.
        path: the file that could not be written.

    Raises:
        CallError: the error says that there is no room, or that the file's folder cannot be written to.

    Example:
        >>> refuse_write(OSError(errno.ENOSPC, "No space left on device"), Path("output/model.pt"))
        Traceback (most recent call last):
            ...
        bundle.errors.CallError: no room is left in output (No space left on device). Free some ...
    """
    # On a full disk, torch.save raises an error of its own while it handles the system's.
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
    """``torch.save`` to a temporary file that then replaces ``path``: a killed run leaves the old file or the new one.

    Args:
        content: see ``torch.save``.
        path: the file to write.

    Raises:
        CallError: see ``atomic_write``.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save_atomically({"epoch": 3}, f"{folder}/resume.pt")
        ...     torch.load(f"{folder}/resume.pt")
        {'epoch': 3}
    """
    # Given a path, torch.save stores the file's name in the archive, and equal weights would not give equal bytes.
    with atomic_write(path) as temporary, temporary.open("wb") as file:
        torch.save(content, file)
