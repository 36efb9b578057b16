"""The short table of the README and the model card, and the figures in the bundle's metadata."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bundle.benchmark.markdown import NONE, share, spread, table
from bundle.benchmark.plan import PLUS, REAL, SOURCE
from bundle.benchmark.results import Results, mean_dice
from bundle.benchmark.statistics import mean_and_sd
from bundle.io.config_text import laid_out
from bundle.io.files import atomic_write
from bundle.networks.nested_classes import CLASSES

__all__ = ["eval_metrics", "replace_eval_metrics", "replace_summary", "summary"]

BEGIN, END = "<!-- benchmark -->", "<!-- end of benchmark -->"


def replace_summary(page: Path, results: Results) -> None:
    """Replace the short table between the markers of a page.

    Raises:
        ValueError: the page has no markers.
    """
    text = page.read_text(encoding="utf-8")
    if BEGIN not in text or END not in text:
        raise ValueError(f"{page} has no {BEGIN} ... {END}.")
    before, _, rest = text.partition(BEGIN)
    with atomic_write(page) as path:
        path.write_text(f"{before}{BEGIN}\n{summary(results)}\n{END}{rest.partition(END)[2]}", encoding="utf-8")


def summary(results: Results) -> str:
    """The short table: one-camera model, best published recipe, ``grad_cl`` and ``plus`` on the real target."""
    header = ["Dice in percent", "disc Dice", "cup Dice", "mean Dice", "vCDR error", "gap closed"]
    rows = []
    for run in results.of(REAL, SOURCE)[:1]:
        if run.forgotten:
            rows.append(["REFUGE held out (the source), one-camera model", *_cells([run.forgotten]), NONE])
    names = {SOURCE: "one-camera model"}
    for recipe in dict.fromkeys((results.best_peer(), "grad_cl", PLUS)):
        best = " (best published peer)" if recipe == results.best_peer() else ""
        names |= {recipe: f"adapted by `{recipe}`{best}"} if recipe else {}
    for recipe, name in names.items():
        if runs := results.of(REAL, recipe):
            cells = _cells([run.metrics for run in runs])
            rows.append([f"Drishti-GS test (another camera), {name}", *cells, share(results.gap(REAL, recipe))])
    return "\n".join(table(header, rows))


def _cells(metrics: Sequence[Mapping[str, Any]]) -> list[str]:
    cells = [spread([m[name]["dice"] for m in metrics], 100, 1) for name in CLASSES]
    return [*cells, spread([mean_dice(m) for m in metrics], 100, 1), spread([m["vcdr_mae"] for m in metrics], 1, 3)]


def replace_eval_metrics(metadata: Path, results: Results) -> None:
    """Replace the ``eval_metrics`` of a bundle's ``metadata.json``.

    Raises:
        ValueError: one of the figures was not measured; see ``eval_metrics``.
    """
    content = json.loads(metadata.read_text(encoding="utf-8"))
    content["eval_metrics"] = eval_metrics(results)
    with atomic_write(metadata) as path:
        path.write_text(laid_out(content) + "\n", encoding="utf-8")


def eval_metrics(results: Results) -> dict[str, float]:
    """Dice and vCDR error, averaged over seeds, of the one-camera model on both cameras, and adapted with ``plus``.

    Raises:
        ValueError: one of them was not measured.
    """
    source = results.of(REAL, SOURCE)
    measured = {
        "refuge_held_out": [run.forgotten for run in source if run.forgotten],
        f"{REAL}_{SOURCE}": [run.metrics for run in source],
        f"{REAL}_{PLUS}": [run.metrics for run in results.of(REAL, PLUS)],
    }
    figures: dict[str, float] = {}
    for name, runs in measured.items():
        if not runs:
            raise ValueError(f"there is no result of {name} to put into eval_metrics.")
        scores = {f"{structure}_dice": [run[structure]["dice"] for run in runs] for structure in CLASSES}
        scores |= {"mean_dice": [mean_dice(run) for run in runs], "vcdr_mae": [run["vcdr_mae"] for run in runs]}
        figures |= {f"{name}_{key}": round(mean_and_sd(values)[0], 4) for key, values in scores.items()}
    return figures
