"""Ignite handlers that MONAI and Ignite have not."""

from __future__ import annotations

import ctypes
import logging
import math
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import ignite.distributed as idist
import torch
from ignite.engine import Engine, Events
from ignite.handlers import Checkpoint, EMAHandler
from monai.transforms import Randomizable
from monai.utils import set_determinism

from bundle.errors import CallError
from bundle.folders import NO_ROOM, atomic_write, refuse_write

__all__ = [
    "AverageStart",
    "DivergenceGuard",
    "EpochSeed",
    "KeepFreedMemory",
    "ResumableCheckpoint",
    "WeightsSaver",
    "WriteErrors",
    "finished_items",
    "has_finite_weights",
    "save_atomically",
    "save_weights",
]

logger = logging.getLogger(__name__)


def save_atomically(content: Any, path: str | Path) -> None:
    """``torch.save`` under a temporary name, then rename: a killed run leaves the old file or the new one."""
    # Given a path, torch.save writes the file's name into the archive: the same weights would not be the same bytes.
    with atomic_write(path) as temporary, temporary.open("wb") as file:
        torch.save(content, file)


def finished_items(engine: Engine) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Each photograph of the engine's last iteration, as what went in and what came out (both decollated)."""
    batch, output = cast(Any, engine.state.batch), cast(Any, engine.state.output)
    return zip(batch, output, strict=True)


def save_weights(network: torch.nn.Module, path: str | Path) -> None:
    """Write a network's state dict as plain contiguous tensors, which load whatever memory format the run used."""
    save_atomically({name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()}, path)


def has_finite_weights(module: torch.nn.Module) -> bool:
    """Whether every parameter and buffer of a module is finite."""
    return all(bool(torch.isfinite(value).all()) for value in (*module.parameters(), *module.buffers()))


class AverageStart:
    """Start an average of weights where the network stands when the run starts, not where it stood when it was made.

    In between, a handler such as MONAI's ``CheckpointLoader``, which MONAI Label puts before all others, may have
    loaded other weights; the average would else keep a share of the random ones. Attach it behind such a handler and
    before ``ResumableCheckpoint``.

    Args:
        average: holds the network and its average.
    """

    def __init__(self, average: EMAHandler) -> None:
        self.average = average

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.STARTED, self)

    def __call__(self, engine: Engine) -> None:
        self.average.ema_model.load_state_dict(self.average.model.state_dict())


class EpochSeed:
    """Seed everything random anew at the start of each epoch, by the seed and the epoch's number.

    A run that resumes after epoch n then draws what an undisturbed run draws in epoch n + 1.

    Args:
        seed: the run's seed.
        transform: a random transform (such as the augmentation) that keeps a random state of its own.
    """

    def __init__(self, seed: int, transform: Randomizable | None = None) -> None:
        self.seed = seed
        self.transform = transform

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.EPOCH_STARTED, self)

    def __call__(self, engine: Engine) -> None:
        seed = (self.seed * 100_003 + engine.state.epoch) % 2**32
        set_determinism(seed)
        if self.transform is not None:
            self.transform.set_random_state(seed)


class KeepFreedMemory:
    """Let the process keep the memory of one step for the next, instead of giving it back and asking for it again.

    By default the C library hands every large block back to the system when it is freed. A step of training on a CPU
    frees gigabytes of activations, and the system then clears each page anew, which takes a good part of the step
    (docs/plus.md). While the engine runs, blocks below a size are kept; when it has completed, what is free goes back;
    after an error it stays, for then the process ends. No result changes. Where the C library is not glibc, nothing
    happens.

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


class ResumableCheckpoint:
    """Save everything a run needs after every epoch, and continue from it if the file is there when the run starts.

    Args:
        path: the checkpoint file, replaced as a whole.
        objects: what to save beside the engine, by name: networks, optimiser, schedule.
        fingerprint: of what the run depends on; a checkpoint with another one is passed over.
    """

    def __init__(self, path: str | Path, objects: Mapping[str, Any], fingerprint: str = "") -> None:
        self.path = Path(path)
        self.objects = objects
        self.fingerprint = fingerprint

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.STARTED, self.resume)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self.save)

    def resume(self, engine: Engine) -> None:
        """Load the checkpoint, if there is one."""
        if not self.path.is_file():
            return
        stored = torch.load(self.path, map_location="cpu", weights_only=True)
        if stored["fingerprint"] != self.fingerprint:
            engine.logger.warning("%s belongs to another run; starting anew", self.path)
            return
        max_epochs = engine.state.max_epochs
        Checkpoint.load_objects(to_load={"trainer": engine, **self.objects}, checkpoint=stored)
        engine.state.max_epochs = max_epochs
        engine.logger.info("resumed after epoch %d from %s", engine.state.epoch, self.path)

    @idist.one_rank_only()
    def save(self, engine: Engine) -> None:
        """Replace the checkpoint by the state after this epoch, unless a network holds values that are not finite.

        Of several processes the first does so.
        """
        for name, thing in self.objects.items():
            if isinstance(thing, torch.nn.Module) and not has_finite_weights(thing):
                logger.warning(
                    "%s is not finite after epoch %d; %s stays as it was", name, engine.state.epoch, self.path
                )
                return
        states = {name: thing.state_dict() for name, thing in {"trainer": engine, **self.objects}.items()}
        save_atomically({**states, "fingerprint": self.fingerprint}, self.path)


class DivergenceGuard:
    """Stop a run whose loss or weights are no longer numbers, and bring back the last good weights.

    Ignite's ``TerminateOnNan`` stops a run too, but leaves the weights that the step has already spoilt. Attach it
    behind ``ResumableCheckpoint``, so that the weights a resumed run starts from are the first good ones.

    Args:
        network: what the run is to give; kept in memory after each epoch, and brought back.
        trained: what the optimiser changes, where that is another network; a run that spoils it is stopped too.
        limit: a loss above it is none, in the loss's unit; at least so high that no sound loss reaches it.

    Attributes:
        stopped: why the run was stopped; empty while all is well.
        epoch: after which epoch the weights are good, 0 for none.
    """

    def __init__(self, network: torch.nn.Module, trained: torch.nn.Module | None = None, limit: float = 1e8) -> None:
        self.network = network
        self.trained = network if trained is None else trained
        self.limit = limit
        self.stopped = ""
        self.epoch = 0
        self._good: dict[str, torch.Tensor] = {}

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.STARTED, self.keep)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self.check_loss)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self.check_weights)

    def keep(self, engine: Engine) -> None:
        """Take the weights for good ones."""
        self.epoch = engine.state.epoch
        self._good = {name: value.clone() for name, value in self.network.state_dict().items()}

    def check_loss(self, engine: Engine) -> None:
        """Stop if the last batch's loss is none."""
        output = cast(Any, engine.state.output)
        # A trainer that decollates repeats the batch's loss in every photograph's part.
        loss = float((output[0] if isinstance(output, list) else output)["loss"])
        if idist.get_world_size() > 1:
            # All processes stop together, or those that go on wait for the others for ever.
            loss = cast(float, idist.all_reduce(loss if math.isfinite(loss) else math.inf, "MAX"))
        if not math.isfinite(loss) or loss > self.limit:
            self.stop(engine, f"the loss became {loss:g}")

    def check_weights(self, engine: Engine) -> None:
        """Keep the epoch's weights if they are numbers, or stop."""
        if has_finite_weights(self.network) and has_finite_weights(self.trained):
            self.keep(engine)
        else:
            self.stop(engine, "the weights became infinite or not a number")

    def stop(self, engine: Engine, why: str) -> None:
        """End the run with the last good weights."""
        self.stopped = f"{why} in epoch {engine.state.epoch}"
        self.network.load_state_dict(self._good)
        logger.warning("stopped: %s; the weights after epoch %d are brought back", self.stopped, self.epoch)
        engine.terminate()


class WeightsSaver:
    """Write a network's weights when the run completes, and remove the files that only a resumed run needs.

    Of several processes the first does so.

    Args:
        path: file of the state dict.
        network: what to save.
        obsolete: files that a completed run no longer needs.
    """

    def __init__(self, path: str | Path, network: torch.nn.Module, obsolete: tuple[str, ...] = ()) -> None:
        self.path = Path(path)
        self.network = network
        self.obsolete = obsolete

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.COMPLETED, self)

    @idist.one_rank_only()
    def __call__(self, engine: Engine) -> None:
        save_weights(self.network, self.path)
        for path in self.obsolete:
            Path(path).unlink(missing_ok=True)


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
        if isinstance(error, CallError):
            raise error
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
