"""An Ignite handler: what a tracker may keep of an inference."""

from __future__ import annotations

import math

from ignite.engine import Engine, Events

from bundle.data.dataset import PhotographDataset
from bundle.data.items import finished_items
from bundle.networks.nested_classes import CLASSES

__all__ = ["InferenceMeasures"]


class InferenceMeasures:
    """Ignite handler for an inference: what a tracker may keep of it, which names no photograph.

    An inference that continues counts what was left.

    ``engine.state.metrics`` receives how many ``photographs`` were segmented, how many are ``without_disc`` or
    ``unreadable``, and ``expected_dice_<structure>`` (see ``expected_dice``), the mean over those with a disc.

    Args:
        dataset: knows which photographs were unreadable.
    """

    def __init__(self, dataset: PhotographDataset) -> None:
        self.dataset = dataset
        self.rows: list[list[float] | None] = []

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.EPOCH_STARTED, self.rows.clear)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self.collect)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self.summarise)

    def collect(self, engine: Engine) -> None:
        """Take what one iteration gave."""
        for _, output in finished_items(engine):
            self.rows.append(output["expected_dice"].tolist() if output["pred"].any() else None)

    def summarise(self, engine: Engine) -> None:
        """Count and average."""
        found = [row for row in self.rows if row is not None]
        engine.state.metrics |= {
            "photographs": len(self.rows),
            "without_disc": len(self.rows) - len(found),
            "unreadable": len(self.dataset.unreadable),
        }
        for name, values in zip(CLASSES, zip(*found, strict=True), strict=bool(found)):
            engine.state.metrics[f"expected_dice_{name}"] = math.fsum(values) / len(values)
