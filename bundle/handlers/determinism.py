"""An Ignite handler that seeds each epoch."""

from __future__ import annotations

from ignite.engine import Engine, Events
from monai.transforms import Randomizable
from monai.utils import set_determinism

__all__ = ["EpochSeed"]


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
