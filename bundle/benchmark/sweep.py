"""Choose grad_cl's learning rate, contrast weight and share of target statistics on made-up camera shifts.

With ``--recipes``, the learning rates of other recipes instead, as multiples of their own.

The shifts are made of held-out source photographs; phantoms of two cameras are one more, a strong one. The real target
takes no part. Usage:

    python -m bundle.benchmark.sweep --data SOURCE --output FOLDER
        [--checkpoint models/model.pt] [--shifts all,low_light]
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from bundle.data.listing import list_photographs
from bundle.data.splits import split_source
from bundle.io.files import atomic_write
from bundle.networks.nested_classes import CLASSES
from bundle.stages import BUNDLE_ROOT, run_stage
from bundle.synthetic.phantoms.photographs import write_dataset
from bundle.synthetic.shifts import SHIFTS, write_shifted

PHANTOMS = "phantoms"


def main() -> None:
    """Run the grid, resuming what is there, and print and write a table of mean Dice per setting and shift."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="labelled source photographs")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--checkpoint", default=str(BUNDLE_ROOT / "models" / "model.pt"))
    parser.add_argument("--shifts", default=",".join((PHANTOMS, *SHIFTS)))
    parser.add_argument("--statistics", default="0,0.1,0.3,1", help="the target's share in the norm statistics")
    parser.add_argument("--learning_rates", default="1e-4,3e-4,1e-3,2e-3")
    parser.add_argument("--literal_rates", default="1e-4,2e-3", help="learning rates of DPL's own setting")
    parser.add_argument("--weights", default="0,0.1,1", help="of the contrastive loss")
    parser.add_argument("--recipes", default="", help="sweep the learning rates of these instead")
    parser.add_argument("--factors", default="1,0.2,0.04", help="of the learning rates of --recipes")
    parser.add_argument("--images", type=int, default=48, help="at most so many photographs of each shift")
    args = parser.parse_args()

    held_out = split_source(list_photographs(args.data, labels="required"), 0.2, 0)[1][: args.images]
    recipes = json.loads((BUNDLE_ROOT / "configs" / "adapt.json").read_text())["recipes"]
    settings = peers_grid(args, recipes) if args.recipes else grad_cl_grid(args, recipes["grad_cl"])
    table: dict[str, dict[str, float]] = {}
    for shift in args.shifts.split(","):
        folder = args.output / shift
        if shift == PHANTOMS:
            write_dataset(folder / "data", len(held_out), kind="crop", cameras=("tight_red", "harsh"), seed=900)
        else:
            write_shifted(held_out, folder / "data", shift)
        for name, setting in settings.items():
            table.setdefault(name, {})[shift] = mean_dice(folder, name, setting, args.checkpoint)
        report(table, args.output / "sweep.md")


def peers_grid(args: argparse.Namespace, recipes: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any] | None]:
    """Each recipe of ``--recipes`` at multiples of its learning rate."""
    settings: dict[str, dict[str, Any] | None] = {"source": None}
    for name in args.recipes.split(","):
        for factor in map(float, args.factors.split(",")):
            rate = factor * recipes[name]["learning_rate"]
            settings[f"{name}, lr {rate:g}"] = {**recipes[name], "learning_rate": rate, "harm_tolerance": None}
    return settings


def grad_cl_grid(args: argparse.Namespace, grad_cl: dict[str, Any]) -> dict[str, dict[str, Any] | None]:
    """grad_cl, DPL's own setting for the same losses, and the statistics alone."""
    # Harm is what a sweep wants to see.
    recipe = {**grad_cl, "harm_tolerance": None}
    settings: dict[str, dict[str, Any] | None] = {"source": None}
    for rate in map(float, args.literal_rates.split(",")):
        # The literature's setting for the same losses: everything trained, no anchor, labels above 0.75 alone.
        literal = {**recipe, "trainable": "all", "label_threshold": 0.75, "statistics": 1.0, "learning_rate": rate}
        settings[f"as in DPL, lr {rate:g}"] = {**literal, "losses": {"pseudo_label": 1.0, "separation": 0.1}}
    for share in map(float, args.statistics.split(",")):
        if share:
            settings[f"bn, share {share:g}"] = {**recipe, "statistics": share, "pseudo_labels": False, "max_epochs": 0}
        for rate in map(float, args.learning_rates.split(",")):
            for weight in map(float, args.weights.split(",")):
                losses = {"anchored_pseudo_label": 1.0, "separation": weight}
                choice = {**recipe, "statistics": share, "learning_rate": rate, "losses": losses}
                settings[f"grad_cl, share {share:g}, lr {rate:g}, lambda {weight:g}"] = choice
    return settings


def mean_dice(folder: Path, name: str, setting: dict[str, Any] | None, checkpoint: str) -> float:
    """Mean of disc and cup Dice after adapting by the recipe ``setting``; None is no adaptation."""
    scores = folder / "scores" / name.replace(", ", "_").replace(" ", "")
    if not (scores / "metrics.json").is_file():
        common = {"dataset_dir": str(folder / "data"), "view": "crop"}
        if setting is not None:
            choice = {"recipe": "grad_cl", "recipes#grad_cl": setting}
            run_stage("adaptation", output_dir=str(folder / "adapted"), checkpoint=checkpoint, **common, **choice)
            checkpoint = str(folder / "adapted" / "model.pt")
        run_stage("evaluation", output_dir=str(scores), checkpoint=checkpoint, **common)
    metrics = json.loads((scores / "metrics.json").read_text())
    return sum(metrics[structure]["dice"] for structure in CLASSES) / 2


def report(table: dict[str, dict[str, float]], path: Path) -> None:
    """Print the table and write it as Markdown."""
    shifts = list(next(iter(table.values())))
    lines = [f"| setting | {' | '.join(shifts)} | mean |", "|---" * (len(shifts) + 2) + "|"]
    for name, values in table.items():
        cells = [values[shift] for shift in shifts if shift in values]
        lines.append(f"| {name} | {' | '.join(f'{v:.4f}' for v in cells)} | {sum(cells) / len(cells):.4f} |")
    with atomic_write(path) as temporary:
        temporary.write_text("\n".join(lines) + "\n")
    print("\n".join(lines), flush=True)


if __name__ == "__main__":
    main()
