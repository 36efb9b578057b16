"""An Ignite handler that keeps freed memory between steps."""

from __future__ import annotations

import ctypes

from ignite.engine import Engine, Events

__all__ = ["KeepFreedMemory"]


class KeepFreedMemory:
    """Keep the memory that one step frees for the next one, instead of returning it to the system.

    By default the C library returns every large block to the system when it is freed. A training step on a CPU frees
    gigabytes of activations; the system clears each page before it gives it out again, which takes a large part of the
    step (docs/development/history_of_plus.md). While the engine runs, blocks up to a certain size are kept. When the
    engine has completed, free memory is returned; after an error it is not, because the process ends anyway. Results do
    not change. With a C library other than glibc, nothing happens.

    Args:
        largest: size of the largest blocks that are kept, in MiB. Larger ones are returned as before, which limits how
            much memory lies unused.

    Example:
        >>> trainer = Engine(lambda engine, batch: None)
        >>> KeepFreedMemory().attach(trainer)
    """

    # From glibc's malloc.h.
    _TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
    _NEVER = 2**31 - 1
    # The largest threshold that glibc chooses by itself, in MiB. Once set, a threshold no longer adapts by itself.
    _LARGEST_AFTER = 32

    def __init__(self, largest: int = 64) -> None:
        self.largest = largest

    def attach(self, engine: Engine) -> None:
        """Attach the handler to an engine."""
        engine.add_event_handler(Events.STARTED, self.start)
        engine.add_event_handler(Events.COMPLETED, self.finish)

    def start(self) -> None:
        """Keep freed memory from now on."""
        self._set(self.largest << 20, self._NEVER)

    def finish(self) -> None:
        """Return free memory to the system, and keep no more than usual from now on."""
        if self._set(self._LARGEST_AFTER << 20, 2 * self._LARGEST_AFTER << 20):
            ctypes.CDLL(None).malloc_trim(0)

    def _set(self, mmap_threshold: int, trim_threshold: int) -> bool:
        try:
            mallopt = ctypes.CDLL(None).mallopt
        except (AttributeError, OSError, TypeError):
            return False
        thresholds = {self._MMAP_THRESHOLD: mmap_threshold, self._TRIM_THRESHOLD: trim_threshold}
        # Both are set, though the first may fail.
        taken = [mallopt(name, value) for name, value in thresholds.items()]
        return all(taken)
