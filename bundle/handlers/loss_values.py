"""Ignite handlers for the losses of an adaptation."""

from __future__ import annotations

import math
from typing import Any

from ignite.engine import Engine, Events
from monai.engines.utils import IterationEvents
from monai.utils import CommonKeys

__all__ = ["KeepLoss", "LossValues"]


class LossValues:
    """Ignite handler that puts each loss of an ``AdaptationLoss`` into ``engine.state.metrics``, averaged by epoch.

    Args:
        loss: the trainer's ``AdaptationLoss``.
    """

    def __init__(self, loss: Any) -> None:
        self.loss = loss
        self.values: list[dict[str, float]] = []

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.EPOCH_STARTED, self.values.clear)
        engine.add_event_handler(Events.ITERATION_COMPLETED, lambda: self.values.append(dict(self.loss.values)))
        engine.add_event_handler(Events.EPOCH_COMPLETED, self.summarise)

    def summarise(self, engine: Engine) -> None:
        """Write the epoch's means."""
        for name in self.values[0] if self.values else ():
            engine.state.metrics[f"loss_{name}"] = math.fsum(v[name] for v in self.values) / len(self.values)


class KeepLoss:
    """Ignite handler that leaves of an iteration's output its loss, in the form of a decollated batch.

    What an adaptation gives for a batch cannot be decollated, but stock handlers, such as those that MONAI attaches for
    ``--tracking mlflow``, expect a list of dicts.
    """

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(IterationEvents.MODEL_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        state: Any = engine.state
        state.output = [{CommonKeys.LOSS: float(state.output[CommonKeys.LOSS].detach())}]
