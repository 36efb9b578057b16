"""The tables of the benchmark's page, as lines of Markdown; a table without results is empty."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from bundle.benchmark.markdown import NONE, average, change, p_value, points, share, spread, table
from bundle.benchmark.plan import PLUS, REAL, SOURCE, SUPERVISED
from bundle.benchmark.results import FAILED, PROFILE, RATIO, Result, Results, mean_dice, predictions
from bundle.benchmark.statistics import failure_auroc, spearman
from bundle.networks.nested_classes import CLASSES

__all__ = [
    "HARM",
    "ablation_table",
    "all_targets_table",
    "compared_peer",
    "forgotten_table",
    "gap_table",
    "prediction_table",
    "profile_table",
    "real_target_table",
    "source_models_table",
    "speed_table",
    "trust_table",
]

HARM = 0.003
"""A recipe whose mean Dice is lower than the source's by more than this is marked."""
DISTANCES = ("assd_px", "hd95_px")


def real_target_table(results: Results) -> list[str]:
    """Every score of every recipe on the real target."""
    peer = compared_peer(results)
    header = ["recipe", "disc Dice", "cup Dice", "mean Dice", "disc ASSD px", "cup ASSD px", "disc HD95 px"]
    header += ["cup HD95 px", "vCDR error", "missed", "gap closed", "p against `source`"]
    header += [f"p against `{peer}`"] if peer else []
    rows = [_real_target_row(results, recipe, peer) for recipe in results.recipes if results.of(REAL, recipe)]
    return table(header, rows)


def compared_peer(results: Results) -> str | None:
    """The published recipe with which ``plus`` is compared; None if one of the two was not run."""
    return results.best_peer() if results.of(REAL, PLUS) else None


def _real_target_row(results: Results, recipe: str, peer: str | None) -> list[str]:
    runs = results.of(REAL, recipe)
    cells = [f"`{recipe}`", *(spread([run.metrics[name]["dice"] for run in runs], 100) for name in CLASSES)]
    cells.append(spread([run.score for run in runs], 100))
    cells += [spread([run.metrics[name][key] for run in runs]) for key in DISTANCES for name in CLASSES]
    cells.append(spread([run.metrics["vcdr_mae"] for run in runs], decimals=4))
    cells.append(f"{sum(run.metrics['missed'] for run in runs) / len(runs):g}")
    cells.append(share(results.gap(REAL, recipe)))
    cells.append(p_value(results.p(REAL, recipe, SOURCE)) if recipe != SOURCE else NONE)
    if peer:
        cells.append(p_value(results.p(REAL, recipe, peer)) if recipe == PLUS and recipe != peer else NONE)
    return cells


def all_targets_table(results: Results) -> list[str]:
    """Mean Dice of every recipe on every target; a mark shows harm."""
    rows = []
    for recipe in results.recipes:
        scores = {target: results.score(target, recipe) for target in results.targets}
        cells = []
        for target, score in scores.items():
            harm = results.score(target, SOURCE) - score > HARM
            cells.append(spread([run.score for run in results.of(target, recipe)], 100) + (" ▼" if harm else ""))
        rows.append([f"`{recipe}`", *cells, average(scores.values())])
    return table(["recipe", *results.targets, "average"], rows)


def gap_table(results: Results) -> list[str]:
    """The share of the gap that every recipe closes on every target."""
    recipes = [recipe for recipe in results.recipes if recipe not in (SOURCE, SUPERVISED)]
    rows = [[f"`{recipe}`", *(share(results.gap(target, recipe)) for target in results.targets)] for recipe in recipes]
    return table(["recipe", *results.targets], rows)


def forgotten_table(results: Results) -> list[str]:
    """Dice of models adapted to the real target on held-out photographs of the source."""
    runs = [run for recipe in results.recipes for run in results.of(REAL, recipe)[:1] if run.forgotten]
    before = next((run.forgotten for run in runs if run.recipe == SOURCE), None)
    if before is None:
        return []
    rows = []
    for run in runs:
        cells = [points(run.forgotten[name]["dice"]) for name in CLASSES]
        lost = mean_dice(run.forgotten) - mean_dice(before)
        rows.append([f"`{run.recipe}`", *cells, points(mean_dice(run.forgotten)), f"{100 * lost:+.2f}"])
    return table(["recipe", "disc Dice", "cup Dice", "mean Dice", "change in points"], rows)


def prediction_table(results: Results) -> list[str]:
    """Rank correlation of changes in label-free measures with the true change."""
    rows = []
    for key, (changes, truths) in predictions(results).items():
        rho, p, n = spearman(changes, truths)
        rows.append([key.replace("_", " "), NONE if math.isnan(rho) else f"{rho:+.2f}", p_value(p), str(n)])
    return table(["change of", "Spearman's rho with the true change", "p", "runs"], rows) if rows else []


def trust_table(results: Results, recipe: str, threshold: float) -> list[str]:
    """How well the uncertainty finds failures: a row for each target on which inference was run, and one for all.

    Args:
        results: all finished runs.
        recipe: whose models are judged.
        threshold: a photograph is marked if its uncertainty is above this, in [0, 1].
    """
    rows, everything = [], []
    for target in results.targets:
        pairs = [
            (run.uncertainty[name], worst < FAILED)
            for run in results.of(target, recipe)
            for name, worst in run.worst.items()
            if name in run.uncertainty
        ]
        everything += pairs
        rows += [_trust_row(target, pairs, threshold)] if pairs else []
    header = ["target", "photographs", "failed", "area under the ROC curve", "failed ones marked", "others marked"]
    return table(header, [*rows, _trust_row("together", everything, threshold)]) if rows else []


def _trust_row(name: str, pairs: Sequence[tuple[float, bool]], threshold: float) -> list[str]:
    marked = {kind: [value > threshold for value, failed in pairs if failed is kind] for kind in (True, False)}
    area = failure_auroc(*zip(*pairs, strict=True))
    return [
        name,
        str(len(pairs)),
        str(len(marked[True])),
        NONE if math.isnan(area) else f"{area:.3f}",
        *(f"{100 * sum(each) / len(each):.0f} %" if each else NONE for each in marked.values()),
    ]


def ablation_table(results: Results) -> list[str]:
    """Mean Dice of ``plus``, and by how much each row of the ablation changes it."""
    if not results.rows:
        return []
    targets = [target for target in results.targets if any(results.of(target, PLUS, row) for row in results.rows)]
    rows = [[f"`{PLUS}`", *(spread([run.score for run in results.of(target, PLUS)], 100) for target in targets)]]
    rows += [[row, *(change(_changes(results, target, row)) for target in targets)] for row in results.rows]
    return table(["", *targets], rows)


def _changes(results: Results, target: str, row: str) -> list[float]:
    """Change of the score by a row of the ablation, for each seed for which ``plus`` was run too."""
    whole = {run.seed: run.score for run in results.of(target, PLUS)}
    return [run.score - whole[run.seed] for run in results.of(target, PLUS, row) if run.seed in whole]


def source_models_table(models: Sequence[Results]) -> list[str]:
    """Mean Dice of one seed with each of several source models, on the targets of the last model."""
    targets = models[-1].targets
    rows = []
    for recipe in (SOURCE, PLUS, SUPERVISED):
        for results in models:
            scores = [_first_seed(results.of(target, recipe), results) for target in targets]
            rows.append([f"`{recipe}`, {results.asked.get('image_size')} px", *map(points, scores)])
    return table(["", *targets], rows)


def _first_seed(runs: Sequence[Result], results: Results) -> float:
    seed = next((run.seed for run in results.runs if run.row), 0)
    return next((run.score for run in runs if run.seed == seed), math.nan)


def speed_table(speed: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Seconds and memory of each recipe's command, and of the fastest measurement of inference."""
    recipes = {name: values for name, values in speed.items() if name not in (RATIO, PROFILE)}
    if not recipes:
        return []
    rows = [_speed_row(f"`{name}`", v["seconds"], v["photographs"], v["peak_gib"]) for name, v in recipes.items()]
    fastest = min(recipes.values(), key=lambda v: v["inference_s"])
    rows.append(_speed_row("then segmenting", fastest["inference_s"], fastest["photographs"], fastest["inference_gib"]))
    return table(["recipe", "seconds", "seconds a photograph", "peak memory GiB"], rows)


def _speed_row(name: str, seconds: float, photographs: int, gib: float) -> list[str]:
    return [name, f"{seconds:.0f}", f"{seconds / photographs:.2f}", f"{gib:.2f}"]


def profile_table(seconds: Mapping[str, float]) -> list[str]:
    """Share of each part in the time of an adaptation.

    Example:
        >>> profile_table({"teacher": 1.0, "student": 3.0})[2:]
        ['| teacher | 1.0 | 25 % |', '| student | 3.0 | 75 % |', '| all | 4.0 | 100 % |']
    """
    whole = sum(seconds.values())
    rows = [[name, f"{value:.1f}", share(value / whole)] for name, value in seconds.items()]
    return table(["part", "seconds", "share"], [*rows, ["all", f"{whole:.1f}", "100 %"]])
