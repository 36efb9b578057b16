"""Ignite handlers that report the losses of an adaptation."""

from __future__ import annotations

import math
from typing import Any

from ignite.engine import Engine, Events
from monai.engines.utils import IterationEvents
from monai.utils import CommonKeys

__all__ = ["KeepLoss", "LossValues"]


class LossValues:
    """Ignite handler that writes each loss of an ``AdaptationLoss`` to ``engine.state.metrics``, averaged per epoch.

    The metrics are called ``loss_<name>``; the values are not multiplied by the recipe's weights.

    Args:
        loss: the trainer's ``AdaptationLoss``.

    Example:
        >>> from types import SimpleNamespace
        >>> loss = SimpleNamespace(values={})
        >>> trainer = Engine(lambda engine, batch: loss.values.update(entropy=batch))
        >>> LossValues(loss).attach(trainer)
        >>> trainer.run([1.0, 2.0]).metrics
        {'loss_entropy': 1.5}
    """

    def __init__(self, loss: Any) -> None:
        self.loss = loss
        self.values: list[dict[str, float]] = []

    def attach(self, engine: Engine) -> None:
        """Attach the handler to an engine."""
        engine.add_event_handler(Events.EPOCH_STARTED, self.values.clear)
        engine.add_event_handler(Events.ITERATION_COMPLETED, lambda: self.values.append(dict(self.loss.values)))
        engine.add_event_handler(Events.EPOCH_COMPLETED, self.summarise)

    def summarise(self, engine: Engine) -> None:
        """Write the epoch's means."""
        for name in self.values[0] if self.values else ():
            engine.state.metrics[f"loss_{name}"] = math.fsum(v[name] for v in self.values) / len(self.values)


class KeepLoss:
    """Ignite handler that reduces an iteration's output to its loss, in the form of a decollated batch.

    The output of an adaptation cannot be decollated, but MONAI's own handlers, such as those that it attaches for
    ``--tracking mlflow``, expect a list of dicts.

    Example:
        >>> import torch
        >>> trainer = Engine(lambda engine, batch: None)
        >>> trainer.state.output = {"loss": torch.tensor(0.5), "pred": "anything"}
        >>> KeepLoss()(trainer)
        >>> [dict(item)["loss"] for item in trainer.state.output]
        [0.5]
    """

    def attach(self, engine: Engine) -> None:
        """Attach the handler to an engine."""
        engine.add_event_handler(IterationEvents.MODEL_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        state: Any = engine.state
        state.output = [{CommonKeys.LOSS: float(state.output[CommonKeys.LOSS].detach())}]
