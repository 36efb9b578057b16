"""Results kept in memory instead of files."""

from __future__ import annotations

from ignite.engine import Engine, Events

from bundle.data.items import finished_items
from bundle.report.writer import ReportWriter
from bundle.results import Segmentation

__all__ = []


class ResultCollector(ReportWriter):
    """``ReportWriter`` that writes nothing and keeps the results.

    Attributes:
        results: by the photograph's name.
    """

    def attach(self, engine: Engine) -> None:
        self.results: dict[str, Segmentation] = {}
        engine.add_event_handler(Events.ITERATION_COMPLETED, self.collect)

    def collect(self, engine: Engine) -> None:
        """Keep what is said of the photographs of one iteration."""
        for item, output in finished_items(engine):
            found = self.assess(item, output)
            row = found.row
            self.results[item["name"]] = Segmentation(
                row.image, row.status, row.reason, found.label, found.measurements, found.rims, row.uncertainty
            )

    def of(self, name: str) -> Segmentation:
        """The result of a photograph."""
        if name in self.results:
            return self.results[name]
        return Segmentation(self._relative(name), "unreadable", self.dataset.unreadable[name])
