"""An Ignite handler that seeds each epoch."""

from __future__ import annotations

from ignite.engine import Engine, Events
from monai.transforms import Randomizable
from monai.utils import set_determinism

__all__ = ["EpochSeed"]


class EpochSeed:
    """Seed all random numbers at the start of each epoch with a number that depends on the seed and the epoch.

    A run that resumes after epoch n then draws the same random numbers as an uninterrupted run in epoch n + 1.

    Args:
        seed: the run's seed.
        transform: a random transform with a random state of its own, such as the augmentation; None for none.

    Example:
        >>> import torch
        >>> trainer = Engine(lambda engine, batch: torch.rand(()).item())
        >>> EpochSeed(seed=0).attach(trainer)
        >>> first, again = (trainer.run([0], max_epochs=1).output for _ in range(2))
        >>> first == again
        True
    """

    def __init__(self, seed: int, transform: Randomizable | None = None) -> None:
        self.seed = seed
        self.transform = transform

    def attach(self, engine: Engine) -> None:
        """Attach the handler to an engine."""
        engine.add_event_handler(Events.EPOCH_STARTED, self)

    def __call__(self, engine: Engine) -> None:
        seed = (self.seed * 100_003 + engine.state.epoch) % 2**32
        set_determinism(seed)
        if self.transform is not None:
            self.transform.set_random_state(seed)
