"""Ignite handlers that save a run's weights, and its state, from which an interrupted run continues."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ignite.distributed as idist
import torch
from ignite.engine import Engine, Events
from ignite.handlers import Checkpoint, EMAHandler

from bundle.io.files import save_atomically
from bundle.networks.weights import has_finite_weights, save_weights
from bundle.uncertainty.scale import NOT_ADAPTED

__all__ = ["AverageStart", "ResumableCheckpoint", "WeightsSaver"]

logger = logging.getLogger(__name__)


class AverageStart:
    """Let an average of weights start from the weights that the network has when the run starts.

    Ignite's ``EMAHandler`` copies the weights when it is created. Afterwards a handler such as MONAI's
    ``CheckpointLoader``, which MONAI Label puts before all others, may load other weights; the average would then keep
    a share of the random ones. Attach this handler after such a handler and before ``ResumableCheckpoint``.

    Args:
        average: holds the network and its average.

    Example:
        >>> network = torch.nn.Linear(1, 1)
        >>> average = EMAHandler(network)
        >>> _ = network.weight.data.fill_(3.0)  # as when a handler loads other weights
        >>> trainer = Engine(lambda engine, batch: None)
        >>> AverageStart(average).attach(trainer)
        >>> _ = trainer.run([0])
        >>> average.ema_model.weight.item()
        3.0
    """

    def __init__(self, average: EMAHandler) -> None:
        self.average = average

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.STARTED, self)

    def __call__(self, engine: Engine) -> None:
        self.average.ema_model.load_state_dict(self.average.model.state_dict())


class ResumableCheckpoint:
    """After every epoch save all that a run needs to continue; when a run starts, continue from the file if it exists.

    Ignite's ``Checkpoint`` does not load by itself, nor does it notice that a file belongs to another run.

    Args:
        path: the checkpoint file, which is always replaced as a whole.
        objects: what to save besides the engine, by name: networks, optimiser, schedule. None is left out.
        fingerprint: of everything that the run depends on; a checkpoint with another one is ignored.
    """

    def __init__(self, path: str | Path, objects: Mapping[str, Any], fingerprint: str = "") -> None:
        self.path = Path(path)
        self.objects = {name: part for name, part in objects.items() if part is not None}
        self.fingerprint = fingerprint

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.STARTED, self.resume)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self.save)

    def resume(self, engine: Engine) -> None:
        """Load the checkpoint, if there is one of this run."""
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
        """Replace the checkpoint with the state after this epoch, unless a network has weights that are not finite.

        Only the first of several processes writes.
        """
        for name, thing in self.objects.items():
            if isinstance(thing, torch.nn.Module) and not has_finite_weights(thing):
                logger.warning(
                    "%s is not finite after epoch %d; %s stays as it was", name, engine.state.epoch, self.path
                )
                return
        states = {name: thing.state_dict() for name, thing in {"trainer": engine, **self.objects}.items()}
        save_atomically({**states, "fingerprint": self.fingerprint}, self.path)


class WeightsSaver:
    """Write a trained network's weights when the run completes, and remove the files that only a resumed run needs.

    Only the first of several processes writes.

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
        save_weights(self.network, self.path, NOT_ADAPTED)
        for path in self.obsolete:
            Path(path).unlink(missing_ok=True)
