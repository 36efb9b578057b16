"""Whether two checkouts of this project give the same: masks, tables, page, adapted weights, scores.

    python scripts/same_behaviour.py record CHECKOUT FOLDER     # run every stage of a checkout, one thread, seed 0
    python scripts/same_behaviour.py compare FOLDER OTHER       # status 1 if anything differs

``record`` uses this interpreter with the checkout's code. It segments the demo's photographs, refines and adapts by
every recipe to ten phantoms, and scores the shipped model on them: about 15 minutes. What is recorded already is kept.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

RECIPES = ("bn", "tent", "dpl", "cbmt", "pfa", "dac", "grad_cl", "plus")
PHANTOMS = """
try:
    from bundle.synthetic.phantoms.photographs import write_dataset
except ImportError:  # before the package had rooms
    from bundle.phantoms import write_dataset
import sys
write_dataset(sys.argv[1], 10, kind="crop", cameras=("tight_red", "harsh"), seed=0)
"""
# How a finished run is named in TensorBoard's files holds the time and the machine.
PASSED_OVER = ("events",)


def record(checkout: Path, folder: Path) -> None:
    """Run every stage of ``checkout`` and leave what it wrote in ``folder``."""
    env = {**os.environ, "PYTHONPATH": str(checkout), "OMP_NUM_THREADS": "1"}

    def run(name: str, *call: str) -> None:
        if (folder / f"{name}.done").is_file():
            return
        print(name, flush=True)
        ended = subprocess.run([sys.executable, *call], cwd=checkout, env=env, capture_output=True, text=True)
        if ended.returncode:
            sys.exit(f"error: {name} ended with status {ended.returncode}.\n{ended.stdout}\n{ended.stderr}")
        (folder / f"{name}.done").touch()

    def stage(name: str, stage: str, config: str, data: str, *more: str) -> None:
        where = ("--dataset_dir", str(folder / data), "--output_dir", str(folder / name))
        run(name, "-m", "monai.bundle", "run", stage, "--config_file", f"configs/{config}.json", *where, *more)

    folder.mkdir(parents=True, exist_ok=True)
    run("demo", "scripts/demo_input.py", str(folder / "demo"))
    run("phantoms", "-c", PHANTOMS, str(folder / "phantoms"))
    stage("inference", "inference", "inference", "demo")
    stage("evaluation", "evaluation", "evaluate", "phantoms", "--view", "crop")
    stage("refinement", "refinement", "refine", "phantoms", "--view", "crop")
    for recipe in RECIPES:
        stage(f"adaptation_{recipe}", "adaptation", "adapt", "phantoms", "--view", "crop", "--recipe", recipe)


def content(path: Path) -> object:
    """What a file says, whatever order or packing it was written in."""
    if path.suffix == ".json":
        return json.loads(path.read_text(encoding="utf-8"))
    if path.suffix == ".npz":
        with np.load(path) as arrays:
            return {name: (str(arrays[name].dtype), arrays[name].tobytes()) for name in sorted(arrays)}
    if path.suffix == ".pt":
        values = torch.load(path, weights_only=True)
        return {key: value.numpy().tobytes() for key, value in values.items() if isinstance(value, torch.Tensor)}
    return hashlib.sha256(path.read_bytes()).hexdigest()


def files(folder: Path) -> Iterator[str]:
    """The files that are compared, relative to ``folder``."""
    for path in sorted(folder.rglob("*")):
        relative = path.relative_to(folder)
        if path.is_file() and path.suffix != ".done" and not set(relative.parts) & set(PASSED_OVER):
            yield relative.as_posix()


def compare(before: Path, after: Path) -> int:
    """Print a line for each part; 1 if anything differs."""
    names = sorted({*files(before), *files(after)})
    found = {name: (before / name).is_file() and (after / name).is_file() for name in names}
    equal = {name: found[name] and content(before / name) == content(after / name) for name in names}
    for part in dict.fromkeys(name.split("/")[0] for name in names):
        own = [name for name in names if name.split("/")[0] == part]
        differing = [name for name in own if not equal[name]]
        print(f"{part:20} {len(own):3} files, {len(own) - len(differing):3} equal", *differing)
    return int(not names or not all(equal.values()))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("record", "compare"))
    parser.add_argument("first", type=Path)
    parser.add_argument("second", type=Path)
    args = parser.parse_args()
    first, second = args.first.absolute(), args.second.absolute()
    sys.exit(record(first, second) if args.what == "record" else compare(first, second))
