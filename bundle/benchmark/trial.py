"""Try changes of a recipe on the benchmark's targets before they are made.

    python -m bundle.benchmark.trial --data DATA --output output/trial
        --variants '{"longer": {"recipes#plus#least_steps": 80}}'
        [--recipe plus] [--targets severe,phantoms] [--seeds 0]

Each variant is a name and what it changes in ``configs/adapt.json``; the recipe as it is and the source model stand
beside them. Prints the Dice of disc and cup, and the vCDR error. What is in the output folder is not made again: give a
changed variant another name, and use another folder when the configs have changed. Choose on made-up targets alone.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from bundle.benchmark.runs import CHECKPOINT, PHANTOMS, SHIFTS, SOURCE, Setup, stage, write_target
from bundle.networks.nested_classes import CLASSES

AS_IT_IS = "as it is"


def main() -> None:
    """Run what is missing and print a row for each variant and target."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--recipe", default="plus")
    parser.add_argument("--variants", type=json.loads, default={})
    parser.add_argument("--targets", default=",".join((PHANTOMS, *SHIFTS)))
    parser.add_argument("--seeds", default="0")
    parser.add_argument("--checkpoint", type=Path, default=CHECKPOINT)
    args = parser.parse_args()
    torch.set_num_threads(1)
    setup = Setup(args.data.absolute(), args.output.absolute(), checkpoint=args.checkpoint.absolute())
    variants = {SOURCE: None, AS_IT_IS: {}, **args.variants}
    print("| target | variant | mean Dice | disc | cup | vCDR error |\n|---|---|---|---|---|---|")
    for target in args.targets.split(","):
        write_target(target, setup)
        for name, changes in variants.items():
            seeds = [0] if changes is None else [int(seed) for seed in args.seeds.split(",")]
            rows = [scores(target, args.recipe, name, changes, seed, setup) for seed in seeds]
            values = [statistics.mean(column) for column in zip(*rows, strict=True)]
            dice = " | ".join(f"{100 * value:.2f}" for value in values[:3])
            print(f"| {target} | {name} | {dice} | {values[3]:.4f} |", flush=True)


def scores(
    target: str, recipe: str, name: str, changes: Mapping[str, Any] | None, seed: int, setup: Setup
) -> tuple[float, ...]:
    """Mean Dice, Dice of disc and of cup, and error of the vCDR, of one run."""
    folder = setup.output / target / name.replace(" ", "_") / str(seed)
    if not (folder / "metrics.json").is_file():
        checkpoint = str(setup.checkpoint)
        if changes is not None:
            images = str(setup.adaptation_set(target) / "image")
            common = {"output_dir": str(folder), "checkpoint": checkpoint, "seed": seed, "view": "crop"}
            stage("adaptation", dataset_dir=images, recipe=recipe, **common, **changes)
            checkpoint = str(folder / "model.pt")
        scored = str(setup.scored_set(target))
        stage("evaluation", dataset_dir=scored, output_dir=str(folder), checkpoint=checkpoint, view="crop")
    metrics = json.loads((folder / "metrics.json").read_text())
    dice = [metrics[structure]["dice"] for structure in CLASSES]
    return statistics.mean(dice), *dice, metrics["vcdr_mae"]


if __name__ == "__main__":
    main()
