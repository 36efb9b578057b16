"""An Ignite handler that evaluates a few photographs of the target while a network adapts."""

from __future__ import annotations

import torch
from ignite.engine import Engine, Events
from monai.engines import Evaluator
from monai.handlers import ValidationHandler

__all__ = ["LookAtTarget", "spread"]


class LookAtTarget(ValidationHandler):
    """``ValidationHandler`` whose validator evaluates the network that the adaptation is going to keep.

    The validator is built with the network before adaptation; the handler replaces that network before each run.

    Args:
        network: the network that is going to be kept.
        validator: the evaluator to run.
        interval: number of epochs between two runs; the validator also runs after the last epoch.

    Example:
        >>> from monai.engines import SupervisedEvaluator
        >>> before, kept = torch.nn.Identity(), torch.nn.Identity()
        >>> photographs = [{"image": torch.zeros(1, 1)}]
        >>> validator = SupervisedEvaluator(torch.device("cpu"), photographs, before, decollate=False)
        >>> trainer = Engine(lambda engine, batch: None)
        >>> LookAtTarget(kept, validator).attach(trainer)
        >>> _ = trainer.run([0])
        >>> validator.network is kept
        True
    """

    def __init__(self, network: torch.nn.Module, validator: Evaluator, interval: int = 1) -> None:
        super().__init__(interval=interval, validator=validator)
        self.network = network

    def attach(self, engine: Engine) -> None:
        """Attach the handler to an engine."""
        engine.add_event_handler(Events.EPOCH_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        state = engine.state
        if state.epoch % self.interval == 0 or state.epoch == state.max_epochs:
            self.validator.network = self.network  # type: ignore[union-attr]
            super().__call__(engine)


def spread(count: int, chosen: int) -> list[int]:
    """At most ``chosen`` evenly spaced indices from 0 to ``count`` - 1, such as those of the photographs to look at.

    Example:
        >>> spread(10, 4), spread(2, 4), spread(10, 0)
        ([0, 2, 5, 7], [0, 1], [])
    """
    return [i * count // chosen for i in range(chosen)] if 0 < chosen < count else list(range(count if chosen else 0))
