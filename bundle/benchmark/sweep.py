"""Choose grad_cl's learning rate, contrast weight and share of target statistics on made-up camera shifts.

    python -m bundle.benchmark.sweep --data SOURCE --output FOLDER
        [--checkpoint models/model.pt] [--shifts all,low_light] [--recipes dpl,pfa --factors 1,0.2]

With --recipes, the learning rates of other recipes are tried instead, as multiples of their own. The shifts are made
from held-out source photographs; phantoms of two cameras are another, strong one. The real target is not used. What
exists in the output folder is not computed again.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bundle.benchmark.markdown import table
from bundle.benchmark.plan import CONFIG, PHANTOMS, SOURCE
from bundle.benchmark.results import mean_dice
from bundle.benchmark.setup import CHECKPOINT, chosen_photographs
from bundle.benchmark.targets import write_phantoms
from bundle.io.files import atomic_write
from bundle.stages import run_stage
from bundle.synthetic.shifts import SHIFTS, write_shifted

__all__ = ["grad_cl_grid", "main", "peers_grid", "report"]

Grid = dict[str, dict[str, Any] | None]
"""Settings of a recipe by the name that the table shows; None adapts nothing."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Perform the missing runs of the grid, then print and write a table of mean Dice per setting and shift."""
    call = parse(arguments)
    held_out = chosen_photographs(call.data, "required", held_out=True, most=call.images)
    if call.recipes:
        grid = peers_grid(call.recipes.split(","), numbers(call.factors))
    else:
        grid = grad_cl_grid(
            numbers(call.statistics), numbers(call.learning_rates), numbers(call.literal_rates), numbers(call.weights)
        )
    scores: dict[str, dict[str, float]] = {}
    for shift in call.shifts.split(","):
        folder = call.output / shift
        if shift == PHANTOMS:
            write_phantoms(folder / "data", len(held_out))
        else:
            write_shifted(held_out, folder / "data", shift)
        for name, settings in grid.items():
            scores.setdefault(name, {})[shift] = score(folder, name, settings, call.checkpoint)
        report(scores, call.output / "sweep.md")


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="labelled source photographs")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--checkpoint", default=str(CHECKPOINT))
    parser.add_argument("--shifts", default=",".join((PHANTOMS, *SHIFTS)))
    parser.add_argument("--statistics", default="0,0.1,0.3,1", help="the target's share in the norm statistics")
    parser.add_argument("--learning_rates", default="1e-4,3e-4,1e-3,2e-3")
    parser.add_argument("--literal_rates", default="1e-4,2e-3", help="learning rates of DPL's own setting")
    parser.add_argument("--weights", default="0,0.1,1", help="of the contrastive loss")
    parser.add_argument("--recipes", default="", help="sweep the learning rates of these instead")
    parser.add_argument("--factors", default="1,0.2,0.04", help="of the learning rates of --recipes")
    parser.add_argument("--images", type=int, default=48, help="at most so many photographs of each shift")
    return parser.parse_args(arguments)


def numbers(text: str) -> list[float]:
    """The numbers in a list such as ``0,0.1``."""
    return [float(number) for number in text.split(",")]


def peers_grid(recipes: Sequence[str], factors: Sequence[float]) -> Grid:
    """Each recipe at multiples of its learning rate.

    Example:
        >>> list(peers_grid(["tent"], factors=[1.0, 0.5]))
        ['source', 'tent, lr 0.001', 'tent, lr 0.0005']
    """
    grid: Grid = {SOURCE: None}
    for name in recipes:
        own = CONFIG["recipes"][name]
        for factor in factors:
            rate = factor * own["learning_rate"]
            grid[f"{name}, lr {rate:g}"] = {**own, "learning_rate": rate, "harm_tolerance": None}
    return grid


def grad_cl_grid(
    shares: Sequence[float], rates: Sequence[float], literal_rates: Sequence[float], weights: Sequence[float]
) -> Grid:
    """The grid of grad_cl, DPL's own setting for the same losses, and norm statistics alone.

    Args:
        shares: values of the target's share in the norm statistics.
        rates: learning rates of grad_cl.
        literal_rates: learning rates of DPL's own setting.
        weights: weights of the contrastive loss.

    Returns:
        Settings by name.

    Example:
        >>> list(grad_cl_grid(shares=[0.1], rates=[1e-3], literal_rates=[], weights=[0.1]))
        ['source', 'bn, share 0.1', 'grad_cl, share 0.1, lr 0.001, lambda 0.1']
    """
    # A sweep should show harm, so the source's weights must not be restored.
    recipe = {**CONFIG["recipes"]["grad_cl"], "harm_tolerance": None}
    grid: Grid = {SOURCE: None}
    for rate in literal_rates:
        # DPL's published setting for the same losses: all parameters trained, no anchor, only labels above 0.75.
        literal = {**recipe, "trainable": "all", "label_threshold": 0.75, "statistics": 1.0, "learning_rate": rate}
        grid[f"as in DPL, lr {rate:g}"] = {**literal, "losses": {"pseudo_label": 1.0, "separation": 0.1}}
    for share in shares:
        if share:
            statistics = {"statistics": share, "pseudo_labels": False, "max_epochs": 0}
            grid[f"bn, share {share:g}"] = {**recipe, **statistics}
        for rate in rates:
            for weight in weights:
                losses = {"anchored_pseudo_label": 1.0, "separation": weight}
                choice = {**recipe, "statistics": share, "learning_rate": rate, "losses": losses}
                grid[f"grad_cl, share {share:g}, lr {rate:g}, lambda {weight:g}"] = choice
    return grid


def score(folder: Path, name: str, settings: Mapping[str, Any] | None, checkpoint: str) -> float:
    """Mean of disc and cup Dice after adapting with these settings; an existing result is read."""
    scores = folder / "scores" / name.replace(", ", "_").replace(" ", "")
    if not (scores / "metrics.json").is_file():
        common: dict[str, Any] = {"dataset_dir": str(folder / "data"), "view": "crop"}
        if settings is not None:
            choice: dict[str, Any] = {"recipe": "grad_cl", "recipes#grad_cl": settings}
            run_stage("adaptation", output_dir=str(folder / "adapted"), checkpoint=checkpoint, **common, **choice)
            checkpoint = str(folder / "adapted" / "model.pt")
        run_stage("evaluation", output_dir=str(scores), checkpoint=checkpoint, **common)
    return mean_dice(json.loads((scores / "metrics.json").read_text(encoding="utf-8")))


def report(scores: Mapping[str, Mapping[str, float]], path: Path) -> None:
    """Print the table and write it as Markdown; the last column is the mean over the shifts done so far.

    Args:
        scores: mean Dice by setting and shift.
        path: the Markdown file.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     report({"source": {"severe": 0.8, "none": 0.9}}, Path(folder, "sweep.md"))
        | setting | severe | none | mean |
        | --- | --- | --- | --- |
        | source | 0.8000 | 0.9000 | 0.8500 |
    """
    shifts = list(next(iter(scores.values())))
    rows = [[name, *map(_cell, values.values()), _cell(_mean(values))] for name, values in scores.items()]
    lines = table(["setting", *shifts, "mean"], rows)
    with atomic_write(path) as temporary:
        temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines), flush=True)


def _cell(value: float) -> str:
    return f"{value:.4f}"


def _mean(values: Mapping[str, float]) -> float:
    return sum(values.values()) / len(values)


if __name__ == "__main__":
    main()
