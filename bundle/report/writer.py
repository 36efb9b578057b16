"""An Ignite handler that writes mask, overlay and record of each photograph."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from ignite.engine import Engine, Events
from PIL import Image

from bundle.data.dataset import PhotographDataset
from bundle.data.items import finished_items
from bundle.io.files import atomic_write, safe_output_path
from bundle.io.png import write_png
from bundle.io.records import Records
from bundle.report.assessment import Assessor
from bundle.report.close_ups import outlined_close_up
from bundle.report.dicom_filing import Filing
from bundle.report.dicom_sr import check_report_format, structured_report
from bundle.report.mask_files import MASK_SUFFIXES, check_mask_format, write_mask
from bundle.report.overlays import overlay_pixels
from bundle.report.pictures import Pictures
from bundle.report.prediction import Prediction
from bundle.report.recorded import record_result
from bundle.report.thumbnail import small_jpeg

__all__ = ["ResultWriter"]


class ResultWriter:
    """Ignite handler that writes mask and overlay of each photograph, and a record of what is said of it.

    Each item of ``engine.state.batch`` holds ``name``, and with its output what ``Prediction.of`` takes. While threads
    write, the network goes on; at most two photographs a thread wait in memory.

    Args:
        output_dir: receives ``masks/`` and ``overlays/``.
        items: all photographs, with ``name`` and ``image`` (a path).
        dataset: knows which photographs were unreadable.
        records: where what the report needs of each photograph waits until all are done.
        assess: says what is said of each photograph.
        mask_format: a key of ``bundle.report.mask_files.MASK_SUFFIXES``.
        report_format: one of ``bundle.report.dicom_sr.REPORT_FORMATS``; ``dicom_sr`` adds a structured report of each
            photograph that could be read, in ``structured_reports/``.
        keep_study: file what is DICOM in the photograph's study (see ``bundle.report.dicom_filing``).
        model: which model drew the contours, in words for what is DICOM.
        threads: how many photographs are written at a time.

    Raises:
        CallError: if a format is unknown or needs a package that is not installed.
    """

    def __init__(
        self,
        output_dir: str | Path,
        items: Sequence[dict[str, Any]],
        dataset: PhotographDataset,
        records: Records,
        assess: Assessor,
        mask_format: str = "png",
        report_format: str = "html",
        keep_study: bool = False,
        model: str = "",
        threads: int = 1,
    ) -> None:
        check_mask_format(mask_format)
        check_report_format(report_format)
        self.output_dir = Path(output_dir)
        self.items = {item["name"]: item for item in items}
        self.dataset = dataset
        self.records = records
        self.assess = assess
        self.mask_format = mask_format
        self.report_format = report_format
        self.keep_study = keep_study
        self.model = model
        self.threads = threads
        self._jobs: deque[Future[None]] = deque()

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.STARTED, self.start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self.collect)
        engine.add_event_handler(Events.COMPLETED, self.finish)
        engine.add_event_handler(Events.EXCEPTION_RAISED, self.abandon)

    def start(self) -> None:
        """Start the threads."""
        self._pool = ThreadPoolExecutor(self.threads, thread_name_prefix="writer")

    def collect(self, engine: Engine) -> None:
        """Hand the photographs of one iteration to the threads, and wait while they have enough to do."""
        for item, output in finished_items(engine):
            self._jobs.append(self._pool.submit(self._write, item, output))
        while len(self._jobs) > 2 * self.threads:
            self._jobs.popleft().result()

    def finish(self) -> None:
        """Wait for the threads, and record the photographs that could not be read."""
        while self._jobs:
            self._jobs.popleft().result()
        self._pool.shutdown()
        for name, reason in self.dataset.unreadable.items():
            result = self.assess.unreadable(self.items[name]["image"], reason)
            # Its permissions may be mended without a change of the file, so it is tried again.
            record_result(self.records, self.items[name], result, Pictures(), final=False)

    def abandon(self, error: BaseException) -> None:
        """Stop the threads and let the engine's error pass."""
        self._pool.shutdown(cancel_futures=True)
        raise error

    def _write(self, item: dict[str, Any], output: dict[str, Any]) -> None:
        name = item["name"]
        prediction = Prediction.of(self.items[name]["image"], item, output)
        photograph, label, borders = prediction.photograph, prediction.label, prediction.borders
        result = self.assess(prediction)
        mask, overlay = f"masks/{name}{MASK_SUFFIXES[self.mask_format]}", f"overlays/{name}.png"
        filing = Filing.of(prediction.path, self.keep_study, self.model)
        with atomic_write(safe_output_path(self.output_dir, mask)) as path:
            written = write_mask(label, path, self.mask_format, filing)
        report = ""
        if self.report_format == "dicom_sr":
            report = f"structured_reports/{name}.dcm"
            with atomic_write(safe_output_path(self.output_dir, report)) as path:
                structured_report(result, filing, written).save_as(path, enforce_file_format=True)
        with atomic_write(safe_output_path(self.output_dir, overlay)) as path:
            write_png(overlay_pixels(photograph, label, borders=borders), path)
        picture, outlines = outlined_close_up(photograph, label, borders=borders) or (Image.fromarray(photograph), None)
        pictures = Pictures(small_jpeg(picture), outlines, mask, overlay, report)
        record_result(self.records, self.items[name], result, pictures)
