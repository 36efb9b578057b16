"""Time two commits in turns on the same photographs, with the same weights: what a change saves.

    git worktree add ../before 2fec930
    python -m bundle.benchmark.turns ../before --crops DATA/drishti_gs/train/image
        --photographs DATA/drishti_gs_fullframe/train/image [--jobs adaptation,inference,start] [--threads 1,2]
        [--turns 5] [--checkpoint models/refuge.pt]

Each turn runs the command of a job by the code of the other checkout and by that of this one, one after the other.
``adaptation`` adapts by ``plus`` to the crops, ``inference`` segments the photographs, ``start`` segments one of them.
Prints a table of medians: wall seconds, their ratio, and peak memory.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bundle.benchmark.markdown import table
from bundle.benchmark.setup import CHECKPOINT
from bundle.benchmark.speed import time_stage
from bundle.stages import BUNDLE_ROOT

__all__ = ["compare", "main", "row"]

HEADER = ["job", "threads", "before, s", "now, s", "now / before", "before, GiB", "now, GiB"]
Measured = Sequence[tuple[float, float]]


def main(arguments: Sequence[str] | None = None) -> None:
    """Time what the command line asks for, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before", type=Path, help="checkout of the other commit")
    parser.add_argument("--crops", type=Path, help="folder of crops, for adaptation")
    parser.add_argument("--photographs", type=Path, help="folder of whole photographs, for inference")
    parser.add_argument("--jobs", default="adaptation,inference,start")
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--checkpoint", type=Path, default=CHECKPOINT)
    call = parser.parse_args(arguments)
    lines = []
    for job in call.jobs.split(","):
        for threads in map(int, call.threads.split(",")):
            lines.append(compare(job, threads, call))
            print(*table(HEADER, lines[-1:])[-1:], flush=True)
    print("", *table(HEADER, lines), sep="\n")


def compare(job: str, threads: int, call: argparse.Namespace) -> list[str]:
    """Time a job by both checkouts in turns, and give its row of the table."""
    found: dict[str, list[tuple[float, float]]] = {"before": [], "now": []}
    with tempfile.TemporaryDirectory() as name:
        stage, keys = settings(job, call, Path(name))
        for _ in range(call.turns):
            for side, checkout in (("before", call.before.absolute()), ("now", BUNDLE_ROOT)):
                output = Path(name, "out")
                shutil.rmtree(output, ignore_errors=True)
                found[side].append(time_stage(stage, {**keys, "output_dir": output}, checkout, threads))
    return row(job, threads, found["before"], found["now"])


def settings(job: str, call: argparse.Namespace, folder: Path) -> tuple[str, Mapping[str, Any]]:
    """The stage of a job, and its keys; of one photograph the folder receives a copy."""
    keys: dict[str, Any] = {"checkpoint": call.checkpoint.absolute(), "quiet": True}
    if job == "adaptation":
        return "adaptation", {**keys, "dataset_dir": call.crops.absolute(), "view": "crop", "recipe": "plus"}
    photographs = call.photographs.absolute()
    if job == "start":
        one = folder / "one"
        one.mkdir()
        shutil.copy(sorted(photographs.iterdir())[0], one)
        photographs = one
    return "inference", {**keys, "dataset_dir": photographs}


def row(job: str, threads: int, before: Measured, now: Measured) -> list[str]:
    """Medians of seconds and memory; the ratio is the median of the turns' ratios.

    Example:
        >>> row("start", 1, [(8.0, 1.0), (9.0, 1.0)], [(4.0, 0.5), (4.5, 0.5)])
        ['start', '1', '8.5', '4.2', '0.50', '1.00', '0.50']
    """
    seconds = [statistics.median(turn[0] for turn in side) for side in (before, now)]
    memory = [statistics.median(turn[1] for turn in side) for side in (before, now)]
    ratio = statistics.median(new[0] / old[0] for old, new in zip(before, now, strict=True))
    return [
        job,
        str(threads),
        *(f"{value:.1f}" for value in seconds),
        f"{ratio:.2f}",
        *(f"{value:.2f}" for value in memory),
    ]


if __name__ == "__main__":
    main()
