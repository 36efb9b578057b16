"""A dataset of photographs in which an unreadable file costs nothing but itself."""

from __future__ import annotations

import sys

__all__ = ["CallError", "UnreadablePhotographError", "one_line", "unreadable_cause"]


def unreadable_cause(error: BaseException | None) -> UnreadablePhotographError | None:
    """The ``UnreadablePhotographError`` that a chain of exceptions started from, if it did."""
    while error is not None and not isinstance(error, UnreadablePhotographError):
        error = error.__cause__ or error.__context__
    return error


class CallError(SystemExit):
    """A call that cannot succeed: it ends the process with status 2 and one line on stderr, without a traceback.

    It derives from ``SystemExit`` because ``python -m monai.bundle run`` wraps every ``Exception`` that a config
    raises into a traceback, but lets an exit pass.

    Args:
        problem: what is wrong, naming the file, folder or value.
        remedy: what to do about it.
    """

    def __init__(self, problem: str, remedy: str) -> None:
        self.message = " ".join(f"error: {problem} {remedy}".split())
        super().__init__(2)

    def __str__(self) -> str:
        return self.message

    @property
    def code(self) -> int:  # type: ignore[override]
        """The exit status; reading it is the interpreter's last act before it leaves, so the line is printed here."""
        print(self.message, file=sys.stderr, flush=True)
        return 2


class UnreadablePhotographError(ValueError):
    """A photograph (or label) that cannot be decoded. It costs its own row in the report and nothing else.

    Args:
        path: the file.
        reason: why it cannot be read, in words for the report.
    """

    def __init__(self, path: object, reason: str) -> None:
        self.path = str(path)
        self.reason = " ".join(str(reason).split())
        super().__init__(f"{self.path}: {self.reason}")


def one_line(text: str) -> str:
    """The text as one line that standard output can take, with escapes for what it cannot.

    File names may hold line feeds, letters that the terminal's encoding has not, and bytes that are no text at all;
    logging would answer those with a traceback.
    """
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    visible = "".join(letter if letter >= " " else repr(letter)[1:-1] for letter in text)
    return visible.encode(encoding, errors="backslashreplace").decode(encoding)
