"""Ignite handlers that save a run's weights, and the state from which an interrupted run continues."""

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
        average: the handler that holds the network and its average.

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
        """Attach the handler to an engine."""
        engine.add_event_handler(Events.STARTED, self)

    def __call__(self, engine: Engine) -> None:
        self.average.ema_model.load_state_dict(self.average.model.state_dict())


class ResumableCheckpoint:
    """Save the state of a run after every epoch; when a run starts, continue from the saved state if there is one.

    Ignite's ``Checkpoint`` does not load by itself, and does not notice that a file belongs to another run.

    Args:
        path: the checkpoint file, which is always replaced as a whole.
        objects: objects to save besides the engine, by name: networks, optimiser, schedule. Entries that are None are
            left out.
        fingerprint: text that identifies everything on which the run depends; a checkpoint with another fingerprint is
            ignored.

    Example:
        >>> import tempfile
        >>> network, epochs = torch.nn.Linear(1, 1), []
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     for max_epochs in (2, 3):  # the second run continues the first
        ...         trainer = Engine(lambda engine, batch: epochs.append(engine.state.epoch))
        ...         ResumableCheckpoint(f"{folder}/resume.pt", {"network": network}).attach(trainer)
        ...         _ = trainer.run([0], max_epochs=max_epochs)
        >>> epochs
        [1, 2, 3]
    """

    def __init__(self, path: str | Path, objects: Mapping[str, Any], fingerprint: str = "") -> None:
        self.path = Path(path)
        self.objects = {name: part for name, part in objects.items() if part is not None}
        self.fingerprint = fingerprint

    def attach(self, engine: Engine) -> None:
        """Attach the handler to an engine."""
        engine.add_event_handler(Events.STARTED, self.resume)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self.save)

    def resume(self, engine: Engine) -> None:
        """Load the checkpoint if there is one that belongs to this run."""
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
    """Write a network's weights when the run completes, and remove files that only an interrupted run needs.

    Only the first of several processes writes.

    Args:
        path: file to which the state dict is written.
        network: the network whose weights are written.
        obsolete: files to remove, such as the checkpoint for resuming.
        notes: numbers that describe the weights, see ``with_notes``, besides that no adaptation wrote them.

    Example:
        >>> import tempfile
        >>> trainer = Engine(lambda engine, batch: None)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder) / "model.pt"
        ...     WeightsSaver(path, torch.nn.Linear(1, 1)).attach(trainer)
        ...     _ = trainer.run([0])
        ...     path.is_file()
        True
    """

    def __init__(
        self,
        path: str | Path,
        network: torch.nn.Module,
        obsolete: tuple[str, ...] = (),
        notes: Mapping[str, float] | None = None,
    ) -> None:
        self.path = Path(path)
        self.network = network
        self.obsolete = obsolete
        self.notes = dict(notes or {})

    def attach(self, engine: Engine) -> None:
        """Attach the handler to an engine."""
        engine.add_event_handler(Events.COMPLETED, self)

    @idist.one_rank_only()
    def __call__(self, engine: Engine) -> None:
        save_weights(self.network, self.path, {**self.notes, **NOT_ADAPTED})
        for path in self.obsolete:
            Path(path).unlink(missing_ok=True)
