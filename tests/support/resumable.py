"""A small training that can be resumed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from ignite.engine import Engine, Events
from monai.transforms import Compose, RandScaleIntensityd
from torch import nn

from bundle.handlers.checkpoint import ResumableCheckpoint
from bundle.handlers.determinism import EpochSeed


class Run:
    """A small training that draws from every random source.

    Args:
        path: of the checkpoint.
        fingerprint: of the run.
        stop: epoch, and number of steps, at which it is interrupted; None for never.
        seed: of every epoch's draws.

    Attributes:
        draws: of each step, its epoch and what was drawn.
    """

    def __init__(self, path: Path, fingerprint: str = "f", stop: tuple[int, int] | None = None, seed: int = 3) -> None:
        self.model = nn.Linear(4, 1)
        nn.init.constant_(self.model.weight, 0.1)
        nn.init.zeros_(self.model.bias)
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=0.05)
        self.schedule = torch.optim.lr_scheduler.ExponentialLR(self.optimizer, 0.5)
        self.jitter = Compose([RandScaleIntensityd("x", factors=0.9, prob=1.0)])
        self.draws: list[tuple] = []
        self.stop = stop
        self.engine = Engine(self.step)
        EpochSeed(seed, self.jitter).attach(self.engine)
        self.engine.add_event_handler(Events.EPOCH_COMPLETED, lambda: self.schedule.step())
        objects = {"network": self.model, "optimizer": self.optimizer, "schedule": self.schedule}
        ResumableCheckpoint(path, objects, fingerprint).attach(self.engine)

    def step(self, engine: Engine, batch: torch.Tensor) -> None:
        """One step; at ``stop`` it is interrupted."""
        if (engine.state.epoch, len(self.draws)) == self.stop:
            raise KeyboardInterrupt
        scaled = self.jitter({"x": torch.ones(1)})["x"].item()
        self.draws.append((engine.state.epoch, torch.rand(1).item(), np.random.rand(), scaled))  # noqa: NPY002
        loss = (self.model(batch + self.draws[-1][1]) - sum(self.draws[-1][2:])).square().mean()
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()

    def run(self, max_epochs: int = 4) -> Run:
        """Train for three steps an epoch."""
        generator = torch.Generator().manual_seed(0)
        self.engine.run([torch.randn(5, 4, generator=generator) for _ in range(3)], max_epochs=max_epochs)
        return self

    def state(self) -> list[torch.Tensor]:
        """Weights, moments and learning rate."""
        moments = [value for state in self.optimizer.state.values() for value in state.values()]
        return [*self.model.state_dict().values(), *moments, torch.tensor(self.optimizer.param_groups[0]["lr"])]
