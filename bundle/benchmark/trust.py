"""Do the uncertainty and the mark ``review`` find the photographs on which a model fails, and leave good ones alone?

    python -m bundle.benchmark.trust --data DATA [--output output/trust] [--shifts none,severe]
        [--cameras output/cameras]

The sets are all held-out source photographs with every shift, the same number of phantoms, and real sets in DATA. The
model of one camera, models/refuge.pt, is asked, and the real sets are Drishti-GS and IDRiD. With --cameras, the folder
in which ``bundle.benchmark.cameras`` has trained models, each real camera is judged by the model that was trained
without it, and what is made up by the shipped one.

A model fails on a photograph if the Dice of the disc is below 0.85, or if its vertical cup-to-disc ratio is off by more
than 0.15; where a label shows no cup, the disc alone counts. Beside it stands the older definition: the Dice of disc or
cup is below 0.8. Only evaluation reads labels. What exists in the output folder is not computed again.
"""

from __future__ import annotations

import argparse
import csv
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch

from bundle.benchmark.cameras import ALL, CAMERAS
from bundle.benchmark.plan import PHANTOMS
from bundle.benchmark.results import FAILED, dice_by_photograph, uncertainties
from bundle.benchmark.setup import CHECKPOINT, chosen_photographs
from bundle.benchmark.statistics import failure_auroc
from bundle.benchmark.targets import write_phantoms
from bundle.stages import BUNDLE_ROOT, run_stage
from bundle.synthetic.shifts import SHIFTS, write_shifted

__all__ = ["Judged", "PhotographSet", "main", "measured", "row"]

CROPS = ("drishti_gs/train", "drishti_gs/test")
WHOLE = ("drishti_gs_fullframe/train", "idrid_fullframe/train", "idrid_fullframe/test")
LEAST_DISC, LARGEST_ERROR = 0.85, 0.15
"""The model fails on a photograph if the disc's Dice is below the first, or the vCDR off by more than the second."""
HEADER = "photographs | number | failed | area under the ROC curve | good ones marked | failures marked"
HEADER += " | failed, older definition | area, older definition"


class Judged(NamedTuple):
    """A photograph as inference and its label judge it.

    Attributes:
        uncertainty: as reported, 1 without a disc.
        marked: whether its status is not ``ok``.
        failed: whether the disc Dice is below 0.85 or the vCDR off by more than 0.15.
        poor: whether the Dice of disc or cup is below 0.8.
    """

    uncertainty: float
    marked: bool
    failed: bool
    poor: bool


class PhotographSet(NamedTuple):
    """A set of photographs and the model that it is new to.

    Attributes:
        folder: of the photographs.
        view: see ``DiscViewd``.
        checkpoint: the model.
        held_out: whether only those count that training holds out.
        made_up: whether shifts or phantoms made it.
        has_cups: whether its labels show cups; without, they neither confirm nor refute a doubt about the cup.
    """

    folder: Path
    view: str
    checkpoint: Path = CHECKPOINT
    held_out: bool = False
    made_up: bool = False
    has_cups: bool = True


def main(arguments: Sequence[str] | None = None) -> None:
    """Make the sets, segment and score them, print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--output", type=Path, default=BUNDLE_ROOT / "output" / "trust")
    parser.add_argument("--shifts", default=",".join(SHIFTS))
    parser.add_argument("--cameras", type=Path)
    call = parser.parse_args(arguments)
    torch.set_num_threads(1)
    data, output = call.data.absolute(), call.output.absolute()
    sets = made_up_sets(data, output, [*filter(None, call.shifts.split(",")), PHANTOMS], ALL if call.cameras else None)
    sets |= left_out_sets(data, call.cameras.absolute()) if call.cameras else real_sets(data)
    print(f"| {HEADER} |\n|{'---|' * (HEADER.count('|') + 1)}")
    found: dict[str, list[Judged]] = {}
    for name, photographs in sets.items():
        found[name] = measured(photographs, output / "results" / name.replace("/", "_").replace(" ", "_"))
        print(row(name, found[name]), flush=True)
    made_up = [name for name in sets if sets[name].made_up]
    real = [name for name in sets if not sets[name].made_up]
    with_cups = [name for name in real if sets[name].has_cups]
    for title, names in {
        "made-up, together": made_up,
        "real, together": real,
        "real, together, without those whose cups have no label": with_cups,
        "all together": made_up + real,
        "all together, without those whose cups have no label": made_up + with_cups,
    }.items():
        print(row(title, [judged for name in names for judged in found[name]]), flush=True)


def made_up_sets(data: Path, output: Path, names: Sequence[str], checkpoint: Path | None) -> dict[str, PhotographSet]:
    """Shifts and phantoms by name; missing ones are made."""
    held_out = chosen_photographs(data / "refuge" / "train", "required", held_out=True)
    for folder in (output / "sets" / name for name in names):
        if not folder.is_dir():
            make_set(folder.name, held_out, folder)
    return {n: PhotographSet(output / "sets" / n, "crop", checkpoint or CHECKPOINT, made_up=True) for n in names}


def real_sets(data: Path) -> dict[str, PhotographSet]:
    """The real sets that are new to the model of one camera, by name."""
    views = {**dict.fromkeys(CROPS, "crop"), **dict.fromkeys(WHOLE, "auto")}
    return {
        name: PhotographSet(data / name, view, has_cups=not name.startswith("idrid")) for name, view in views.items()
    }


def left_out_sets(data: Path, cameras: Path) -> dict[str, PhotographSet]:
    """The real sets of each camera with the model that was trained without it, by name."""
    return {
        scored.what: PhotographSet(
            data / scored.folder,
            "auto",
            cameras / f"without_{camera}" / "model.pt",
            scored.held_out,
            has_cups=scored.has_cups,
        )
        for camera, sets in CAMERAS.items()
        for scored in sets
    }


def make_set(name: str, held_out: Sequence[Mapping[str, Any]], folder: Path) -> None:
    """Write as many phantoms as there are held-out photographs, or a shift of these photographs."""
    if name == PHANTOMS:
        write_phantoms(folder, len(held_out))
    else:
        write_shifted(held_out, folder, name)


def measured(photographs: PhotographSet, results: Path) -> list[Judged]:
    """Segment and score a set; existing results are read.

    Args:
        photographs: the set.
        results: output folder.
    """
    component = f"{chosen_photographs.__module__}.{chosen_photographs.__qualname__}"
    items = {"_target_": component, "folder": "@dataset_dir", "held_out": photographs.held_out}
    common: dict[str, Any] = {"dataset_dir": str(photographs.folder), "output_dir": str(results)}
    common |= {"checkpoint": str(photographs.checkpoint), "view": photographs.view}
    if not (results / "report.csv").is_file():
        run_stage("inference", items={**items, "labels": "none"}, quiet=True, **common)
    if not (results / "metrics.csv").is_file():
        run_stage("evaluation", items={**items, "labels": "required"}, **common)
    uncertainty, status = uncertainties(results / "report.csv"), _statuses(results / "report.csv")
    worst = dice_by_photograph(results / "metrics.csv", min)
    failed = failures(results / "metrics.csv")
    return [
        Judged(uncertainty[name], status[name] != "ok", failed[name], dice < FAILED) for name, dice in worst.items()
    ]


def failures(path: Path) -> dict[str, bool]:
    """Whether the model failed on each photograph in a ``metrics.csv``.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder, "metrics.csv")
        ...     _ = path.write_text("image,optic_disc_dice,vcdr_error\\na,0.9,0.2\\nb,0.9,\\nc,0.8,\\n")
        ...     failures(path)
        {'a': True, 'b': False, 'c': True}
    """
    with path.open(newline="", encoding="utf-8") as file:
        return {
            row["image"]: float(row["optic_disc_dice"] or 0) < LEAST_DISC
            or float(row["vcdr_error"] or 0) > LARGEST_ERROR
            for row in csv.DictReader(file)
        }


def _statuses(path: Path) -> dict[str, str]:
    with path.open(newline="", encoding="utf-8") as file:
        return {Path(row["image"]).stem: row["status"] for row in csv.DictReader(file)}


def row(name: str, judged: Sequence[Judged]) -> str:
    """Format a row of the table, see ``HEADER``.

    Example:
        >>> row("two eyes", [Judged(0.1, False, False, True), Judged(0.9, True, True, True)])
        '| two eyes | 2 | 1 | 1.000 | 0 of 1 (0 %) | 1 of 1 (100 %) | 2 | – |'
    """
    uncertainty = [one.uncertainty for one in judged]
    good, bad = ([one.marked for one in judged if one.failed is kind] for kind in (False, True))
    areas = (
        failure_auroc(uncertainty, [one.failed for one in judged]),
        failure_auroc(uncertainty, [one.poor for one in judged]),
    )
    new, old = ("–" if math.isnan(area) else f"{area:.3f}" for area in areas)
    cells = [len(judged), len(bad), new, _share(good), _share(bad), sum(one.poor for one in judged), old]
    return f"| {name} | " + " | ".join(map(str, cells)) + " |"


def _share(marks: Sequence[bool]) -> str:
    return f"{sum(marks)} of {len(marks)} ({100 * sum(marks) / len(marks):.0f} %)" if marks else "–"


if __name__ == "__main__":
    main()
