"""An Ignite handler that ends a run with one line when nothing can be written."""

from __future__ import annotations

import threading
from pathlib import Path

from ignite.engine import Engine, Events

from bundle.errors import CallError, find_error
from bundle.io.files import NO_ROOM, refuse_write

__all__ = ["WriteErrors"]


class WriteErrors:
    """Let a run that cannot go on because nothing can be written end with one line.

    Put it before MONAI's ``StatsHandler``, which logs every error with a traceback. TensorBoard writes in a thread,
    whose error reaches the run too; that the thread shows one of a full disk as well is switched off. Any other error
    goes up at once with its traceback, and handlers of errors that come after this one are not asked.

    Args:
        output_dir: the stage's folder.
    """

    def __init__(self, output_dir: str | Path) -> None:
        self.output_dir = Path(output_dir)

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.EXCEPTION_RAISED, self)
        _quiet_full_disks()

    def __call__(self, engine: Engine, error: BaseException) -> None:
        """
        Raises:
            CallError: nothing can be written, or the error is one already.
        """
        call = find_error(error, CallError)
        if call is not None:
            raise call
        refuse_write(error, self.output_dir / "events")
        raise error


def _quiet_full_disks() -> None:
    """Let a thread that ends because no room is left say nothing; all other errors are shown as before."""
    shown = threading.excepthook
    if getattr(shown, "__name__", "") == "without_full_disks":
        return

    def without_full_disks(args: threading.ExceptHookArgs) -> None:
        if not (isinstance(args.exc_value, OSError) and args.exc_value.errno in NO_ROOM):
            shown(args)

    threading.excepthook = without_full_disks
