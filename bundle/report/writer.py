"""An Ignite handler that writes mask, overlay and record of each photograph."""

from __future__ import annotations

import logging
import math
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ignite.engine import Engine, Events
from monai.data import MetaTensor
from PIL import Image

from bundle.data.dataset import PhotographDataset
from bundle.data.items import finished_items
from bundle.errors import CallError
from bundle.io.files import atomic_write, safe_output_path
from bundle.io.png import write_png
from bundle.io.records import Records
from bundle.morphometry.cup_disc import find_borders, measure
from bundle.morphometry.laterality import Laterality, guess_laterality
from bundle.morphometry.rims import measure_rims
from bundle.report.assessment import Assessment, photograph_pixels
from bundle.report.mask_files import MASK_SUFFIXES, check_mask_format, write_mask
from bundle.report.overlays import outlined_close_up, overlay_pixels
from bundle.report.page import Report
from bundle.report.thumbnail import small_jpeg
from bundle.results import Entry, Row, summary_line
from bundle.uncertainty.sharpness import sharpness

__all__ = ["RecordedEntries", "ReportWriter"]

logger = logging.getLogger(__name__)


class RecordedEntries(Sequence[Entry]):
    """The report's entries, read from their records one at a time.

    Args:
        records: where they are.
        items: photographs, in the order of the report.

    Raises:
        CallError: when an entry is asked for whose photograph has no record.
    """

    def __init__(self, records: Records, items: Sequence[Mapping[str, Any]]) -> None:
        self.records = records
        self.items = items

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: Any) -> Any:
        content = self.records.load(self.items[index])
        if content is None:
            raise CallError(
                f"{self.items[index]['image']} has no result: it was changed meanwhile, or a process ended early.",
                "Run the same command again: it does what is missing.",
            )
        return Entry.from_json(content["entry"])


class ReportWriter:
    """Ignite handler that writes mask, overlay and record of each photograph, and makes the report of all records.

    Each item of ``engine.state.batch`` holds ``name``, ``image`` and ``photograph`` (3 x W x H, 0..255), each of
    ``engine.state.output`` holds ``pred`` (W x H, uint8) and ``expected_dice`` (disc, cup). While threads write, the
    network goes on; at most two photographs a thread wait in memory.

    Args:
        output_dir: receives ``masks/``, ``overlays/``, ``report.csv``, ``measurements.csv`` and ``report.html``.
        dataset_dir: paths in the report are relative to it.
        items: all photographs, with ``name`` and ``image`` (a path), in the order of the report.
        dataset: knows which photographs were unreadable.
        records: where what the report needs of each photograph waits until all are done.
        model: the model's identity, for the report.
        max_uncertainty: a photograph whose disc or cup is above it (1 - expected Dice) is to be reviewed, in [0, 1].
        min_confidence: a photograph whose disc was found with less confidence is to be reviewed, in [0, 1].
        min_sharpness: so is one whose view is less sharp (``bundle.suitability.sharpness``); 0 for none.
        max_distance: so is one farther from the training data (``norm_distance`` of the output); infinity for none.
        guess_eye: whether to guess which eye it is where the file does not say.
        rim_sector: angle over which a rim's width is averaged, in degrees, above 0 and up to 90.
        mask_format: a key of ``bundle.mask_files.MASK_SUFFIXES``.
        threads: how many photographs are written at a time.
        uncertainty_scale: the model's uncertainty is divided by it before anything is said of it, in (0, 1]
            (see ``bundle.adaptation.uncertainty_scale``).

    Raises:
        CallError: if the mask format is unknown or needs a package that is not installed.
    """

    def __init__(
        self,
        output_dir: str | Path,
        dataset_dir: str | Path,
        items: Sequence[dict[str, Any]],
        dataset: PhotographDataset,
        records: Records,
        model: str,
        max_uncertainty: float = 0.08,
        min_confidence: float = 0.7,
        min_sharpness: float = 0.0,
        max_distance: float = math.inf,
        guess_eye: bool = True,
        rim_sector: float = 30.0,
        mask_format: str = "png",
        threads: int = 1,
        uncertainty_scale: float = 1.0,
    ) -> None:
        check_mask_format(mask_format)
        self.output_dir = Path(output_dir)
        self.root = Path(dataset_dir).expanduser().absolute()
        self.items = {item["name"]: item for item in items}
        self.dataset = dataset
        self.records = records
        self.model = model
        self.max_uncertainty = max_uncertainty
        self.uncertainty_scale = uncertainty_scale
        self.min_confidence = min_confidence
        self.min_sharpness = min_sharpness
        self.max_distance = max_distance
        self.guess_eye = guess_eye
        self.rim_sector = rim_sector
        self.mask_format = mask_format
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
            self._jobs.append(self._pool.submit(self._add, item, output))
        while len(self._jobs) > 2 * self.threads:
            self._jobs.popleft().result()

    def finish(self) -> None:
        """Wait for the threads, and record the photographs that could not be read."""
        while self._jobs:
            self._jobs.popleft().result()
        self._pool.shutdown()
        for name, reason in self.dataset.unreadable.items():
            row = Row(image=self._relative(name), status="unreadable", reason=reason)
            # Its permissions may be mended without a change of the file, so it is tried again.
            self._record(name, Entry(row), final=False)

    def abandon(self, error: BaseException) -> None:
        """Stop the threads and let the engine's error pass."""
        self._pool.shutdown(cancel_futures=True)
        raise error

    def write_report(self) -> None:
        """Make the report of the records of all photographs, and remove them."""
        report = Report(self.output_dir, model=self.model)
        counts = report.write(RecordedEntries(self.records, list(self.items.values())))
        self.records.clear()
        logger.info("%s; report: %s", summary_line(counts), self.output_dir / "report.html")

    def assess(self, item: Mapping[str, Any], output: Mapping[str, Any]) -> Assessment:
        """Everything that is said of a photograph; writes nothing.

        Args:
            item: of ``engine.state.batch``.
            output: of ``engine.state.output``.
        """
        photograph = photograph_pixels(item["photograph"])
        label = np.ascontiguousarray(torch.as_tensor(output["pred"]).cpu().numpy().T.astype(np.uint8))
        borders = find_borders(label)
        measurements = measure(label, borders=borders)
        uncertainty = max(self._uncertainties(output))
        found = borders.box is not None
        reasons = self._reasons(item["image"], label, output) if found else []
        row = Row.of(
            image=self._relative(item["name"]),
            status="review" if reasons else "ok" if found else "no_disc",
            measured=measurements,
            uncertainty=uncertainty if found else math.nan,
            reason="; ".join(reasons) if found else "no optic disc found",
        )
        rims = measure_rims(label, self._laterality(item["image"], photograph, label), self.rim_sector, borders)
        return Assessment(photograph, label, borders, row, measurements, rims)

    def _add(self, item: Mapping[str, Any], output: Mapping[str, Any]) -> None:
        name = item["name"]
        photograph, label, borders, row, _, rims = self.assess(item, output)
        mask, overlay = f"masks/{name}{MASK_SUFFIXES[self.mask_format]}", f"overlays/{name}.png"
        with atomic_write(safe_output_path(self.output_dir, mask)) as path:
            write_mask(label, path, self.mask_format, Path(self.items[name]["image"]))
        with atomic_write(safe_output_path(self.output_dir, overlay)) as path:
            write_png(overlay_pixels(photograph, label, borders=borders), path)
        close_up = outlined_close_up(photograph, label, borders=borders)
        picture, outlines = close_up or (Image.fromarray(photograph), None)
        self._record(name, Entry(row, small_jpeg(picture), mask, overlay, outlines, rims))

    def _record(self, name: str, entry: Entry, final: bool = True) -> None:
        files = [path for path in (entry.mask_name, entry.overlay_name) if path]
        self.records.save(self.items[name], {"entry": entry.to_json(), "files": files}, final)

    def _laterality(self, view: torch.Tensor, photograph: np.ndarray, label: np.ndarray) -> Laterality:
        stated = view.meta.get("laterality", "") if isinstance(view, MetaTensor) else ""
        if stated:
            return Laterality("right" if stated == "right" else "left", "file")
        return guess_laterality(photograph, label) if self.guess_eye else Laterality()

    def _reasons(self, view: torch.Tensor, label: np.ndarray, output: Mapping[str, Any]) -> list[str]:
        confidence = float(view.meta.get("disc_confidence", 1.0)) if isinstance(view, MetaTensor) else 1.0
        edges = (label[0], label[-1], label[:, 0], label[:, -1])
        disc, cup = (uncertainty > self.max_uncertainty for uncertainty in self._uncertainties(output))
        has_cup = bool((label == 2).any())
        checks = {
            # Of a cup that is not drawn there is no edge to doubt.
            "cup edge uncertain": cup and has_cup,
            "disc edge uncertain": disc,
            "disc touches the edge of the picture": any(edge.any() for edge in edges),
            "out of focus": self.min_sharpness > 0 and sharpness(view) < self.min_sharpness,
            "unlike anything seen in training": float(output.get("norm_distance", 0.0)) > self.max_distance,
            "disc found with low confidence": confidence < self.min_confidence,
            "no cup visible": not has_cup,
        }
        return [reason for reason, applies in checks.items() if applies]

    def _uncertainties(self, output: Mapping[str, Any]) -> list[float]:
        """Of disc and cup, in [0, 1]."""
        return [min((1 - float(dice)) / self.uncertainty_scale, 1.0) for dice in output["expected_dice"]]

    def _relative(self, name: str) -> str:
        path = Path(self.items[name]["image"])
        try:
            return path.relative_to(self.root).as_posix()
        except ValueError:
            return path.name
