"""Made-up results of runs: what each leaves in its folder, with scores that can be worked out by hand."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bundle.benchmark.page import render
from bundle.benchmark.plan import Run
from bundle.benchmark.results import Results

NAMES = [f"n{i}" for i in range(8)]
# Disc Dice by target, recipe and seed; the cup's is 0.1 lower, photographs differ by up to 0.007.
SCORES = {
    "drishti_gs": {"source": [0.8], "bn": [0.795], "grad_cl": [0.82, 0.84], "plus": [0.86, 0.88], "supervised": [0.9]},
    "low_light": {"source": [0.9], "bn": [0.91], "grad_cl": [0.92, 0.9], "plus": [0.93, 0.95], "supervised": [0.95]},
    "none": {"source": [0.95], "bn": [0.9], "grad_cl": [0.949, 0.949], "plus": [0.95, 0.95], "supervised": [0.952]},
}
FACTS = {"commit": "abc1234", "torch": "2.0", "cores": 2, "machine": "x", "weights": "model.pt", "images": None}


def write_run(output: Path, run: Run, disc: float) -> Run:
    """Write what a run with this Dice of the disc leaves."""
    folder = run.folder(output)
    folder.mkdir(parents=True)
    rng = np.random.default_rng([len(run.recipe), run.seed])
    noise = dict(zip(NAMES, (rng.permutation(8) - 3.5) / 500, strict=True))
    with (folder / "metrics.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["image", "optic_disc_dice", "optic_cup_dice"])
        writer.writerows([name, disc + noise[name], disc - 0.1 + noise[name]] for name in NAMES)
    dice = {"optic_disc": disc, "optic_cup": disc - 0.1}
    metrics: dict[str, Any] = {name: {"dice": d, "assd_px": 4.0, "hd95_px": 9.0} for name, d in dice.items()}
    metrics |= {"vcdr_mae": 0.05, "images": 8, "missed": 0, "rule": "The rule."}
    (folder / "metrics.json").write_text(json.dumps(metrics))
    if run.recipe not in ("source", "supervised"):
        # Half of the true change is foreseen.
        foreseen = (disc - SCORES[run.target]["source"][0]) / 2
        before = {"predicted_dice": {"optic_disc": 0.9, "optic_cup": 0.7}, "photographs": 8}
        after = {"predicted_dice": {"optic_disc": 0.9 + foreseen, "optic_cup": 0.7 + foreseen}, "photographs": 8}
        (folder / "adaptation.json").write_text(json.dumps({"before": before, "after": after}))
    if run.target == "drishti_gs" and run.seed == 0 and not run.row:
        (folder / "forgotten").mkdir()
        back = metrics | {"optic_disc": {"dice": 0.9 if run.recipe == "plus" else 0.96}, "optic_cup": {"dice": 0.8}}
        (folder / "forgotten" / "metrics.json").write_text(json.dumps(back))
    (folder / "result.json").write_text(json.dumps({**FACTS, "commit": "def5678" if run.row else "abc1234"}))
    return run


def page_of(
    results: Results, missing: Sequence[str] = (), speed: Mapping[str, Mapping[str, Any]] | None = None, **facts: Any
) -> str:
    """The page."""
    return render(results, missing, speed or {}, FACTS | facts, {"gap_closed": "images/gap_closed.png"})


def tables_of(text: str) -> dict[str, list[dict[str, str]]]:
    """Rows of the first table under each heading of a page, by column."""
    found = {}
    for section in text.split("\n## ")[1:]:
        lines = [line for line in section.split("\n") if line.startswith("|")]
        end = next((i for i, line in enumerate(lines) if i > 1 and set(line) <= set("|- ")), len(lines) + 1) - 1
        rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[:end]]
        header = rows[0] if rows else []
        found[section.split("\n")[0]] = [dict(zip(header, row, strict=True)) for row in rows[2:]]
    return found


def row_of(rows: Sequence[Mapping[str, str]], name: str) -> Mapping[str, str]:
    """The row of a recipe."""
    return next(row for row in rows if next(iter(row.values())) == f"`{name}`")
