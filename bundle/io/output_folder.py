"""A stage's output folder: whose files are in it, and which run is at work in it.

What the mark there (``bundle.data.own_outputs``) does not name is never overwritten.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import ignite.distributed as idist
from filelock import FileLock, Timeout

from bundle._version import __version__
from bundle.data.own_outputs import EVENTS, MARK, OUTPUTS, own_names, read_mark
from bundle.errors import CallError
from bundle.io.files import atomic_write, check_output_dir, safe_output_path

__all__ = ["claim", "forget_missing", "release"]

_LOCK = ".fundus.lock"
_locks: dict[str, FileLock] = {}


def claim(output_dir: str | os.PathLike[str], stage: str) -> None:
    """Make the output folder, mark it, and keep other runs out of it until ``release`` or the end of this process.

    Of several processes that run a stage together, the first one does it for all.

    Args:
        output_dir: the folder.
        stage: a name of ``OUTPUTS``.

    Raises:
        CallError: the folder cannot be written to, another run is at work in it, or it holds files of somebody else
            that the stage would overwrite.
    """
    folder = Path(output_dir)
    if idist.get_rank() == 0:
        ours = own_names(folder)
        at_risk = [name for name in OUTPUTS[stage] if name != EVENTS and name not in ours]
        foreign = [name for name in at_risk if os.path.lexists(folder / name)]
        if foreign:
            raise CallError(
                f"{folder / foreign[0]} was there before and is not this bundle's.",
                "Pass another --output_dir, or move it elsewhere.",
            )
        check_output_dir(folder)
        _lock(folder)
        mark = read_mark(folder)
        names = sorted({*ours, *OUTPUTS[stage]})
        _write(folder, {"written_by": f"fundus-bundle {__version__}", "names": names, "files": mark.get("files", {})})


def release() -> None:
    """Let other runs into the folders that this process has claimed."""
    while _locks:
        _, lock = _locks.popitem()
        lock.release(force=True)


def forget_missing(output_dir: str | os.PathLike[str], stage: str, files: Iterable[str]) -> None:
    """Remove what an earlier run of the stage wrote for photographs that this one has no such result of.

    Args:
        output_dir: the folder.
        stage: a name of ``OUTPUTS``.
        files: what this run has written, relative to the folder.
    """
    folder, now = Path(output_dir), sorted(set(files))
    mark = read_mark(folder)
    for name in set(mark.get("files", {}).get(stage, [])) - set(now):
        with contextlib.suppress(OSError, ValueError, CallError):
            safe_output_path(folder, name).unlink(missing_ok=True)
    _write(folder, {**mark, "files": {**mark.get("files", {}), stage: now}})


def _lock(folder: Path) -> None:
    key = os.path.realpath(folder)
    if key in _locks:
        return
    lock = FileLock(folder / _LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise CallError(
            f"another run is at work in {folder}.", "Wait for its end, or pass another --output_dir."
        ) from None
    except (OSError, NotImplementedError):
        # Some network file systems have no locks.
        return
    _locks[key] = lock


def _write(folder: Path, mark: dict[str, Any]) -> None:
    with atomic_write(folder / MARK) as path:
        path.write_text(json.dumps(mark), encoding="utf-8")
