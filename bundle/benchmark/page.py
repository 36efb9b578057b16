"""The tables of docs/benchmark.md, made from what bundle/benchmark/runs.py left in its output folder."""

from __future__ import annotations

import csv
import json
import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bundle.benchmark.statistics import (
    average_over_runs,
    failure_auroc,
    gap_closed,
    mean_and_sd,
    paired_wilcoxon,
    spearman,
)
from bundle.io.files import atomic_write
from bundle.networks.nested_classes import CLASSES
from bundle.stages import BUNDLE_ROOT

REAL, SOURCE, SUPERVISED, PLUS = "drishti_gs", "source", "supervised", "plus"
PEERS = ("bn", "tent", "dpl", "cbmt", "pfa", "dac", "grad_cl")
BEGIN, END = "<!-- benchmark -->", "<!-- end of benchmark -->"
RATIO, PROFILE = "refinement/ratio", "profile/plus"
NONE = "–"
FAILED = 0.8
"""A photograph whose disc or cup has a lower Dice is one that a reader should look at."""
HARM = 0.003
"""A recipe whose mean Dice is lower than the source's by more than this is marked."""
LISTED = 12
"""So many missing runs are named."""
MEASURES = ("dice", "assd_px", "hd95_px")


@dataclass
class Result:
    """What one finished run left.

    Args:
        target: adapted to and scored on.
        recipe: its name; ``row`` names what was changed in it, for the ablation.
        seed: of the run.
        row: empty but for the ablation.
        folder: where its files lie.
        metrics: ``metrics.json`` on the scored photographs.
        dice: mean of disc and cup Dice of each scored photograph.
        worst: the lower of the two.
        uncertainty: of each photograph as ``inference`` reports it, 1 without a disc; empty where it was not run.
        adaptation: ``adaptation.json``, empty without adaptation.
        forgotten: ``metrics.json`` on the held-out source photographs, empty where it was not measured.
        facts: ``result.json``.
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
    """All finished runs, and in which order the tables show targets, recipes and rows of the ablation."""

    runs: list[Result]

    def __post_init__(self) -> None:
        self.targets = list(dict.fromkeys(run.target for run in self.runs))
        recipes = dict.fromkeys(run.recipe for run in self.runs)
        self.recipes = [recipe for recipe in recipes if recipe != SUPERVISED] + [SUPERVISED] * (SUPERVISED in recipes)
        self.rows = list(dict.fromkeys(run.row for run in self.runs if run.row))

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
        """Two-sided p of the paired test over photographs, each averaged over the seeds; NaN where a run is missing."""
        runs = [[run.dice for run in self.of(target, name)] for name in (recipe, other)]
        return paired_wilcoxon(*map(average_over_runs, runs)) if all(runs) else math.nan

    def best_peer(self) -> str | None:
        """The published recipe with the best mean Dice on the real target."""
        peers = [recipe for recipe in PEERS if self.of(REAL, recipe)]
        return max(peers, key=lambda recipe: self.score(REAL, recipe), default=None)


def mean_dice(metrics: Mapping[str, Any]) -> float:
    """Mean of disc and cup Dice of a ``metrics.json``."""
    return sum(metrics[structure]["dice"] for structure in CLASSES) / len(CLASSES)


def load(runs: Iterable[tuple[Any, Path]]) -> Results:
    """Read finished runs.

    Args:
        runs: ``target``, ``recipe``, ``seed`` and ``row`` of each, and its folder.
    """
    return Results(
        [
            Result(
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
            for run, folder in runs
        ]
    )


def load_speed(output: Path) -> dict[str, dict[str, Any]]:
    """Speed of each recipe that was measured; refinement against inference, and the profile of `plus`."""
    speed = {path.stem: _json(path) for path in sorted((output / "speed").glob("*.json"))}
    more = {RATIO: output / "speed" / "refinement" / "ratio.json", PROFILE: output / "speed" / "profile" / "plus.json"}
    return speed | {name: _json(path) for name, path in more.items() if path.is_file()}


def _json(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def dice_by_photograph(path: Path, summary: Callable[[list[float]], float]) -> dict[str, float]:
    """A summary of the Dice of the structures that the label shows; 0 where it shows none."""
    scores = {}
    with path.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            values = [float(row[f"{name}_dice"]) for name in CLASSES if row[f"{name}_dice"]]
            scores[row["image"]] = summary(values) if values else 0.0
    return scores


def uncertainties(path: Path) -> dict[str, float]:
    """What inference reports of each photograph, 1 without a disc; empty where there is no report."""
    if not path.is_file():
        return {}
    with path.open(newline="", encoding="utf-8") as file:
        return {Path(row["image"]).stem: float(row["uncertainty"] or 1) for row in csv.DictReader(file)}


def render(
    results: Results,
    missing: Sequence[str],
    speed: Mapping[str, Mapping[str, Any]],
    facts: Mapping[str, Any],
    figures: Mapping[str, str],
    beside: Results | None = None,
) -> str:
    """The page, in Markdown.

    Args:
        results: all finished runs.
        missing: names of the planned runs that have no result.
        speed: as ``load_speed`` returns it.
        facts: ``weights``, ``commit``, ``torch``, ``cores``, ``machine`` and ``images`` of the page itself, and
            ``record``, the file of all scores, relative to the page, if there is one.
        figures: path of each picture, relative to the page, by its name.
        beside: runs of the same harness with another source model.
    """
    parts = [
        _introduction(missing, facts),
        _real_target(results),
        _all_targets(results, figures),
        _forgotten(results),
        _prediction(results),
        _trust(results, figures),
        _ablation(results),
        _beside(results, beside),
        _speed(speed),
        _provenance(results, speed, facts),
    ]
    return "\n".join(line for part in parts for line in part).rstrip("\n") + "\n"


def _introduction(missing: Sequence[str], facts: Mapping[str, Any]) -> list[str]:
    lines = [
        "# Benchmark",
        "",
        "Written by `make benchmark DATA=folder`; nothing here is typed. The shipped model (source: REFUGE) is adapted",
        "to photographs of a target without their labels, and scored on other photographs of the same target. The last",
        "epoch counts. No setting here is chosen by labels of Drishti-GS; those of `plus`, and some learning rates of",
        "its peers, were chosen on made-up targets, which therefore flatter `plus`. Dice is in percent, and so is a",
        "point; ± is the standard deviation over seeds. Recipes are as they were at the commits that the last section",
        "names; what has changed in `plus` since is in [plus.md](plus.md).",
        "",
    ]
    if facts.get("images"):
        lines += [
            f"**A quick version: at most {facts['images']} photographs of each set. No figure here is a result.**",
            "",
        ]
    if missing:
        some = ", ".join(f"`{name}`" for name in missing[:LISTED]) + (", ..." if len(missing) > LISTED else "")
        lines += [f"**{len(missing)} planned runs have no result yet:** {some}. The same command runs them.", ""]
    lines += [
        "`source` is the shipped model as it is. `supervised` is the ceiling: the shipped model trained on with the",
        "labels of the very photographs that the others adapt to without them. Between the two are the recipes of",
        "`configs/adapt.json`: [their page](recipes.md) says what each does.",
        "",
    ]
    return lines


def _real_target(results: Results) -> list[str]:
    if REAL not in results.targets:
        return []
    peer = results.best_peer()
    against = f"p against `{peer}`" if peer and results.of(REAL, PLUS) else None
    header = ["recipe", "disc Dice", "cup Dice", "mean Dice", "disc ASSD px", "cup ASSD px", "disc HD95 px"]
    header += ["cup HD95 px", "vCDR error", "missed", "gap closed", "p against `source`"]
    rows = []
    for recipe in results.recipes:
        runs = results.of(REAL, recipe)
        if not runs:
            continue
        cells = [f"`{recipe}`", *(_spread([run.metrics[name]["dice"] for run in runs], 100) for name in CLASSES)]
        cells.append(_spread([run.score for run in runs], 100))
        cells += [_spread([run.metrics[name][key] for run in runs]) for key in MEASURES[1:] for name in CLASSES]
        cells.append(_spread([run.metrics["vcdr_mae"] for run in runs], decimals=4))
        cells.append(f"{sum(run.metrics['missed'] for run in runs) / len(runs):g}")
        cells += [_share(results.gap(REAL, recipe)), _p(results.p(REAL, recipe, SOURCE)) if recipe != SOURCE else NONE]
        if against:
            cells.append(_p(results.p(REAL, recipe, str(peer))) if recipe == PLUS and recipe != peer else NONE)
        rows.append(cells)
    images = next((run.metrics["images"] for run in results.runs if run.target == REAL), 0)
    rule = next((run.metrics["rule"] for run in results.runs if run.target == REAL), "")
    return [
        "## Drishti-GS test: a real camera",
        "",
        f"Adapted to Drishti-GS' training crops, scored on {images} of its test crops at their own size.",
        "",
        *table([*header, *([against] if against else [])], rows),
        "",
        "A row is one recipe, averaged over its seeds. Gap closed is (recipe - source) / (supervised - source) of the",
        "mean Dice: 0 % changes nothing, 100 % is as good as having had labels, below 0 % does harm. p is of",
        "Wilcoxon's signed-rank test, two-sided, over the photographs' mean Dice, each averaged over the seeds"
        + (f"; `{peer}` is the best" if against else "."),
        *(["of the published recipes by mean Dice here."] if against else []),
        rule,
        "",
    ]


def _all_targets(results: Results, figures: Mapping[str, str]) -> list[str]:
    if not results.targets:
        return []
    rows, gaps = [], []
    for recipe in results.recipes:
        cells = []
        for target in results.targets:
            scores = [run.score for run in results.of(target, recipe)]
            harm = results.score(target, SOURCE) - results.score(target, recipe) > HARM
            cells.append(_spread(scores, 100) + (" ▼" if harm else ""))
        rows.append([f"`{recipe}`", *cells, _average(results.score(target, recipe) for target in results.targets)])
        if recipe not in (SOURCE, SUPERVISED):
            gaps.append([f"`{recipe}`", *(_share(results.gap(target, recipe)) for target in results.targets)])
    return [
        "## All targets: mean Dice",
        "",
        "The other targets are made of held-out photographs of the source, as another camera or another clinic would",
        "see them (`bundle/shifts.py`); `phantoms` are drawn, of two cameras. Half is adapted to, half is scored. They",
        "are for development: `plus` was chosen by scores on several of them, on these photographs ([how](plus.md)).",
        "",
        *table(["recipe", *results.targets, "average"], rows),
        "",
        f"A cell is the mean of disc and cup Dice. ▼: more than {100 * HARM:g} points below `source`.",
        "",
        "## Gap closed",
        "",
        *table(["recipe", *results.targets], gaps),
        "",
        f"{NONE}: labels gain less than 0.5 points over `source`; there is no gap to close.",
        "",
        *_figure(figures, "gap_closed", "Gap closed by each recipe on each target"),
        *_figure(figures, "gallery", "Phantom photographs with the contours of the label, before and after adapting"),
    ]


def _forgotten(results: Results) -> list[str]:
    runs = [run for recipe in results.recipes for run in results.of(REAL, recipe)[:1] if run.forgotten]
    before = next((run.forgotten for run in runs if run.recipe == SOURCE), None)
    if before is None:
        return []
    rows = []
    for run in runs:
        cells = [f"{100 * run.forgotten[name]['dice']:.2f}" for name in CLASSES]
        change = mean_dice(run.forgotten) - mean_dice(before)
        rows.append([f"`{run.recipe}`", *cells, _points(mean_dice(run.forgotten)), f"{100 * change:+.2f}"])
    return [
        "## Forgotten",
        "",
        "The models adapted to Drishti-GS (one seed), back on the held-out REFUGE photographs.",
        "",
        *table(["recipe", "disc Dice", "cup Dice", "mean Dice", "change in points"], rows),
        "",
    ]


def predictions(results: Results) -> dict[str, tuple[list[float], list[float]]]:
    """For each thing measured without labels its changes and the true changes of mean Dice, over all adapted runs.

    The runs are those on the made-up targets; ``adaptation.json`` says what was measured before and after.
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
    if not all(isinstance(v, int | float) and not isinstance(v, bool) for v in values):
        return None
    return sum(values) / len(values)


def _prediction(results: Results) -> list[str]:
    pairs = predictions(results)
    if not pairs:
        return []
    rows = []
    for key, (changes, truths) in pairs.items():
        rho, p, n = spearman(changes, truths)
        rows.append([key.replace("_", " "), NONE if math.isnan(rho) else f"{rho:+.2f}", _p(p), str(n)])
    return [
        "## What can be predicted without labels",
        "",
        "Over all adapted runs on the made-up targets: does the change that `adaptation.json` reports tell how the",
        "true mean Dice changed?",
        "",
        *table(["change of", "Spearman's rho with the true change", "p", "runs"], rows),
        "",
        "A row is one thing measured without labels before and after, the mean over disc and cup. Runs on the same",
        "target are not independent, so p is too small.",
        "",
    ]


def _trust(results: Results, figures: Mapping[str, str]) -> list[str]:
    threshold = json.loads((BUNDLE_ROOT / "configs" / "inference.json").read_text(encoding="utf-8"))["max_uncertainty"]
    before, after = (_trust_table(results, recipe, threshold) for recipe in (SOURCE, PLUS))
    if not before:
        return []
    return [
        "## Trust: which photographs to look at",
        "",
        "Of the source model, photograph by photograph: does the `uncertainty` of `inference` find those whose disc",
        f"or cup Dice is below {FAILED}? Marked are those above `max_uncertainty` ({threshold}). Kind of uncertainty",
        "and threshold were chosen on the made-up targets, both halves; Drishti-GS took no part. Of more photographs",
        "the area is smaller ([report.md](report.md#reportcsv)).",
        "",
        *before,
        "",
        *([f"The same of the models adapted by `{PLUS}` (one seed):", "", *after, ""] if after else []),
        *_figure(figures, "reliability", "1 - uncertainty against the true Dice, photograph by photograph"),
    ]


def _trust_table(results: Results, recipe: str, threshold: float) -> list[str]:
    """A row for each target with a report, and one for all of them; nothing without any."""
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


def _ablation(results: Results) -> list[str]:
    if not results.rows:
        return []
    targets = [target for target in results.targets if any(results.of(target, PLUS, row) for row in results.rows)]
    rows = [[f"`{PLUS}`", *(_spread([run.score for run in results.of(target, PLUS)], 100) for target in targets)]]
    rows += [[row, *(_change(_changes(results, target, row)) for target in targets)] for row in results.rows]
    return [
        "## Ablation",
        "",
        *table(["", *targets], rows),
        "",
        f"The first row is the mean Dice of `{PLUS}` as it is. Each other row changes one thing in it, and shows by",
        "how many points that changes the mean Dice: mean and standard deviation of the differences, seed by seed.",
        "",
    ]


def _changes(results: Results, target: str, row: str) -> list[float]:
    """What a row of the ablation changes in the score, for each seed that both were run with."""
    whole = {run.seed: run.score for run in results.of(target, PLUS)}
    return [run.score - whole[run.seed] for run in results.of(target, PLUS, row) if run.seed in whole]


def _change(values: Sequence[float]) -> str:
    if not values:
        return NONE
    mean, sd = mean_and_sd([100 * value for value in values])
    return f"{mean:+.2f}" + ("" if math.isnan(sd) else f" ± {sd:.2f}")


def _beside(results: Results, beside: Results | None) -> list[str]:
    if beside is None or not beside.runs:
        return []
    models = {"shipped": results, "other": beside}
    asked = {name: next(run.facts.get("asked", {}) for run in each.runs) for name, each in models.items()}
    described = {name: f"{each.get('weights')} at {each.get('image_size')} px" for name, each in asked.items()}
    rows = []
    for recipe in (SOURCE, PLUS, SUPERVISED):
        for name, each in models.items():
            scores = [_first_seed(each, target, recipe) for target in beside.targets]
            rows.append([f"`{recipe}`, {asked[name].get('image_size')} px", *map(_points, scores)])
    return [
        "## Another source model",
        "",
        f"The same harness, one seed, with {described['other']} in place of",
        f"{described['shipped']} ([where it is from](plus.md#at-512-px)).",
        "",
        *table(["", *beside.targets], rows),
        "",
    ]


def _first_seed(results: Results, target: str, recipe: str = PLUS) -> float:
    seed = next((run.seed for run in results.runs if run.row), 0)
    return next((run.score for run in results.of(target, recipe) if run.seed == seed), math.nan)


def _speed(speed: Mapping[str, Mapping[str, Any]]) -> list[str]:
    recipes = {name: values for name, values in speed.items() if name not in (RATIO, PROFILE)}
    if not speed:
        return []
    lines = ["## Speed", ""]
    if recipes:
        count = next(iter(recipes.values()))["photographs"]
        rows = [
            [f"`{name}`", f"{v['seconds']:.0f}", f"{v['seconds'] / v['photographs']:.2f}", f"{v['peak_gib']:.2f}"]
            for name, v in recipes.items()
        ]
        inference = min(recipes.values(), key=lambda v: v["inference_s"])
        per_photograph = inference["inference_s"] / inference["photographs"]
        seconds = f"{inference['inference_s']:.0f}"
        rows.append(["then segmenting", seconds, f"{per_photograph:.2f}", f"{inference['inference_gib']:.2f}"])
        lines += [
            f"Each is a command on {count} Drishti-GS crops of 512 px, with two threads, no GPU, its start included.",
            "Timed once each: no ranking of close ones.",
            "",
            *table(["recipe", "seconds", "seconds a photograph", "peak memory GiB"], rows),
            "",
        ]
    if PROFILE in speed:
        seconds = speed[PROFILE]["seconds"]
        whole = sum(seconds.values())
        rows = [[name, f"{value:.1f}", f"{100 * value / whole:.0f} %"] for name, value in seconds.items()]
        lines += [
            "Where the time of `plus` goes, in one run of its own:",
            "",
            *table(["part", "seconds", "share"], [*rows, ["all", f"{whole:.1f}", "100 %"]]),
            "",
        ]
    if RATIO in speed:
        ratio = speed[RATIO]
        lines += [
            f"The refinement stage (10 stochastic passes included) takes {ratio['refinement_s']:.1f} s, inference",
            f"{ratio['inference_s']:.1f} s: {ratio['ratio']:.2f} times as long (medians over turns of both).",
            "",
        ]
    return lines


def _provenance(results: Results, speed: Mapping[str, Mapping[str, Any]], facts: Mapping[str, Any]) -> list[str]:
    parts = {
        "runs": [run.facts for run in results.runs if not run.row],
        "ablation": [run.facts for run in results.runs if run.row],
        "speed": list(speed.values()),
    }
    commits = [f"{name} at {_counted(each, 'commit')}" for name, each in parts.items() if each]
    machines = [f"{name} on {_counted(list(map(_machine, each)), 'is')}" for name, each in parts.items() if each]
    return [
        "## Provenance",
        "",
        f"Source weights {facts['weights']}. Commits (+: with changes that were not committed): {'; '.join(commits)};",
        f"this page at {facts['commit']}. Machines: {'; '.join(machines)}.",
        *(
            [f"The scores of every photograph in every run are in [{facts['record']}]({facts['record']})."]
            if facts.get("record")
            else []
        ),
    ]


def _machine(facts: Mapping[str, Any]) -> dict[str, str]:
    gpu = facts.get("gpu") or "no GPU"
    return {"is": f"torch {facts.get('torch')}, {facts.get('cores')} cores ({facts.get('machine')}), {gpu}"}


def _counted(facts: Sequence[Mapping[str, Any]], key: str) -> str:
    """The different values with how often they occur, if there are several."""
    counts = Counter(str(fact.get(key, "unknown")) for fact in facts)
    return ", ".join(value if len(counts) == 1 else f"{value} ({count})" for value, count in counts.most_common())


def replace_summary(page: Path, results: Results) -> None:
    """Put the short table between a page's markers.

    Raises:
        ValueError: the page has no place for it.
    """
    text = page.read_text(encoding="utf-8")
    if BEGIN not in text or END not in text:
        raise ValueError(f"{page} has no {BEGIN} ... {END}.")
    before, _, rest = text.partition(BEGIN)
    with atomic_write(page) as path:
        path.write_text(f"{before}{BEGIN}\n{summary(results)}\n{END}{rest.partition(END)[2]}", encoding="utf-8")


def summary(results: Results) -> str:
    """A short table, in Markdown: the shipped model, the best peer, ``grad_cl`` and ``plus`` on the real target."""
    header = ["Dice in percent", "disc Dice", "cup Dice", "mean Dice", "vCDR error", "gap closed"]
    rows = []
    for run in results.of(REAL, SOURCE)[:1]:
        if run.forgotten:
            rows.append(["REFUGE held out (the source), shipped model", *_summary_cells([run.forgotten]), NONE])
    names = {SOURCE: "shipped model"}
    for recipe in dict.fromkeys((results.best_peer(), "grad_cl", PLUS)):
        best = " (best published peer)" if recipe == results.best_peer() else ""
        names |= {recipe: f"adapted by `{recipe}`{best}"} if recipe else {}
    for recipe, name in names.items():
        if runs := results.of(REAL, recipe):
            cells = _summary_cells([run.metrics for run in runs])
            rows.append([f"Drishti-GS test (another camera), {name}", *cells, _share(results.gap(REAL, recipe))])
    return "\n".join(table(header, rows))


def _summary_cells(metrics: Sequence[Mapping[str, Any]]) -> list[str]:
    cells = [_spread([m[name]["dice"] for m in metrics], 100, 1) for name in CLASSES]
    return [*cells, _spread([mean_dice(m) for m in metrics], 100, 1), _spread([m["vcdr_mae"] for m in metrics], 1, 3)]


def replace_eval_metrics(metadata: Path, results: Results) -> None:
    """Put the headline figures into a bundle's ``metadata.json``, in the place of those that were there.

    Raises:
        ValueError: a figure that belongs there was not measured.
    """
    content = _json(metadata)
    content["eval_metrics"] = eval_metrics(results)
    with atomic_write(metadata) as path:
        path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def eval_metrics(results: Results) -> dict[str, float]:
    """Dice and vCDR error of the shipped model at home and abroad, and abroad after ``plus``; averaged over seeds.

    Raises:
        ValueError: one of them was not measured.
    """
    source = results.of(REAL, SOURCE)
    measured = {
        "refuge_held_out": [run.forgotten for run in source if run.forgotten],
        f"{REAL}_{SOURCE}": [run.metrics for run in source],
        f"{REAL}_{PLUS}": [run.metrics for run in results.of(REAL, PLUS)],
    }
    figures = {}
    for name, runs in measured.items():
        if not runs:
            raise ValueError(f"there is no result of {name} to put into eval_metrics.")
        scores = {f"{structure}_dice": [run[structure]["dice"] for run in runs] for structure in CLASSES}
        scores |= {"mean_dice": [mean_dice(run) for run in runs], "vcdr_mae": [run["vcdr_mae"] for run in runs]}
        figures |= {f"{name}_{key}": round(mean_and_sd(values)[0], 4) for key, values in scores.items()}
    return figures


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Lines of a Markdown table."""
    return [f"| {' | '.join(cells)} |" for cells in (header, ["---"] * len(header), *rows)]


def _figure(figures: Mapping[str, str], name: str, caption: str) -> list[str]:
    return [f"![{caption}]({figures[name]})", ""] if name in figures else []


def _spread(values: Sequence[float | None], scale: float = 1, decimals: int = 2) -> str:
    known = [scale * value for value in values if value is not None]
    if not known:
        return NONE
    mean, sd = mean_and_sd(known)
    return f"{mean:.{decimals}f}" + ("" if math.isnan(sd) else f" ± {sd:.{decimals}f}")


def _points(value: float) -> str:
    return NONE if math.isnan(value) else f"{100 * value:.2f}"


def _average(values: Iterable[float]) -> str:
    """Over all targets, or nothing where one is missing: averages over different targets do not compare."""
    values = list(values)
    return _points(sum(values) / len(values))


def _share(value: float | None) -> str:
    return NONE if value is None else f"{100 * value:.0f} %"


def _p(value: float) -> str:
    return NONE if math.isnan(value) else "< 0.001" if value < 0.001 else f"{value:.3f}"
