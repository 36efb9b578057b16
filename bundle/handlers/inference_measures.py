"""An Ignite handler that summarises an inference for an experiment tracker."""

from __future__ import annotations

import math

from ignite.engine import Engine, Events

from bundle.data.dataset import PhotographDataset
from bundle.data.items import finished_items
from bundle.networks.nested_classes import CLASSES

__all__ = ["InferenceMeasures"]


class InferenceMeasures:
    """Ignite handler that summarises an inference for an experiment tracker, without the name of any photograph.

    ``engine.state.metrics`` receives the numbers of ``photographs`` that were segmented, of those ``without_disc``, and
    of those that are ``unreadable``; and ``expected_dice_<structure>`` (see ``expected_dice``), in [0, 1], the mean
    over the photographs with a disc. An inference that continues an interrupted one counts only the photographs that it
    processes itself.

    Args:
        dataset: the data set, which records the unreadable photographs.

    Example:
        >>> import torch
        >>> from types import SimpleNamespace
        >>> def segment(engine, batch):
        ...     engine.state.batch = [{"name": "eye"}]
        ...     return [{"pred": torch.ones(4, 4), "expected_dice": torch.tensor([0.75, 0.5])}]
        >>> engine = Engine(segment)
        >>> InferenceMeasures(SimpleNamespace(unreadable={})).attach(engine)
        >>> metrics = engine.run([0]).metrics
        >>> metrics["photographs"], metrics["expected_dice_optic_cup"]
        (1, 0.5)
    """

    def __init__(self, dataset: PhotographDataset) -> None:
        self.dataset = dataset
        self.rows: list[list[float] | None] = []

    def attach(self, engine: Engine) -> None:
        """Attach the handler to an engine."""
        engine.add_event_handler(Events.EPOCH_STARTED, self.rows.clear)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self.collect)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self.summarise)

    def collect(self, engine: Engine) -> None:
        """Collect the results of one iteration."""
        for _, output in finished_items(engine):
            self.rows.append(output["expected_dice"].tolist() if output["pred"].any() else None)

    def summarise(self, engine: Engine) -> None:
        """Write the counts and means."""
        found = [row for row in self.rows if row is not None]
        engine.state.metrics |= {
            "photographs": len(self.rows),
            "without_disc": len(self.rows) - len(found),
            "unreadable": len(self.dataset.unreadable),
        }
        for name, values in zip(CLASSES, zip(*found, strict=True), strict=bool(found)):
            engine.state.metrics[f"expected_dice_{name}"] = math.fsum(values) / len(values)
