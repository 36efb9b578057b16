"""An Ignite handler that keeps freed memory between steps."""

from __future__ import annotations

import ctypes

from ignite.engine import Engine, Events

__all__ = ["KeepFreedMemory"]


class KeepFreedMemory:
    """Let the process keep the memory of one step for the next, instead of giving it back and asking for it again.

    By default the C library hands every large block back to the system when it is freed. A step of training on a CPU
    frees gigabytes of activations, and the system then clears each page anew, which takes a good part of the step
    (docs/development/history_of_plus.md). While the engine runs, blocks below a size are kept; when it has completed,
    what is free goes back; after an error it stays, for then the process ends. No result changes. Where the C library
    is not glibc, nothing happens.

    Args:
        largest: of the blocks that are kept, in MiB; larger ones are as before, which bounds what can lie idle.
    """

    # Of glibc's malloc.h.
    _TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
    _NEVER = 2**31 - 1
    # What glibc itself goes up to, in MiB: once set, a threshold no longer follows what is freed.
    _LARGEST_AFTER = 32

    def __init__(self, largest: int = 64) -> None:
        self.largest = largest

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.STARTED, self.start)
        engine.add_event_handler(Events.COMPLETED, self.finish)

    def start(self) -> None:
        """Keep what is freed from now on."""
        self._set(self.largest << 20, self._NEVER)

    def finish(self) -> None:
        """Give back what is free, and keep no more than usual."""
        if self._set(self._LARGEST_AFTER << 20, 2 * self._LARGEST_AFTER << 20):
            ctypes.CDLL(None).malloc_trim(0)

    def _set(self, mmap_threshold: int, trim_threshold: int) -> bool:
        try:
            mallopt = ctypes.CDLL(None).mallopt
        except (AttributeError, OSError, TypeError):
            return False
        thresholds = {self._MMAP_THRESHOLD: mmap_threshold, self._TRIM_THRESHOLD: trim_threshold}
        return all([mallopt(name, value) for name, value in thresholds.items()])
