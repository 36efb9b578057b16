"""The report: tables and page, made of the records of all photographs."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bundle.io.output_folder import forget_missing
from bundle.io.records import Records
from bundle.report.page import write_page
from bundle.report.pictures import Pictures
from bundle.report.recorded import RecordedResults
from bundle.report.selection import chosen_to_correct
from bundle.report.tables import write_measurements_table, write_report_table, write_selection_table
from bundle.results import Segmentation, count_statuses, summary_line

__all__ = ["Report", "write_report"]

logger = logging.getLogger(__name__)


class Report:
    """Makes the three tables and ``report.html`` when all photographs are done.

    Args:
        output_dir: folder of the report.
        items: all photographs, with ``name`` and ``image`` (a path), in the order of the report.
        records: what each photograph gave.
        model: which model drew the contours, in words for the page.
    """

    def __init__(
        self, output_dir: str | Path, items: Sequence[Mapping[str, Any]], records: Records, model: str = ""
    ) -> None:
        self.output_dir = Path(output_dir)
        self.items = items
        self.records = records
        self.model = model

    def write(self) -> None:
        """Write all files, and remove the records and what earlier runs have left of other photographs.

        Raises:
            CallError: a photograph has no record, or nothing can be written.
        """
        counts = write_report(self.output_dir, RecordedResults(self.records, self.items), self.model)
        contents = (self.records.load(item) for item in self.items)
        files = [path for content in contents if content is not None for path in content["files"]]
        self.records.keep_only(self.items)
        forget_missing(self.output_dir, "inference", files)
        self.records.clear()
        logger.info("%s; report: %s", summary_line(counts), self.output_dir / "report.html")


def write_report(
    output_dir: str | Path,
    entries: Sequence[tuple[Segmentation, Pictures]],
    model: str = "",
    title: str = "Optic disc and cup",
) -> dict[str, int]:
    """Write tables and page, each whole or not at all; the same entries give the same bytes, whenever they were made.

    Args:
        output_dir: folder of the report, made if it is missing.
        entries: the result of each photograph and its pictures, in the order of the tables. Each is looked at twice and
            its pictures are not kept, so a sequence that reads them from disk needs no memory for them.
        model: which model drew the contours, in words for the page.
        title: heading of the page.

    Returns:
        ``count_statuses`` of the results.
    """
    folder = Path(output_dir)
    results = [result for result, _ in entries]
    write_report_table(folder / "report.csv", results)
    write_measurements_table(folder / "measurements.csv", results)
    chosen = chosen_to_correct(results)
    write_selection_table(folder / "selection.csv", chosen)
    write_page(folder / "report.html", results, entries, model, title, [result.image for result in chosen])
    return count_statuses(results)
