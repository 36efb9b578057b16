"""What is wrong with a call or with a photograph, in words for the one who can mend it."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

__all__ = [
    "CallError",
    "SomeUnreadableError",
    "UnreadablePhotographError",
    "bare_call_errors",
    "error_chain",
    "find_error",
    "one_line",
]

Error = TypeVar("Error", bound=BaseException)


class CallError(ValueError):
    """A call that cannot succeed, whatever the photographs are.

    In Python it is an exception as any other; a command ends with its ``message`` and status 2
    (``bundle.command_line``).

    Args:
        problem: what is wrong, naming the file, folder or value.
        remedy: what to do about it.

    Attributes:
        message: both in the one line that a command ends with.
    """

    def __init__(self, problem: str, remedy: str) -> None:
        super().__init__(problem, remedy)
        self.problem = problem
        self.remedy = remedy
        self.message = f"error: {self}"

    def __str__(self) -> str:
        return " ".join(f"{self.problem} {self.remedy}".split())


class UnreadablePhotographError(ValueError):
    """A photograph (or label) that cannot be decoded. It costs its own row in the report and nothing else.

    Args:
        path: the file.
        reason: why it cannot be read, in words for the report.
    """

    def __init__(self, path: object, reason: str) -> None:
        super().__init__(path, reason)
        self.path = str(path)
        self.reason = " ".join(str(reason).split())

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"


class SomeUnreadableError(ValueError):
    """Some photographs could not be read; all others are done and written. A command ends with status 1 instead.

    Args:
        names: of the photographs that could not be read.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self.names = tuple(names)
        super().__init__(self.names)

    def __str__(self) -> str:
        return one_line(f"{len(self.names)} unreadable, all others are done: {', '.join(self.names)}")


def error_chain(error: BaseException | None) -> Iterator[BaseException]:
    """An error and those that led to it, last one first."""
    seen: set[int] = set()
    # An error that is raised again from within its own chain closes a ring.
    while error is not None and id(error) not in seen:
        yield error
        seen.add(id(error))
        known = error.__cause__ is not None or error.__suppress_context__
        error = error.__cause__ if known else error.__context__


def find_error(error: BaseException | None, kind: type[Error]) -> Error | None:
    """The first error of a kind in the chain of ``error``, for MONAI wraps what a config raises."""
    return next((link for link in error_chain(error) if isinstance(link, kind)), None)


@contextmanager
def bare_call_errors() -> Iterator[None]:
    """Let the errors that tell a caller something leave the block as themselves, not wrapped by a library.

    Raises:
        CallError: if one is the reason why the block ended.
        SomeUnreadableError: likewise.
    """
    try:
        yield
    except Exception as error:
        found = find_error(error, CallError) or find_error(error, SomeUnreadableError)
        if found is None:
            raise
        call = found
    else:
        return
    # The caller needs no traceback: the line says what to do.
    raise call.with_traceback(None) from None


def one_line(text: str) -> str:
    """The text as one line that standard output can take, with escapes for what it cannot.

    File names may hold line feeds, letters that the terminal's encoding does not have, and bytes that are not text;
    logging would answer those with a traceback.
    """
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    visible = "".join(letter if letter >= " " else repr(letter)[1:-1] for letter in text)
    return visible.encode(encoding, errors="backslashreplace").decode(encoding)
