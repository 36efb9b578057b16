"""Does the uncertainty that inference reports find the photographs on which the source model fails?

    python -m bundle.benchmark.trust --data DATA [--output output/trust] [--shifts none,severe]

The sets are all held-out source photographs with every shift, the same number of phantoms, and the real sets in DATA,
which include whole photographs. The model fails on a photograph if the Dice of disc or cup is below 0.8, or of the disc
alone if the label shows no cup. Only evaluation reads labels. What exists in the output folder is not computed again.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from bundle.benchmark.plan import PHANTOMS
from bundle.benchmark.results import FAILED, dice_by_photograph, uncertainties
from bundle.benchmark.setup import CHECKPOINT, chosen_photographs
from bundle.benchmark.statistics import failure_auroc
from bundle.benchmark.targets import write_phantoms
from bundle.stages import BUNDLE_ROOT, run_stage
from bundle.synthetic.shifts import SHIFTS, write_shifted

__all__ = ["main", "measured", "row"]

CROPS = ("drishti_gs/train", "drishti_gs/test")
WHOLE = ("drishti_gs_fullframe/train", "idrid_fullframe/train", "idrid_fullframe/test")
DISC_ONLY = tuple(name for name in WHOLE if name.startswith("idrid"))
"""Sets whose labels show no cup, so that they can neither confirm nor refute a doubt about the cup."""
Pairs = list[tuple[float, bool]]
"""For each photograph its uncertainty, and whether the model failed on it."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Make the sets, segment and score them, print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--output", type=Path, default=BUNDLE_ROOT / "output" / "trust")
    parser.add_argument("--shifts", default=",".join(SHIFTS))
    call = parser.parse_args(arguments)
    torch.set_num_threads(1)
    sets = sets_of(call.data, call.output.absolute(), call.shifts.split(","))
    print("| set | photographs | failed | area under the ROC curve |\n|---|---|---|---|")
    found: dict[str, Pairs] = {}
    for name, (folder, view) in sets.items():
        found[name] = measured(folder, call.output.absolute() / "results" / name.replace("/", "_"), view)
        print(row(name, found[name]), flush=True)
    real = [name for name in sets if name in (*CROPS, *WHOLE)]
    made_up = [name for name in sets if name not in real]
    with_cups = [name for name in real if name not in DISC_ONLY]
    for title, names in {
        "made-up, together": made_up,
        "real, together": real,
        "real, together, without those whose cups have no label": with_cups,
        "all together": made_up + real,
        "all together, without those whose cups have no label": made_up + with_cups,
    }.items():
        print(row(title, [pair for name in names for pair in found[name]]), flush=True)


def sets_of(data: Path, output: Path, shifts: Sequence[str]) -> dict[str, tuple[Path, str]]:
    """Folder and view of each set of photographs; missing made-up sets are made."""
    held_out = chosen_photographs(data / "refuge" / "train", "required", held_out=True)
    made_up = {name: output / "sets" / name for name in (*shifts, PHANTOMS)}
    for name, folder in made_up.items():
        if not folder.is_dir():
            make_set(name, held_out, folder)
    real = {name: (data / name, "auto" if name in WHOLE else "crop") for name in (*CROPS, *WHOLE)}
    return {name: (folder, "crop") for name, folder in made_up.items()} | real


def make_set(name: str, held_out: Sequence[Mapping[str, Any]], folder: Path) -> None:
    """Write as many phantoms as there are held-out photographs, or a shift of these photographs."""
    if name == PHANTOMS:
        write_phantoms(folder, len(held_out))
    else:
        write_shifted(held_out, folder, name)


def measured(photographs: Path, results: Path, view: str) -> Pairs:
    """Segment and score a set; existing results are read.

    Args:
        photographs: folder of the set.
        results: output folder.
        view: see ``DiscViewd``.

    Returns:
        Uncertainty of each photograph, and whether the model failed on it.
    """
    if not (results / "metrics.csv").is_file():
        for stage in ("inference", "evaluation"):
            common: dict[str, Any] = {"checkpoint": str(CHECKPOINT), "view": view, "quiet": True}
            run_stage(stage, dataset_dir=str(photographs), output_dir=str(results), **common)
    uncertainty = uncertainties(results / "report.csv")
    worst = dice_by_photograph(results / "metrics.csv", min)
    return [(uncertainty[name], dice < FAILED) for name, dice in worst.items()]


def row(name: str, pairs: Pairs) -> str:
    """Format a row of the table: number of photographs and of failures, and area under the ROC curve.

    Example:
        >>> row("two eyes", [(0.1, False), (0.9, True)])
        '| two eyes | 2 | 1 | 1.000 |'
    """
    area = failure_auroc(*zip(*pairs, strict=True))
    return f"| {name} | {len(pairs)} | {sum(fail for _, fail in pairs)} | {area:.3f} |"


if __name__ == "__main__":
    main()
