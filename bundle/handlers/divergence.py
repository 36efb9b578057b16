"""An Ignite handler that stops a training run which diverges."""

from __future__ import annotations

import logging
import math
from typing import Any, cast

import ignite.distributed as idist
import torch
from ignite.engine import Engine, Events

from bundle.networks.weights import has_finite_weights

__all__ = ["DivergenceGuard"]

logger = logging.getLogger(__name__)


class DivergenceGuard:
    """Stop a run whose loss or weights are not finite, and restore the last good weights.

    Ignite's ``TerminateOnNan`` stops a run too, but leaves the weights as the last step has spoilt them. Attach this
    handler after ``ResumableCheckpoint``, so that the weights from which a resumed run starts count as good ones.

    Args:
        network: the network whose weights are the result of the run; a copy is kept in memory after each epoch, and
            restored if the run diverges.
        trained: the network that the optimiser changes, if that is another one; the run also stops if its weights are
            not finite.
        limit: the run also stops if the loss exceeds this value. Choose one that a sound loss never reaches.

    Attributes:
        stopped: why the run was stopped; empty if it was not.
        epoch: the epoch after which the kept weights were copied; 0 for the weights before the first epoch.

    Example:
        >>> losses = iter([0.5, math.nan])
        >>> trainer = Engine(lambda engine, batch: {"loss": next(losses)})
        >>> guard = DivergenceGuard(torch.nn.Linear(1, 1))
        >>> guard.attach(trainer)
        >>> _ = trainer.run([0], max_epochs=5)
        >>> guard.stopped, guard.epoch
        ('the loss became nan in epoch 2', 1)
    """

    def __init__(self, network: torch.nn.Module, trained: torch.nn.Module | None = None, limit: float = 1e8) -> None:
        self.network = network
        self.trained = network if trained is None else trained
        self.limit = limit
        self.stopped = ""
        self.epoch = 0
        self._good: dict[str, torch.Tensor] = {}

    def attach(self, engine: Engine) -> None:
        """Attach the handler to an engine."""
        engine.add_event_handler(Events.STARTED, self.keep)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self.check_loss)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self.check_weights)

    def keep(self, engine: Engine) -> None:
        """Keep a copy of the current weights as the last good ones."""
        self.epoch = engine.state.epoch
        self._good = {name: value.clone() for name, value in self.network.state_dict().items()}

    def check_loss(self, engine: Engine) -> None:
        """Stop the run if the loss of the last batch is not finite or exceeds the limit."""
        output = cast(Any, engine.state.output)
        # A trainer that decollates gives each photograph of the batch the same loss, that of the batch.
        loss = float((output[0] if isinstance(output, list) else output)["loss"])
        if idist.get_world_size() > 1:
            # All processes must stop together, or those that continue would wait for the others forever.
            loss = cast(float, idist.all_reduce(loss if math.isfinite(loss) else math.inf, "MAX"))
        if not math.isfinite(loss) or loss > self.limit:
            self.stop(engine, f"the loss became {loss:g}")

    def check_weights(self, engine: Engine) -> None:
        """Keep a copy of the epoch's weights if they are finite, else stop the run."""
        if has_finite_weights(self.network) and has_finite_weights(self.trained):
            self.keep(engine)
        else:
            self.stop(engine, "the weights became infinite or not a number")

    def stop(self, engine: Engine, why: str) -> None:
        """Restore the last good weights and end the run."""
        self.stopped = f"{why} in epoch {engine.state.epoch}"
        self.network.load_state_dict(self._good)
        logger.warning("stopped: %s; the weights after epoch %d are restored", self.stopped, self.epoch)
        engine.terminate()
