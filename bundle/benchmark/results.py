"""The results of finished runs, read from their folders, and comparisons of recipes."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bundle.benchmark.plan import PEERS, REAL, SOURCE, SUPERVISED, Run
from bundle.benchmark.statistics import average_over_runs, gap_closed, mean_and_sd, paired_wilcoxon
from bundle.networks.nested_classes import CLASSES

__all__ = [
    "FAILED",
    "PROFILE",
    "RATIO",
    "Result",
    "Results",
    "dice_by_photograph",
    "finished",
    "load",
    "load_speed",
    "mean_dice",
    "predictions",
    "speed_file",
    "uncertainties",
]

FAILED = 0.8
"""A photograph on which the model fails: the Dice of disc or cup is below this."""
PROFILE, RATIO = "profile/plus", "refinement/ratio"
"""Names of the two measurements of speed that do not time a recipe's command."""


@dataclass
class Result:
    """The result of one finished run.

    Args:
        target: name of the target that was adapted to and scored.
        recipe: its name.
        seed: of the run.
        row: what the ablation changed in the recipe; empty outside of it.
        folder: that holds its files.
        metrics: ``metrics.json`` on the scored photographs.
        dice: mean of disc and cup Dice of each scored photograph.
        worst: the lower Dice of disc and cup of each scored photograph.
        uncertainty: of each photograph as ``inference`` reports it, 1 without a disc; empty if inference was not run.
        adaptation: ``adaptation.json``, empty without adaptation.
        forgotten: ``metrics.json`` on the held-out source photographs; empty if it was not measured.
        facts: ``result.json``.

    Example:
        >>> metrics = {"optic_disc": {"dice": 0.5}, "optic_cup": {"dice": 0.25}}
        >>> Result("phantoms", "plus", 0, "", Path("output"), metrics, dice={"eye": 0.375}).score
        0.375
    """

    target: str
    recipe: str
    seed: int
    row: str
    folder: Path
    metrics: dict[str, Any]
    dice: dict[str, float]
    worst: dict[str, float] = field(default_factory=dict)
    uncertainty: dict[str, float] = field(default_factory=dict)
    adaptation: dict[str, Any] = field(default_factory=dict)
    forgotten: dict[str, Any] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def score(self) -> float:
        """Mean of disc and cup Dice over the photographs."""
        return mean_dice(self.metrics)


@dataclass
class Results:
    """All finished runs. Tables show ``targets``, ``recipes`` and the ablation's ``rows`` in the order of the runs.

    Example:
        >>> def run(recipe, dice):
        ...     metrics = {name: {"dice": dice} for name in CLASSES}
        ...     return Result("phantoms", recipe, 0, "", Path("output"), metrics, dice={"eye": dice})
        >>> results = Results([run("source", 0.5), run("plus", 0.75), run("supervised", 1.0)])
        >>> results.gap("phantoms", "plus")
        0.5
    """

    runs: list[Result]

    def __post_init__(self) -> None:
        self.targets = list(dict.fromkeys(run.target for run in self.runs))
        recipes = dict.fromkeys(run.recipe for run in self.runs)
        self.recipes = [recipe for recipe in recipes if recipe != SUPERVISED] + [SUPERVISED] * (SUPERVISED in recipes)
        self.rows = list(dict.fromkeys(run.row for run in self.runs if run.row))

    @property
    def asked(self) -> dict[str, Any]:
        """Settings that the first run was made from, see ``asked_for``."""
        return next((run.facts.get("asked", {}) for run in self.runs), {})

    def of(self, target: str, recipe: str, row: str = "") -> list[Result]:
        """The runs of a recipe on a target, one for each seed."""
        return [run for run in self.runs if (run.target, run.recipe, run.row) == (target, recipe, row)]

    def score(self, target: str, recipe: str, row: str = "") -> float:
        """Mean Dice over the seeds; NaN where nothing was run."""
        scores = [run.score for run in self.of(target, recipe, row)]
        return mean_and_sd(scores)[0] if scores else math.nan

    def gap(self, target: str, recipe: str) -> float | None:
        """Share of the gap to the supervised model that a recipe closes; None where there is no gap or no run."""
        scores = [self.score(target, name) for name in (recipe, SOURCE, SUPERVISED)]
        return None if any(map(math.isnan, scores)) else gap_closed(*scores)

    def p(self, target: str, recipe: str, other: str) -> float:
        """Two-sided p of the paired test over photographs, each averaged over the seeds; NaN if a run is missing."""
        runs = [[run.dice for run in self.of(target, name)] for name in (recipe, other)]
        return paired_wilcoxon(*map(average_over_runs, runs)) if all(runs) else math.nan

    def best_peer(self) -> str | None:
        """The published recipe with the best mean Dice on the real target."""
        peers = [recipe for recipe in PEERS if self.of(REAL, recipe)]
        return max(peers, key=lambda recipe: self.score(REAL, recipe), default=None)


def mean_dice(metrics: Mapping[str, Any]) -> float:
    """Mean of disc and cup Dice in the content of a ``metrics.json``.

    Example:
        >>> mean_dice({"optic_disc": {"dice": 1.0}, "optic_cup": {"dice": 0.5}})
        0.75
    """
    return sum(metrics[structure]["dice"] for structure in CLASSES) / len(CLASSES)


def finished(planned: Sequence[Run], output: Path) -> list[Run]:
    """The planned runs that have a result in an output folder, whatever settings it was made from."""
    return [run for run in planned if (run.folder(output) / "result.json").is_file()]


def load(runs: Iterable[Run], output: Path) -> Results:
    """Read finished runs from the benchmark's output folder."""
    return Results([_load_run(run, run.folder(output)) for run in runs])


def _load_run(run: Run, folder: Path) -> Result:
    return Result(
        run.target,
        run.recipe,
        run.seed,
        run.row,
        folder,
        metrics=_json(folder / "metrics.json"),
        dice=dice_by_photograph(folder / "metrics.csv", lambda values: sum(values) / len(values)),
        worst=dice_by_photograph(folder / "metrics.csv", min),
        uncertainty=uncertainties(folder / "inference" / "report.csv"),
        adaptation=_json(folder / "adaptation.json"),
        forgotten=_json(folder / "forgotten" / "metrics.json"),
        facts=_json(folder / "result.json"),
    )


def load_speed(output: Path) -> dict[str, dict[str, Any]]:
    """Read the existing measurements of speed, by the names of recipes, ``PROFILE`` and ``RATIO``."""
    speed = {path.stem: _json(path) for path in sorted((output / "speed").glob("*.json"))}
    more = {name: speed_file(output, name) for name in (RATIO, PROFILE)}
    return speed | {name: _json(path) for name, path in more.items() if path.is_file()}


def speed_file(output: Path, name: str) -> Path:
    """File of a measurement of speed in the benchmark's output folder."""
    return output / "speed" / f"{name}.json"


def _json(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def dice_by_photograph(path: Path, summary: Callable[[list[float]], float]) -> dict[str, float]:
    """Summarise the Dice of the structures of each photograph in a ``metrics.csv``.

    Args:
        path: the file.
        summary: function of the Dice of all structures that the label shows, such as ``min``; without any, the result
            is 0.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder, "metrics.csv")
        ...     _ = path.write_text("image,optic_disc_dice,optic_cup_dice\\neye,0.9,0.8\\n")
        ...     dice_by_photograph(path, min)
        {'eye': 0.8}
    """
    scores = {}
    with path.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            values = [float(row[f"{name}_dice"]) for name in CLASSES if row[f"{name}_dice"]]
            scores[row["image"]] = summary(values) if values else 0.0
    return scores


def uncertainties(path: Path) -> dict[str, float]:
    """Read the uncertainty of each photograph in a ``report.csv``, 1 without a disc; empty if there is no such file."""
    if not path.is_file():
        return {}
    with path.open(newline="", encoding="utf-8") as file:
        return {Path(row["image"]).stem: float(row["uncertainty"] or 1) for row in csv.DictReader(file)}


def predictions(results: Results) -> dict[str, tuple[list[float], list[float]]]:
    """Changes of label-free measures and of the true mean Dice in all adapted runs on made-up targets.

    Returns:
        For each measure in ``adaptation.json``, its changes and the true changes, run by run.
    """
    pairs: dict[str, tuple[list[float], list[float]]] = {}
    for run in results.runs:
        before, after = run.adaptation.get("before", {}), run.adaptation.get("after", {})
        source = results.score(run.target, SOURCE)
        if run.target == REAL or run.row or math.isnan(source):
            continue
        for key in after:
            x, y = _number(before.get(key)), _number(after[key])
            if key != "photographs" and x is not None and y is not None:
                changes, truths = pairs.setdefault(key, ([], []))
                changes.append(y - x)
                truths.append(run.score - source)
    return pairs


def _number(value: Any) -> float | None:
    """A number, or the mean over disc and cup; None for anything else."""
    values = [value.get(name) for name in CLASSES] if isinstance(value, Mapping) else [value]
    numbers = [each for each in values if isinstance(each, int | float) and not isinstance(each, bool)]
    return sum(numbers) / len(numbers) if len(numbers) == len(values) else None
