"""The benchmark's page, in Markdown: its tables and figures, what they show, and how they were made."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from bundle.benchmark.markdown import NONE
from bundle.benchmark.plan import PLUS, REAL, SOURCE
from bundle.benchmark.results import FAILED, PROFILE, RATIO, Results
from bundle.benchmark.tables import (
    HARM,
    ablation_table,
    all_targets_table,
    compared_peer,
    forgotten_table,
    gap_table,
    prediction_table,
    profile_table,
    real_target_table,
    source_models_table,
    speed_table,
    trust_table,
)
from bundle.stages import BUNDLE_ROOT

__all__ = ["render"]

RECIPES, METHOD, REPORT = "../explanation/recipes.md", "history_of_plus.md", "../reference/report.md"
"""Pages that this one links to, relative to it."""
LISTED = 12
"""Largest number of missing runs that are named."""


def render(
    results: Results,
    missing: Sequence[str],
    speed: Mapping[str, Mapping[str, Any]],
    facts: Mapping[str, Any],
    figures: Mapping[str, str],
    beside: Results | None = None,
) -> str:
    """Write the page as Markdown.

    Args:
        results: all finished runs.
        missing: names of the planned runs that have no result.
        speed: as ``load_speed`` returns it.
        facts: ``weights``, ``commit`` and ``images`` of the page itself and, if there is one, ``record``, the file of
            all scores, relative to the page.
        figures: path of each picture, relative to the page, by its name.
        beside: runs of the same benchmark with another source model.
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
        "Written by `make benchmark DATA=folder`; nothing here is typed. The model of one camera, `models/refuge.pt`,",
        "is adapted to photographs of a target without their labels, and scored on other photographs of the same",
        "target. The last epoch counts. No setting here is chosen by labels of Drishti-GS; those of `plus`, and some",
        "learning rates of its peers, were chosen on made-up targets, which therefore flatter `plus`. Dice is in",
        "percent, and so is a point; ± is the standard deviation over seeds. Recipes are as they were at the commits",
        f"that the last section names; what has changed in `plus` since is in [history_of_plus.md]({METHOD}).",
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
        "`source` is that model as it is. `supervised` is the ceiling: the same model trained on with the",
        "labels of the very photographs that the others adapt to without them. Between the two are the recipes of",
        f"`configs/adapt.json`: [their page]({RECIPES}) says what each does.",
        *([f"The recipes {facts['own']} were added from a file."] if facts.get("own") else []),
        "",
    ]
    return lines


def _real_target(results: Results) -> list[str]:
    metrics = next((run.metrics for run in results.runs if run.target == REAL), None)
    if metrics is None:
        return []
    peer = compared_peer(results)
    return [
        "## Drishti-GS test: a real camera",
        "",
        f"Adapted to Drishti-GS' training crops, scored on {metrics['images']} of its test crops at their own size.",
        "",
        *real_target_table(results),
        "",
        "A row is one recipe, averaged over its seeds. Gap closed is (recipe - source) / (supervised - source) of the",
        "mean Dice: 0 % changes nothing, 100 % is as good as having had labels, below 0 % does harm. p is of",
        "Wilcoxon's signed-rank test, two-sided, over the photographs' mean Dice, each averaged over the seeds"
        + (f"; `{peer}` is the best" if peer else "."),
        *(["of the published recipes by mean Dice here."] if peer else []),
        metrics["rule"],
        "",
    ]


def _all_targets(results: Results, figures: Mapping[str, str]) -> list[str]:
    if not results.targets:
        return []
    return [
        "## All targets: mean Dice",
        "",
        "The other targets are made of held-out photographs of the source, as another camera or another clinic would",
        "see them (`bundle/synthetic/shifts.py`); `phantoms` are drawn, of two cameras. "
        "Half is adapted to, half is scored. They",
        f"are for development: `plus` was chosen by scores on several of them, on these photographs ([how]({METHOD})).",
        "",
        *all_targets_table(results),
        "",
        f"A cell is the mean of disc and cup Dice. ▼: more than {100 * HARM:g} points below `source`.",
        "",
        "## Gap closed",
        "",
        *gap_table(results),
        "",
        f"{NONE}: labels gain less than 0.5 points over `source`; there is no gap to close.",
        "",
        *_figure(figures, "gap_closed", "Gap closed by each recipe on each target"),
        *_figure(figures, "gallery", "Phantom photographs with the contours of the label, before and after adapting"),
    ]


def _forgotten(results: Results) -> list[str]:
    rows = forgotten_table(results)
    if not rows:
        return []
    return [
        "## Forgotten",
        "",
        "The models adapted to Drishti-GS (one seed), back on the held-out REFUGE photographs.",
        "",
        *rows,
        "",
    ]


def _prediction(results: Results) -> list[str]:
    rows = prediction_table(results)
    if not rows:
        return []
    return [
        "## What can be predicted without labels",
        "",
        "Over all adapted runs on the made-up targets: does the change that `adaptation.json` reports tell how the",
        "true mean Dice changed?",
        "",
        *rows,
        "",
        "A row is one thing measured without labels before and after, the mean over disc and cup. Runs on the same",
        "target are not independent, so p is too small.",
        "",
    ]


def _trust(results: Results, figures: Mapping[str, str]) -> list[str]:
    threshold = json.loads((BUNDLE_ROOT / "configs" / "inference.json").read_text(encoding="utf-8"))["max_uncertainty"]
    before, after = (trust_table(results, recipe, threshold) for recipe in (SOURCE, PLUS))
    if not before:
        return []
    return [
        "## Trust: which photographs to look at",
        "",
        "Of the source model, photograph by photograph: does the `uncertainty` of `inference` find those whose disc",
        f"or cup Dice is below {FAILED}? Marked are those above `max_uncertainty` ({threshold}). Kind of uncertainty",
        "and threshold were chosen on the made-up targets, both halves; Drishti-GS took no part. Of more photographs",
        f"the area is smaller ([report.md]({REPORT}#reportcsv)).",
        "",
        *before,
        "",
        *([f"The same of the models adapted by `{PLUS}` (one seed):", "", *after, ""] if after else []),
        *_figure(figures, "reliability", "1 - uncertainty against the true Dice, photograph by photograph"),
    ]


def _ablation(results: Results) -> list[str]:
    rows = ablation_table(results)
    if not rows:
        return []
    return [
        "## Ablation",
        "",
        *rows,
        "",
        f"The first row is the mean Dice of `{PLUS}` as it is. Each other row changes one thing in it, and shows by",
        "how many points that changes the mean Dice: mean and standard deviation of the differences, seed by seed.",
        "",
    ]


def _beside(results: Results, beside: Results | None) -> list[str]:
    if beside is None or not beside.runs:
        return []
    shipped, other = (
        f"{asked.get('weights')} at {asked.get('image_size')} px" for asked in (results.asked, beside.asked)
    )
    return [
        "## Another source model",
        "",
        f"The same harness, one seed, with {other} in place of",
        f"{shipped} ([where it is from]({METHOD}#at-512-px)).",
        "",
        *source_models_table([results, beside]),
        "",
    ]


def _speed(speed: Mapping[str, Mapping[str, Any]]) -> list[str]:
    if not speed:
        return []
    lines = ["## Speed", ""]
    if rows := speed_table(speed):
        count = next(values["photographs"] for values in speed.values() if "photographs" in values)
        lines += [
            f"Each is a command on {count} Drishti-GS crops of 512 px, with two threads, no GPU, its start included.",
            "Timed once each: no ranking of close ones.",
            "",
            *rows,
            "",
        ]
    if PROFILE in speed:
        lines += [
            "Where the time of `plus` goes, in one run of its own:",
            "",
            *profile_table(speed[PROFILE]["seconds"]),
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
    parts: dict[str, list[Mapping[str, Any]]] = {
        "runs": [run.facts for run in results.runs if not run.row],
        "ablation": [run.facts for run in results.runs if run.row],
        "speed": list(speed.values()),
    }
    commits = [f"{name} at {_counted([_commit(f) for f in each])}" for name, each in parts.items() if each]
    machines = [f"{name} on {_counted([_machine(f) for f in each])}" for name, each in parts.items() if each]
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


def _commit(facts: Mapping[str, Any]) -> str:
    return str(facts.get("commit", "unknown"))


def _machine(facts: Mapping[str, Any]) -> str:
    gpu = facts.get("gpu") or "no GPU"
    return f"torch {facts.get('torch')}, {facts.get('cores')} cores ({facts.get('machine')}), {gpu}"


def _counted(values: Sequence[str]) -> str:
    """The distinct values; if there are several, each with its count."""
    counts = Counter(values)
    return ", ".join(value if len(counts) == 1 else f"{value} ({count})" for value, count in counts.most_common())


def _figure(figures: Mapping[str, str], name: str, caption: str) -> list[str]:
    return [f"![{caption}]({figures[name]})", ""] if name in figures else []
