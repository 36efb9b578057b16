"""How a command ends: with a status that says what happened and, unless all went well, with one line on stderr.

``python -m monai.bundle run`` wraps what a config raises and would show a traceback and end with status 1, which here
means that some photographs were unreadable. Python asks ``sys.excepthook`` before that, and takes a ``SystemExit``
from it for the end of the process. ``import bundle`` sees to it where this bundle is what the process was started for.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import tempfile
import traceback
from collections.abc import Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path
from types import TracebackType

from bundle.errors import CallError, SomeUnreadableError, error_chain, find_error

__all__ = ["INTERRUPTED", "UNEXPECTED", "WRONG_CALL", "end_in_one_line", "is_command", "log_without_call_errors"]

WRONG_CALL = 2
UNEXPECTED = os.EX_SOFTWARE if hasattr(os, "EX_SOFTWARE") else 70
"""A fault of the program, or something that happened to it."""
INTERRUPTED = 130
"""What a shell reports of a program that Ctrl-C has ended."""
_LONGEST = 300
"""Characters of an unexpected error's message that go into the line."""


def is_command() -> bool:
    """Whether this process was started as ``python -m monai.bundle`` or as a module of this package."""
    spec = getattr(sys.modules.get("__main__"), "__spec__", None)
    if spec is not None:
        program = spec.name
    elif sys.argv[:1] == ["-m"]:
        # Python is still importing the package in which the program lies.
        program = sys.orig_argv[-len(sys.argv)].removeprefix("-m")
    else:
        return False
    return program in ("monai.bundle", "monai.bundle.__main__") or program.split(".")[0] == "bundle"


def end_in_one_line(output_dir: Path | None = None) -> None:
    """Let this process end as the module says, whatever ends it; for programs, not for libraries.

    Args:
        output_dir: receives ``error.log``; by default the folder that the command line names as ``--output_dir``.
    """
    sys.excepthook = partial(_end, output_dir)
    log_without_call_errors()


def log_without_call_errors() -> None:
    """Let the log's handlers pass over what engines log of a wrong call or an interruption: the last line says it."""
    for handler in logging.getLogger().handlers:
        handler.addFilter(_is_news)


def _is_news(record: logging.LogRecord) -> bool:
    error = sys.exc_info()[1]
    return not isinstance(error, KeyboardInterrupt) and find_error(error, CallError) is None


def _end(output_dir: Path | None, kind: type[BaseException], error: BaseException, where: TracebackType | None) -> None:
    """An ``excepthook``.

    Raises:
        SystemExit: always, with the status.
    """
    call = find_error(error, CallError)
    if isinstance(error, KeyboardInterrupt):
        line, status = "stopped; the same command continues.", INTERRUPTED
    elif call is not None:
        line, status = call.message, WRONG_CALL
    elif (some := find_error(error, SomeUnreadableError)) is not None:
        line, status = str(some), 1
    else:
        line, status = _logged(error, output_dir), UNEXPECTED
    # PyTorch holds back what a hook writes to sys.stderr in one of several processes, and drops it on an exit.
    print(line, file=sys.__stderr__, flush=True)
    raise SystemExit(status)


def _logged(error: BaseException, output_dir: Path | None) -> str:
    """Write an unexpected error's traceback to a file, and say in a line what happened and which file that is."""
    text = "".join(traceback.format_exception(error))
    # MONAI wraps errors in others that tell where in a config they came from; what they wrap says what it was.
    first = next((link for link in error_chain(error) if link.__cause__ is None), error)
    if any(_is_out_of_memory(link) for link in error_chain(error)):
        what = "end of the memory: pass a smaller --batch_size or --image_size, or use a larger machine;"
    else:
        what = " ".join(f"{type(first).__name__}: {first}".split())[:_LONGEST]
    try:
        path = _write(text, output_dir or _output_dir(sys.argv[1:]))
    except OSError:
        return f"{text}error: unexpected {what}"
    return f"error: unexpected {what} (see {path})"


def _is_out_of_memory(error: BaseException) -> bool:
    """Whether Python or PyTorch found no memory; by name, for PyTorch may not be imported yet."""
    said = str(error).lower()
    return (
        isinstance(error, MemoryError)
        or type(error).__name__ == "OutOfMemoryError"
        or (isinstance(error, RuntimeError) and ("can't allocate memory" in said or "not enough memory" in said))
    )


def _write(text: str, folder: Path | None) -> Path:
    rank = os.environ.get("RANK", "0")
    if folder is not None:
        path = folder / ("error.log" if rank == "0" else f"error_{rank}.log")
        with contextlib.suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8", errors="backslashreplace")
            return path
    with tempfile.NamedTemporaryFile(
        "w", prefix="error_", suffix=".log", delete=False, encoding="utf-8", errors="backslashreplace"
    ) as file:
        file.write(text)
    return Path(file.name)


def _output_dir(arguments: Sequence[str]) -> Path | None:
    """What a command's arguments say of its output folder."""
    found = None
    for argument, following in pairwise([*arguments, ""]):
        key, equals, value = argument.partition("=")
        if key in ("--output_dir", "--output-dir"):
            found = value if equals else following
    return Path(os.path.expanduser(found)) if found else None  # noqa: PTH111
