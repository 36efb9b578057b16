"""Kill stages with SIGKILL at random moments, start them again, and compare with an undisturbed run, bit for bit.

    python -m tests.robustness.kill_check --output FOLDER [--kills 50]
        [--stages training,refinement,adaptation,inference]

Everything runs on small phantoms with a small network, made in FOLDER. After each kill every file that the stage has
written under its final name must be whole; after up to three kills in a row the stage is left to end, and all its
results must equal the undisturbed run's. Exit status 1 if anything differs.
"""

from __future__ import annotations

import argparse
import contextlib
import multiprocessing
import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bundle.command_line import WRONG_CALL
from bundle.errors import CallError
from bundle.stages import run_stage
from bundle.synthetic.phantoms.photographs import write_dataset
from tests.support.processes import forkserver
from tests.support.stages import TINY

UNWATCHED = {"track_photographs": 0}
"""Pictures of the progress take half the time, and are not compared."""
SETTINGS: dict[str, dict[str, Any]] = {
    "training": {"pretrained": False, "batch_size": 4, "max_epochs": 6, "val_interval": 3, "warmup_epochs": 1}
    | UNWATCHED,
    "refinement": {"view": "crop", "batch_size": 4},
    "adaptation": {"view": "crop", "batch_size": 4, "recipe": "grad_cl", "recipes#grad_cl#max_epochs": 4} | UNWATCHED,
    "inference": {"view": "crop"},
}
"""Of each stage, beside ``TINY``."""
IN_A_ROW = 3
NOT_COMPARED = ("events", "resume.pt")
"""Curves say when they were drawn; what only a resumed run needs is gone at the end."""


@dataclass
class Tally:
    """What happened to a stage."""

    seconds: float
    kills: int = 0
    completed: int = 0
    torn: list[str] = field(default_factory=list)
    different: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        faults = [f"torn: {', '.join(self.torn)}"] * bool(self.torn)
        faults += [f"different: {', '.join(self.different)}"] * bool(self.different)
        verdict = "; ".join(faults) or "no torn file, all results equal to the last bit"
        return f"{self.kills} kills, {self.completed} completed ({self.seconds:.1f} s undisturbed): {verdict}"


def main() -> None:
    """Check the stages that were asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--kills", type=int, default=50, help="of each stage")
    parser.add_argument("--stages", default=",".join(SETTINGS))
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    args = parser.parse_args()
    output = args.output.absolute()
    checkpoint = prepare(output)
    failed = False
    for stage in args.stages.split(","):
        tally = check(stage, output, checkpoint, args.kills, random.Random(f"{args.seed} {stage}"))
        print(f"{stage}: {tally}", flush=True)
        failed |= bool(tally.torn or tally.different)
    sys.exit(int(failed))


def prepare(output: Path) -> Path:
    """Make the photographs and, by an undisturbed training, the weights that the other stages start from."""
    write_dataset(output / "source", 10, kind="crop", size=96, seed=100)
    write_dataset(output / "target", 10, kind="crop", cameras=("tight_red",), size=96, seed=200)
    settings = {"max_epochs": 12, "val_interval": 12, "learning_rate": 0.01}
    start("training", output, output / "trained", None, settings).join()
    return output / "trained" / "model.pt"


def overrides_of(stage: str, output: Path, folder: Path, checkpoint: Path | None) -> dict[str, Any]:
    """What a stage is run with."""
    overrides = TINY | SETTINGS[stage]
    overrides["dataset_dir"] = str(output / ("source" if stage == "training" else "target"))
    overrides["output_dir"] = str(folder)
    if checkpoint is not None and stage != "training":
        overrides["checkpoint"] = str(checkpoint)
    return overrides


def start(
    stage: str, output: Path, folder: Path, checkpoint: Path | None, settings: Mapping[str, Any] | None = None
) -> multiprocessing.process.BaseProcess:
    """Start a stage in a process of its own."""
    overrides = overrides_of(stage, output, folder, checkpoint) | dict(settings or {})
    # Imports take longer than the stage; a kill among them would show nothing.
    process = forkserver().Process(target=run_logged, args=(stage, overrides, f"{folder}.log"))
    process.start()
    return process


def run_logged(stage: str, overrides: Mapping[str, Any], log: str) -> None:
    """Run a stage on one thread and leave with its status; what it says is added to ``log``."""
    torch.set_num_threads(1)
    with Path(log).open("a") as file:
        for stream in (1, 2):
            os.dup2(file.fileno(), stream)
    try:
        sys.exit(run_stage(stage, **overrides))
    except CallError as error:
        print(error.message, file=sys.stderr, flush=True)
        sys.exit(WRONG_CALL)


def check(stage: str, output: Path, checkpoint: Path, kills: int, rng: random.Random) -> Tally:
    """Kill a stage ``kills`` times, and compare what it leaves with an undisturbed run."""
    whole, cut = output / f"{stage}-whole", output / f"{stage}-cut"
    for folder in (whole, cut):
        shutil.rmtree(folder, ignore_errors=True)
    begin = time.perf_counter()
    start(stage, output, whole, checkpoint).join()
    tally = Tally(time.perf_counter() - begin)
    expected = contents(whole)
    if not expected:
        raise SystemExit(f"error: the undisturbed {stage} wrote nothing; see {whole}.log")
    while tally.kills < kills:
        shutil.rmtree(cut, ignore_errors=True)
        for _ in range(min(IN_A_ROW, kills - tally.kills)):
            process = start(stage, output, cut, checkpoint)
            process.join(rng.uniform(0, tally.seconds))
            if process.is_alive() and process.pid is not None:
                # It may end in between.
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process.pid, signal.SIGKILL)
                    tally.kills += 1
            process.join()
            found = contents(cut)
            tally.torn += [name for name in found if name in expected and not same(found[name], expected[name])]
        start(stage, output, cut, checkpoint).join()
        found = contents(cut)
        tally.completed += 1
        unlike = [name for name in expected if not same(found.get(name), expected[name])]
        tally.different += [name if name in found else f"{name} (missing)" for name in unlike]
        tally.different += [f"{name} (left over)" for name in found if name not in expected]
    return tally


def contents(folder: Path) -> dict[str, Any]:
    """What lies in a stage's folder under final names: tensors and arrays by name, all else as bytes."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    found = {}
    for path in files:
        name = path.relative_to(folder).as_posix()
        if not any(part.startswith(".") or part in NOT_COMPARED for part in Path(name).parts):
            found[name] = read(path)
    return found


def read(path: Path) -> Any:
    """A file's content, or the error where it is not whole: an archive's bytes hold its temporary name."""
    try:
        if path.suffix == ".pt":
            return torch.load(path, map_location="cpu", weights_only=True)
        if path.suffix == ".npz":
            with np.load(path) as arrays:
                return {name: torch.from_numpy(arrays[name]) for name in arrays.files}
    except Exception as error:  # noqa: BLE001
        return repr(error)
    return path.read_bytes()


def same(a: Any, b: Any) -> bool:
    """Whether two contents are equal to the last bit."""
    if isinstance(a, torch.Tensor) and isinstance(b, torch.Tensor):
        # A prototype of no pixel is NaN, which equals itself here.
        return (
            a.dtype == b.dtype
            and a.shape == b.shape
            and torch.equal(a.isnan(), b.isnan())
            and bool(((a == b) | a.isnan()).all())
        )
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    return type(a) is type(b) and bool(a == b)


if __name__ == "__main__":
    main()
