"""An Ignite handler that ends a run with a one-line message when nothing can be written."""

from __future__ import annotations

import threading
from pathlib import Path

from ignite.engine import Engine, Events

from bundle.errors import CallError, find_error
from bundle.io.files import NO_ROOM, refuse_write

__all__ = ["WriteErrors"]


class WriteErrors:
    """End a run that cannot write its files with a one-line message instead of a traceback.

    Attach it before MONAI's ``StatsHandler``, which logs every error with a traceback. Every other error is raised
    again at once, with its traceback; error handlers that come after this one are not called. TensorBoard writes in a
    thread of its own, whose errors reach the run too; if the disk is full, that thread no longer prints a traceback.

    Args:
        output_dir: the stage's output folder.

    Example:
        >>> import errno
        >>> full = OSError(errno.ENOSPC, "No space left on device")
        >>> WriteErrors("output")(Engine(lambda engine, batch: None), full)
        Traceback (most recent call last):
        ...
        bundle.errors.CallError: no room is left in output (No space left on device). Free some and run the same ...
    """

    def __init__(self, output_dir: str | Path) -> None:
        self.output_dir = Path(output_dir)

    def attach(self, engine: Engine) -> None:
        """Attach the handler to an engine."""
        engine.add_event_handler(Events.EXCEPTION_RAISED, self)
        _quiet_full_disks()

    def __call__(self, engine: Engine, error: BaseException) -> None:
        """Raise the error again, as a ``CallError`` if it means that nothing can be written.

        Raises:
            CallError: nothing can be written, or the error has a ``CallError`` among its causes.
        """
        call = find_error(error, CallError)
        if call is not None:
            raise call
        refuse_write(error, self.output_dir / "events")
        raise error


def _quiet_full_disks() -> None:
    """Show no error of a thread that ends because the disk is full; other errors of threads are shown as before."""
    shown = threading.excepthook
    if getattr(shown, "__name__", "") == "without_full_disks":
        return

    def without_full_disks(args: threading.ExceptHookArgs) -> None:
        if not (isinstance(args.exc_value, OSError) and args.exc_value.errno in NO_ROOM):
            shown(args)

    threading.excepthook = without_full_disks
