"""An Ignite handler that keeps results in memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ignite.engine import Engine, Events

from bundle.data.dataset import PhotographDataset
from bundle.data.items import finished_items
from bundle.report.assessment import Assessor
from bundle.report.prediction import Prediction
from bundle.results import Segmentation

__all__ = ["ResultCollector"]


class ResultCollector:
    """Ignite handler that keeps what is said of each photograph, where ``ResultWriter`` writes it.

    Args:
        items: all photographs, with ``name`` and ``image`` (a path).
        dataset: knows which photographs were unreadable.
        assess: says what is said of each photograph.
    """

    def __init__(self, items: Sequence[dict[str, Any]], dataset: PhotographDataset, assess: Assessor) -> None:
        self.items = {item["name"]: item for item in items}
        self.dataset = dataset
        self.assess = assess
        self._results: dict[str, Segmentation] = {}

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.STARTED, self.start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self.collect)

    def start(self) -> None:
        """Forget an earlier run's results."""
        self._results.clear()

    def collect(self, engine: Engine) -> None:
        """Keep what is said of the photographs of one iteration."""
        for item, output in finished_items(engine):
            name = item["name"]
            self._results[name] = self.assess(Prediction.of(self.items[name]["image"], item, output))

    def results(self) -> list[Segmentation]:
        """The results of all photographs, in the order of the items, when the run is done."""
        unreadable = {
            name: self.assess.unreadable(self.items[name]["image"], reason)
            for name, reason in self.dataset.unreadable.items()
        }
        found = self._results | unreadable
        return [found[name] for name in self.items]
