"""Scores of single photographs, their means, and the handler that writes both."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import ignite.distributed as idist
import numpy as np
import torch
from ignite.engine import Engine, Events
from monai.metrics import compute_average_surface_distance, compute_dice, compute_hausdorff_distance

from bundle.data.items import finished_items, item_name
from bundle.io.files import atomic_write
from bundle.io.records import Records
from bundle.morphometry.cup_disc import measure
from bundle.networks.nested_classes import CLASSES

__all__ = ["COLUMNS", "ScoresSaver", "score_image", "summarise"]

_MEASURES = ("dice", "assd_px", "hd95_px")
COLUMNS = (
    "image",
    *(f"{name}_{measure_}" for name in CLASSES for measure_ in _MEASURES),
    "vcdr",
    "vcdr_true",
    "vcdr_error",
    "missed",
)
"""Columns of ``metrics.csv``."""
RULE = (
    "A structure that the label shows and the prediction misses counts with Dice 0 and the diagonal of the label's "
    "grid as its distances; a missed disc counts with a vCDR of 0. "
    "A structure that the label does not show is left out."
)


def score_image(prediction: torch.Tensor, label: torch.Tensor) -> dict[str, float]:
    """Scores of one photograph.

    Args:
        prediction: masks of disc and cup, 2 x W x H, 0 or 1.
        label: the same from the label, on the same grid.

    Returns:
        The columns of ``metrics.csv`` except ``image``: for disc and cup the Dice in [0, 1], the average symmetric
        surface distance and the 95th percentile of the Hausdorff distance, both in pixels; the vertical cup-to-disc
        ratios (vCDR) of prediction and label and their absolute difference; ``missed``, 1 if the prediction misses the
        disc, else 0. Scores of a structure that the label does not show are NaN. For a structure that the prediction
        misses, see ``RULE``.

    Example:
        >>> label = torch.zeros(2, 32, 32)
        >>> label[0, 4:28, 4:28] = label[1, 10:22, 10:22] = 1
        >>> scores = score_image(label, label)
        >>> scores["optic_disc_dice"], scores["optic_cup_hd95_px"], scores["vcdr_error"], scores["missed"]
        (1.0, 0.0, 0.0, 0.0)
    """
    prediction, label = torch.as_tensor(prediction).float(), torch.as_tensor(label).float()
    diagonal = math.hypot(*label.shape[1:])
    row: dict[str, float] = {}
    for i, name in enumerate(CLASSES):
        p, y = prediction[None, i : i + 1], label[None, i : i + 1]
        values = [math.nan] * 3
        if y.any() and p.any():
            values = [
                compute_dice(p, y).item(),
                compute_average_surface_distance(p, y, include_background=True, symmetric=True).item(),
                compute_hausdorff_distance(p, y, include_background=True, percentile=95).item(),
            ]
        elif y.any():
            values = [0.0, diagonal, diagonal]
        row |= {f"{name}_{measure_}": value for measure_, value in zip(_MEASURES, values, strict=True)}
    row["vcdr"], row["vcdr_true"] = _vcdr(prediction), _vcdr(label)
    has_both = bool(label[0].any() and label[1].any())
    row["vcdr_error"] = (
        abs((0.0 if math.isnan(row["vcdr"]) else row["vcdr"]) - row["vcdr_true"]) if has_both else math.nan
    )
    row["missed"] = float(bool(label[0].any()) and not bool(prediction[0].any()))
    return row


def _vcdr(masks: torch.Tensor) -> float:
    return measure(masks.sum(dim=0).numpy().T.astype(np.uint8)).vcdr


def summarise(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Means over the photographs, as ``metrics.json`` holds them.

    Args:
        rows: the result of ``score_image`` for each photograph.

    Returns:
        Means of Dice and distances for disc and cup, and of the vCDR's error, each None if no label shows the
        structure; the numbers of ``images`` and of ``missed`` discs; and the ``rule`` for missed structures.

    Example:
        >>> label = torch.zeros(2, 32, 32)
        >>> label[0, 4:28, 4:28] = label[1, 10:22, 10:22] = 1
        >>> means = summarise([score_image(label, label), score_image(torch.zeros_like(label), label)])
        >>> means["optic_disc"]["dice"], means["vcdr_mae"], means["images"], means["missed"]
        (0.5, 0.25, 2, 1)
    """

    def mean(column: str) -> float | None:
        values = [row[column] for row in rows if not math.isnan(row[column])]
        return float(np.mean(values)) if values else None

    return {
        **{name: {measure_: mean(f"{name}_{measure_}") for measure_ in _MEASURES} for name in CLASSES},
        "vcdr_mae": mean("vcdr_error"),
        "images": len(rows),
        "missed": int(sum(row["missed"] for row in rows)),
        "rule": RULE,
    }


class ScoresSaver:
    """Ignite handler that scores each photograph and writes ``metrics.json`` and ``metrics.csv`` after the epoch.

    It reads ``pred`` and ``label`` (2 x W x H masks of disc and cup) of each item in ``engine.state.output``, and the
    item's name (see ``item_name``) from ``engine.state.batch``. The means also go to ``engine.state.metrics``, as
    scalars called ``optic_disc_dice`` and so on.

    Args:
        output_dir: receives the two files.
        records: store for the scores of each photograph until the files are written, from which an interrupted run
            continues; None if every epoch scores all photographs again.
        items: all photographs, with ``name``; the scores of those with a record are taken from the record.

    Example:
        >>> import tempfile
        >>> masks = torch.zeros(2, 32, 32)
        >>> masks[0, 4:28, 4:28] = masks[1, 10:22, 10:22] = 1
        >>> def segment(engine, batch):
        ...     engine.state.batch = [{"name": "eye"}]
        ...     return [{"pred": masks, "label": masks}]
        >>> evaluator = Engine(segment)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     ScoresSaver(folder).attach(evaluator)
        ...     metrics = evaluator.run([0]).metrics
        ...     sorted(path.name for path in Path(folder).iterdir()), metrics["optic_cup_dice"]
        (['metrics.csv', 'metrics.json'], 1.0)
    """

    def __init__(
        self, output_dir: str | Path, records: Records | None = None, items: Sequence[dict[str, Any]] = ()
    ) -> None:
        self.output_dir = Path(output_dir)
        self.records = records
        self.items = {item["name"]: item for item in items}
        self.rows: list[dict[str, Any]] = []

    def attach(self, engine: Engine) -> None:
        """Attach the handler to an engine."""
        engine.add_event_handler(Events.EPOCH_STARTED, self.start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self.collect)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self.write)

    def start(self) -> None:
        """Start with the scores that an interrupted run has recorded."""
        self.rows.clear()
        if self.records is not None:
            found = map(self.records.load, self.items.values())
            self.rows += [content["row"] for content in found if content is not None]

    def collect(self, engine: Engine) -> None:
        """Score the photographs of one iteration."""
        for item, output in finished_items(engine):
            scores = score_image(output["pred"].cpu(), output["label"].cpu())
            row = {"image": item_name(item), **scores}
            self.rows.append(row)
            if self.records is not None:
                self.records.save(self.items[row["image"]], {"row": row})

    def write(self, engine: Engine) -> None:
        """Write both files, each as a whole.

        Only the first of several processes writes, for the photographs of all processes. A photograph that two
        processes scored counts once.
        """
        if idist.get_world_size() > 1:
            shares = cast(list, idist.all_gather(self.rows))
            self.rows[:] = {row["image"]: row for share in shares for row in share}.values()
        self.rows.sort(key=lambda row: row["image"])
        summary = summarise(self.rows)
        for name in CLASSES:
            engine.state.metrics |= {
                f"{name}_{key}": value for key, value in summary[name].items() if value is not None
            }
        if idist.get_rank() == 0:
            self._write_files(summary)
            if self.records is not None:
                self.records.clear()

    def _write_files(self, summary: Mapping[str, Any]) -> None:
        self.output_dir.mkdir(parents=True, exist_ok=True)
        with atomic_write(self.output_dir / "metrics.json") as path:
            path.write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
        with (
            atomic_write(self.output_dir / "metrics.csv") as path,
            path.open("w", newline="", encoding="utf-8") as file,
        ):
            writer = csv.writer(file)
            writer.writerow(COLUMNS)
            for row in self.rows:
                writer.writerow([_cell(row[column]) for column in COLUMNS])


def _cell(value: Any) -> str:
    if isinstance(value, str):
        return value
    return "" if math.isnan(value) else f"{value:.6g}"
