"""Adapt to every target by every recipe without its labels, score, and write tables and figures.

    python -m bundle.benchmark --data DATA --output FOLDER [--page docs/development/benchmark.md --figures docs/images]
        [--summary README.md docs/README.md] [--metadata configs/metadata.json]
        [--record docs/development/benchmark_runs.tar.xz]
        [--workers N] [--targets a,b] [--recipes a,b] [--seeds 0,1] [--ablation_targets a] [--ablation_seeds 0]
        [--images N] [--steps runs,page]
        [--checkpoint model.pt --image_size 512] [--config mine.yaml]

DATA holds drishti_gs/train, drishti_gs/test and refuge/train: disc crops, in image/ and label/. A finished run is kept
in FOLDER and not repeated unless its weights, recipe or target changed; --record is a file of the scores of all runs,
read first and written last. Only the ceiling, supervised, opens the labels of the photographs that are adapted to.
--config is a file of your own recipes (docs/how-to/add_a_recipe.md), which join the tables.
A target drishti_gs+severe is that real camera made worse by that shift; it takes part only if --targets names it.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bundle.benchmark.execution import run_all
from bundle.benchmark.plan import (
    ABLATED,
    PHANTOMS,
    PLUS,
    REAL,
    SOURCE,
    SUPERVISED,
    TARGETS,
    Run,
    config_with,
    plan,
    plan_ablation,
)
from bundle.benchmark.publication import Places, publish
from bundle.benchmark.record import is_done, read_record, write_record
from bundle.benchmark.setup import CHECKPOINT, IMAGE_SIZE, Setup, provenance
from bundle.benchmark.speed import measure_speed
from bundle.benchmark.targets import write_target

QUICK: dict[str, Any] = {"targets": f"{REAL},{PHANTOMS},severe", "seeds": "0", "images": 4, "steps": "runs,page"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Perform missing runs, measure speed and write the page; return 1 if a run failed, else 0."""
    call = parse(arguments)
    recipes, steps = recipes_of(call), call.steps.split(",")
    setup = Setup(
        call.data.absolute(),
        call.output.absolute(),
        call.images,
        call.checkpoint.absolute(),
        call.image_size,
        provenance(),
        call.config.absolute() if call.config else None,
    )
    planned = planned_runs(call, recipes)
    if call.record and call.record.is_file():
        print(f"{read_record(call.record, setup.output)} runs taken from {call.record}", flush=True)
    failed = 0
    if {"runs", "ablation", "page"} & set(steps):
        for target in dict.fromkeys(run.target for run in planned):
            write_target(target, setup)
    wanted = [run for run in planned if ("ablation" if run.row else "runs") in steps]
    if wanted:
        failed = run_all([run for run in wanted if not is_done(run, setup)], setup, call.workers)
    if "speed" in steps:
        measure_speed([recipe for recipe in recipes if recipe not in (SOURCE, SUPERVISED)], setup)
    if call.record:
        print(f"{write_record(setup.output, call.record, PHANTOMS)} runs kept in {call.record}", flush=True)
    if "page" in steps:
        publish(planned, setup, places_of(call, setup), call.beside)
    return int(failed > 0)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Parse the command line; ``--quick`` changes the defaults of other arguments."""
    parser = argparse.ArgumentParser(
        prog="python -m bundle.benchmark", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of the photographs and their labels")
    parser.add_argument("--output", type=Path, required=True, help="folder of the runs")
    parser.add_argument("--page", type=Path, help="default: benchmark.md in the output folder")
    parser.add_argument("--figures", type=Path, help="folder; default: the output folder")
    parser.add_argument("--summary", type=Path, nargs="*", default=[], help="pages with a place for a short table")
    parser.add_argument("--metadata", type=Path, help="the metadata.json whose eval_metrics are filled in")
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="processes that perform runs")
    parser.add_argument("--targets", default=",".join(TARGETS))
    parser.add_argument("--ablation_targets", default=",".join(ABLATED), help="those of --targets that it takes")
    parser.add_argument("--recipes", help="default: all; source and supervised always take part")
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--ablation_seeds", default="0,1")
    parser.add_argument("--images", type=int, help="at most so many photographs of each set")
    parser.add_argument("--checkpoint", type=Path, default=CHECKPOINT, help="source model; default: models/refuge.pt")
    parser.add_argument("--image_size", type=int, default=IMAGE_SIZE, help="pixels a side that the model sees")
    parser.add_argument("--config", type=Path, help="a JSON or YAML file with recipes of your own")
    parser.add_argument("--record", type=Path, help="a .tar.xz of what the runs left, read and brought up to date")
    parser.add_argument("--beside", type=Path, help="output folder of runs with another source model, for the page")
    parser.add_argument("--steps", default="runs,ablation,speed,page", help="which of these to do")
    parser.add_argument(
        "--quick", action="store_true", help="1 seed, 3 targets, 4 photographs of each set, neither ablation nor speed"
    )
    if parser.parse_args(arguments).quick:
        parser.set_defaults(**QUICK)
    return parser.parse_args(arguments)


def recipes_of(call: argparse.Namespace) -> list[str]:
    """The recipes, with ``source`` first and ``supervised`` last, with which all others are compared."""
    recipes = call.recipes.split(",") if call.recipes else config_with(call.config)["recipes"]
    return [SOURCE, *(recipe for recipe in recipes if recipe not in (SOURCE, SUPERVISED)), SUPERVISED]


def planned_runs(call: argparse.Namespace, recipes: Sequence[str]) -> list[Run]:
    """All runs that the call asks for, whatever its steps."""
    targets = call.targets.split(",")
    planned = plan(targets, recipes, [int(seed) for seed in call.seeds.split(",")], config_with(call.config))
    if PLUS in recipes and not call.quick:
        ablated = [target for target in call.ablation_targets.split(",") if target in targets]
        planned += plan_ablation(ablated, [int(seed) for seed in call.ablation_seeds.split(",")])
    return planned


def places_of(call: argparse.Namespace, setup: Setup) -> Places:
    """The files that the results are written to."""
    page, figures = call.page or setup.output / "benchmark.md", call.figures or setup.output
    return Places(page, figures, call.record, call.summary, call.metadata)


if __name__ == "__main__":
    sys.exit(main())
