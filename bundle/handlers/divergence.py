"""An Ignite handler that stops a training which diverges."""

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
