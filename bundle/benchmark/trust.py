"""Does the uncertainty that inference reports find the photographs on which the source model fails?

    python -m bundle.benchmark.trust --data DATA [--output output/trust] [--shifts none,severe]

Every shift of all held-out source photographs, as many phantoms, and the real sets in DATA, whole photographs among
them: a photograph has failed if the Dice of its disc or cup is below 0.8, of the disc alone where the label shows no
cup. Labels are read by ``evaluation`` alone. What is in the output folder is not made again.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch

from bundle.benchmark.page import FAILED, dice_by_photograph, uncertainties
from bundle.benchmark.statistics import failure_auroc
from bundle.data.listing import list_photographs
from bundle.data.splits import split_source
from bundle.stages import BUNDLE_ROOT, run_stage
from bundle.synthetic.phantoms.photographs import write_dataset
from bundle.synthetic.shifts import SHIFTS, write_shifted

CROPS = ("drishti_gs/train", "drishti_gs/test")
WHOLE = ("drishti_gs_fullframe/train", "idrid_fullframe/train", "idrid_fullframe/test")
DISC_ONLY = tuple(name for name in WHOLE if name.startswith("idrid"))
"""Sets whose labels show no cup: what the uncertainty says of it there, no label can confirm or refute."""
Pairs = list[tuple[float, bool]]
"""Of each photograph its uncertainty, and whether the model failed on it."""


def main() -> None:
    """Make the sets, segment and score them, print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--output", type=Path, default=BUNDLE_ROOT / "output" / "trust")
    parser.add_argument("--shifts", default=",".join(SHIFTS))
    args = parser.parse_args()
    torch.set_num_threads(1)
    output = args.output.absolute()
    held_out = split_source(list_photographs(args.data / "refuge" / "train", labels="required"), 0.2, 0)[1]
    print("| set | photographs | failed | area under the ROC curve |\n|---|---|---|---|")
    made_up: Pairs = []
    for name in (*args.shifts.split(","), "phantoms"):
        folder = output / "sets" / name
        if not folder.is_dir() and name == "phantoms":
            write_dataset(folder, len(held_out), kind="crop", cameras=("tight_red", "harsh"), seed=900)
        elif not folder.is_dir():
            write_shifted(held_out, folder, name)
        made_up += show(name, measured(folder, output / "results" / name, "crop"))
    real: Pairs = []
    disc_only: Pairs = []
    for name in (*CROPS, *WHOLE):
        view = "auto" if name in WHOLE else "crop"
        pairs = show(name, measured(args.data / name, output / "results" / name.replace("/", "_"), view))
        (disc_only if name in DISC_ONLY else real).extend(pairs)
    show("made-up, together", made_up)
    show("real, together", real + disc_only)
    show("real, together, without those whose cups have no label", real)
    show("all together", made_up + real + disc_only)
    show("all together, without those whose cups have no label", made_up + real)


def measured(photographs: Path, results: Path, view: str) -> Pairs:
    """Segment and score a set, unless that was done."""
    if not (results / "metrics.csv").is_file():
        for stage in ("inference", "evaluation"):
            run_stage(stage, dataset_dir=str(photographs), output_dir=str(results), view=view, quiet=True)
    uncertainty = uncertainties(results / "report.csv")
    worst = dice_by_photograph(results / "metrics.csv", min)
    return [(uncertainty[name], dice < FAILED) for name, dice in worst.items()]


def show(name: str, pairs: Sequence[tuple[float, bool]]) -> Pairs:
    """Print a row."""
    area = failure_auroc(*zip(*pairs, strict=True))
    print(f"| {name} | {len(pairs)} | {sum(fail for _, fail in pairs)} | {area:.3f} |", flush=True)
    return list(pairs)


if __name__ == "__main__":
    main()
