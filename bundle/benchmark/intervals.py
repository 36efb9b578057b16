"""Calibrate the intervals of the vertical ratio on cameras that a model has not seen, and count how often they hold.

    python -m bundle.benchmark.intervals --data DATA [--output output/cameras] [--calibration models/vcdr_interval.json]

Takes the models of ``bundle.benchmark.cameras`` from the same output folder: on a real camera the model that was
trained without it speaks, before and after it adapted; on made-up ones, shifts of held-out photographs, the shipped
model. Only evaluation reads labels. What exists in the output folder is not computed again. Prints, for each camera,
how often an interval that was calibrated on all other real cameras holds, and writes the calibration on all of these.
Made-up cameras are counted but do not calibrate: their labels are by the source's readers, as no other clinic's are.
"""

from __future__ import annotations

import argparse
import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from scipy.optimize import nnls

from bundle.benchmark.cameras import ALL, CAMERAS, Scored, read_scores
from bundle.benchmark.execution import stage
from bundle.benchmark.markdown import table
from bundle.benchmark.setup import chosen_photographs, provenance
from bundle.io.files import atomic_write
from bundle.io.provenance import model_identity
from bundle.stages import BUNDLE_ROOT
from bundle.synthetic.shifts import SHIFTS, write_shifted
from bundle.uncertainty.interval import RatioInterval, spread_of

__all__ = ["Errors", "calibrated", "held", "main"]

MADE_UP = ("colour_cast", "blur_noise", "low_light", "large_cups", "severe")
FLOOR = 0.01
"""Smallest ``floor``: no photograph is measured without error."""
OF_EACH = 60
"""Scores of each camera that are kept, evenly spread over its ordered ones, so that every camera counts alike."""


class Errors(NamedTuple):
    """Measured ratios of one camera with a reader's, one entry per photograph.

    Attributes:
        predicted: measured ratios.
        true: the reader's.
        uncertainty: of the photographs' contours.
    """

    predicted: np.ndarray
    true: np.ndarray
    uncertainty: np.ndarray


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure what is missing, print the table, write the calibration."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--output", type=Path, default=BUNDLE_ROOT / "output" / "cameras")
    parser.add_argument("--calibration", type=Path, default=BUNDLE_ROOT / "models" / "vcdr_interval.json")
    parser.add_argument("--coverage", type=float, default=0.9)
    call = parser.parse_args(arguments)
    torch.set_num_threads(1)
    real = real_errors(call.data.absolute(), call.output.absolute())
    measured = {**real, **made_up_errors(call)}
    with_others = {name: {n: e for n, e in real.items() if not _same(n, name)} for name in measured}
    rows = []
    for name, errors in measured.items():
        share, width = held(errors, calibrated(with_others[name]), call.coverage)
        rows.append([name, str(len(errors.true)), f"{100 * share:.0f} %", f"{width:.3f}"])
    means = [np.mean([float(row[column].rstrip(" %")) for row in rows]) for column in (2, 3)]
    rows.append(["mean over cameras", "", f"{means[0]:.0f} %", f"{means[1]:.3f}"])
    print("\n".join(table(["camera left out", "photographs", "intervals that hold", "mean width"], rows)))
    about = {**provenance(), "weights": model_identity(ALL), "cameras": {n: len(e.true) for n, e in real.items()}}
    with atomic_write(call.calibration) as path:
        path.write_text(json.dumps({**calibrated(real), **about}, indent=2) + "\n", encoding="utf-8")


def _same(one: str, other: str) -> bool:
    """Whether two sets were taken by the same camera."""
    return one.split(",")[0] == other.split(",")[0]


def real_errors(data: Path, output: Path) -> dict[str, Errors]:
    """Errors on each real camera whose labels show cups, of the model that was trained without it."""
    found = {}
    for camera, sets in CAMERAS.items():
        weights = output / f"without_{camera}" / "model.pt"
        for scored in (scored for scored in sets if scored.has_cups and weights.is_file()):
            folder = output / "scores" / scored.folder.replace("/", "_")
            found[scored.what] = errors_of(scored, weights, data, folder / "without")
            adapted = folder / "without_adapted" / "adapted" / "model.pt"
            if adapted.is_file():
                found[f"{scored.what}, adapted"] = errors_of(scored, adapted, data, folder / "without_adapted")
    return found


def made_up_errors(call: argparse.Namespace) -> dict[str, Errors]:
    """Errors of the shipped model on shifts of photographs that its training held out."""
    held_out = chosen_photographs(call.data / "refuge" / "train", "required", held_out=True)
    found = {}
    for name in MADE_UP:
        folder = call.output.absolute() / "made_up" / name
        write_shifted(held_out, folder / "photographs", name)
        scored = Scored("photographs", True, False, "", name)
        found[f"made up, {name}: {SHIFTS[name].zoom:g} x"] = errors_of(scored, ALL, folder, folder / "results")
    return found


def errors_of(scored: Scored, weights: Path, data: Path, folder: Path) -> Errors:
    """Measure and score a set, unless that is done."""
    component = f"{chosen_photographs.__module__}.{chosen_photographs.__qualname__}"
    items = {"_target_": component, "folder": "@dataset_dir", "held_out": scored.held_out}
    common: dict[str, Any] = {"dataset_dir": str(data / scored.folder), "checkpoint": str(weights)}
    if not (folder / "metrics.csv").is_file():
        stage("evaluation", items={**items, "labels": "required"}, output_dir=str(folder), **common)
    if not (folder / "inference" / "report.csv").is_file():
        out = {"output_dir": str(folder / "inference"), "assess#interval": None, "quiet": True}
        stage("inference", items={**items, "labels": "none"}, **out, **common)
    with (folder / "inference" / "report.csv").open(newline="", encoding="utf-8") as file:
        reported = {Path(row["image"]).stem: row for row in csv.DictReader(file)}
    rows = [
        (float(row["vcdr"]), float(row["vcdr_true"]), float(reported[row["image"]]["uncertainty"]))
        for row in read_scores(folder)
        # Of a disc or a cup that was not found there is no ratio, hence no interval.
        if row["vcdr_true"] and float(row["vcdr"] or 0) > 0
    ]
    return Errors(*np.transpose(rows))


def calibrated(measured: Mapping[str, Errors]) -> dict[str, Any]:
    """``floor``, ``slope`` and ``scores`` (see ``RatioInterval``) of several cameras, each of which counts alike.

    Every score counts with both signs: whether the next clinic's readers draw wider or narrower cups is not known.

    Example:
        >>> errors = Errors(np.full(50, 0.5), np.linspace(0.4, 0.6, 50), np.full(50, 0.1))
        >>> found = calibrated({"one": errors})
        >>> len(found["scores"]), round(max(found["scores"]), 1)
        (100, 2.0)
    """
    weights = np.concatenate([np.full(len(e.true), len(e.true) ** -0.5) for e in measured.values()])
    error = np.concatenate([np.abs(e.true - e.predicted) for e in measured.values()])
    uncertainty = np.concatenate([e.uncertainty for e in measured.values()])
    terms = np.stack((np.ones_like(uncertainty), uncertainty), axis=1)
    floor, slope = nnls(terms * weights[:, None], error * weights)[0]
    floor = max(float(floor), FLOOR)
    scores: list[float] = []
    for errors in measured.values():
        own = np.sort((errors.true - errors.predicted) / spread_of(errors.uncertainty, floor, float(slope)))
        kept = np.unique(np.linspace(0, len(own) - 1, min(OF_EACH, len(own))).round().astype(int))
        scores += [sign * round(float(score), 4) for score in own[kept] for sign in (1, -1)]
    return {"floor": round(floor, 5), "slope": round(float(slope), 5), "scores": sorted(scores)}


def held(errors: Errors, calibration: Mapping[str, Any], coverage: float) -> tuple[float, float]:
    """Share of the photographs whose reader's ratio lies in its interval, and the intervals' mean width.

    Example:
        >>> errors = Errors(np.full(50, 0.5), np.linspace(0.4, 0.6, 50), np.full(50, 0.1))
        >>> share, width = held(errors, calibrated({"one": errors}), 0.8)
        >>> round(share, 2), round(width, 2)
        (0.8, 0.17)
    """
    interval = RatioInterval.of(calibration, coverage)
    ends = [interval(p, u) for p, u in zip(errors.predicted, errors.uncertainty, strict=True)]
    inside = [low <= true <= high for (low, high), true in zip(ends, errors.true, strict=True)]
    return float(np.mean(inside)), float(np.mean([high - low for low, high in ends]))


if __name__ == "__main__":
    main()
