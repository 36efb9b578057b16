"""Try changes of a recipe on the benchmark's targets before adopting them.

    python -m bundle.benchmark.trial --data DATA --output output/trial
        --variants '{"longer": {"recipes#plus#least_steps": 80}}'
        [--recipe plus] [--targets severe,phantoms] [--seeds 0]

Each variant has a name and the keys that it changes in configs/adapt.json; the unchanged recipe and the source model
are added. Prints the Dice of disc and cup, and the vCDR error. What exists in the output folder is not computed again:
give a changed variant another name, and use another folder when the configs have changed. Choose variants on made-up
targets alone.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from bundle.benchmark.execution import stage
from bundle.benchmark.plan import PHANTOMS, SOURCE
from bundle.benchmark.setup import CHECKPOINT, Setup
from bundle.benchmark.targets import write_target
from bundle.networks.nested_classes import CLASSES
from bundle.synthetic.shifts import SHIFTS

__all__ = ["main"]

AS_IT_IS = "as it is"
Changes = Mapping[str, Any]


def main(arguments: Sequence[str] | None = None) -> None:
    """Perform missing runs and print a row for each variant and target."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--recipe", default="plus")
    parser.add_argument("--variants", type=json.loads, default={})
    parser.add_argument("--targets", default=",".join((PHANTOMS, *SHIFTS)))
    parser.add_argument("--seeds", default="0")
    parser.add_argument("--checkpoint", type=Path, default=CHECKPOINT)
    call = parser.parse_args(arguments)
    torch.set_num_threads(1)
    setup = Setup(call.data.absolute(), call.output.absolute(), checkpoint=call.checkpoint.absolute())
    variants = {SOURCE: None, AS_IT_IS: {}, **call.variants}
    seeds = [int(seed) for seed in call.seeds.split(",")]
    print("| target | variant | mean Dice | disc | cup | vCDR error |\n|---|---|---|---|---|---|")
    for target in call.targets.split(","):
        write_target(target, setup)
        for name, changes in variants.items():
            print(row(target, call.recipe, name, changes, seeds, setup), flush=True)


def row(target: str, recipe: str, name: str, changes: Changes | None, seeds: Sequence[int], setup: Setup) -> str:
    """A row of the table: a variant on a target, averaged over the seeds; the source model depends on no seed."""
    runs = [scores(target, recipe, name, changes, seed, setup) for seed in (seeds if changes is not None else [0])]
    values = [statistics.mean(column) for column in zip(*runs, strict=True)]
    dice = " | ".join(f"{100 * value:.2f}" for value in values[:3])
    return f"| {target} | {name} | {dice} | {values[3]:.4f} |"


def scores(
    target: str, recipe: str, name: str, changes: Changes | None, seed: int, setup: Setup
) -> tuple[float, float, float, float]:
    """Mean Dice, Dice of disc and of cup, and error of the vCDR, of one run; ``changes`` is None for the source."""
    folder = setup.output / target / name.replace(" ", "_") / str(seed)
    if not (folder / "metrics.json").is_file():
        checkpoint = str(setup.checkpoint)
        if changes is not None:
            # Given the image folder itself, the stage cannot find any label.
            images = str(setup.adaptation_set(target) / "image")
            common = {"output_dir": str(folder), "checkpoint": checkpoint, "seed": seed, "view": "crop"}
            stage("adaptation", dataset_dir=images, recipe=recipe, **common, **changes)
            checkpoint = str(folder / "model.pt")
        scored = str(setup.scored_set(target))
        stage("evaluation", dataset_dir=scored, output_dir=str(folder), checkpoint=checkpoint, view="crop")
    metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    disc, cup = (metrics[structure]["dice"] for structure in CLASSES)
    return (disc + cup) / 2, disc, cup, metrics["vcdr_mae"]


if __name__ == "__main__":
    main()
