"""Ignite handlers that save weights, so that a run continues where it was interrupted."""

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

__all__ = ["AverageStart", "ResumableCheckpoint", "WeightsSaver"]

logger = logging.getLogger(__name__)


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


class ResumableCheckpoint:
    """Save everything a run needs after every epoch, and continue from it if the file is there when the run starts.

    Args:
        path: the checkpoint file, replaced as a whole.
        objects: what to save beside the engine, by name: networks, optimiser, schedule; None is left out.
        fingerprint: of what the run depends on; a checkpoint with another one is passed over.
    """

    def __init__(self, path: str | Path, objects: Mapping[str, Any], fingerprint: str = "") -> None:
        self.path = Path(path)
        self.objects = {name: part for name, part in objects.items() if part is not None}
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
