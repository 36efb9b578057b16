"""Record the files that every stage of a checkout writes, and compare two such records."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from bundle.errors import CallError

__all__ = ["compare", "record"]

RECIPES = ("bn", "tent", "dpl", "cbmt", "pfa", "dac", "grad_cl", "plus")
PHANTOMS = """
try:
    from bundle.synthetic.phantoms.photographs import write_dataset
except ImportError:  # before the package had rooms
    from bundle.phantoms import write_dataset
import sys
write_dataset(sys.argv[1], 10, kind="crop", cameras=("tight_red", "harsh"), seed=0)
"""
PASSED_OVER = ("events",)
"""Folders that are not compared, because the names of TensorBoard's files contain the time and the machine."""


def record(checkout: Path, folder: Path) -> None:
    """Run every stage of a checkout with one thread and seed 0; runs recorded earlier are kept.

    Args:
        checkout: folder of the code to run, in this interpreter's environment.
        folder: receives a folder for each run.

    Raises:
        CallError: a run failed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    recorder = _Recorder(checkout, folder)
    recorder.run("demo", "scripts/demo_input.py", str(folder / "demo"))
    recorder.run("phantoms", "-c", PHANTOMS, str(folder / "phantoms"))
    recorder.stage("inference", "inference", "inference", "demo")
    recorder.stage("evaluation", "evaluation", "evaluate", "phantoms", "--view", "crop")
    recorder.stage("refinement", "refinement", "refine", "phantoms", "--view", "crop")
    for recipe in RECIPES:
        recorder.stage(f"adaptation_{recipe}", "adaptation", "adapt", "phantoms", "--view", "crop", "--recipe", recipe)


@dataclass(frozen=True)
class _Recorder:
    checkout: Path
    folder: Path

    def run(self, name: str, *call: str) -> None:
        """Run Python in the checkout, unless this run was recorded before."""
        done = self.folder / f"{name}.done"
        if done.is_file():
            return
        print(name, flush=True)
        env = {**os.environ, "PYTHONPATH": str(self.checkout), "OMP_NUM_THREADS": "1"}
        ended = subprocess.run([sys.executable, *call], cwd=self.checkout, env=env, capture_output=True, text=True)
        if ended.returncode:
            print(ended.stdout, ended.stderr, sep="\n", file=sys.stderr)
            raise CallError(f"{name} ended with status {ended.returncode}.", "Its output is above.")
        done.touch()

    def stage(self, name: str, stage: str, config: str, data: str, *more: str) -> None:
        """Run a stage on one of the recorded folders."""
        where = ("--dataset_dir", str(self.folder / data), "--output_dir", str(self.folder / name))
        self.run(name, "-m", "monai.bundle", "run", stage, "--config_file", f"configs/{config}.json", *where, *more)


def compare(before: Path, after: Path) -> Mapping[str, list[str]]:
    """Compare two recorded folders, and print a line for each run.

    Args:
        before: a folder that ``record`` wrote.
        after: another one.

    Returns:
        For each run (a folder or file at the top) the files that differ or are missing from one of the two.

    Raises:
        CallError: both folders are empty.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     for version, text in (("before", "0.5"), ("after", "0.6")):
        ...         Path(folder, version).mkdir()
        ...         _ = Path(folder, version, "metrics.json").write_text(text)
        ...     compare(Path(folder, "before"), Path(folder, "after"))
        metrics.json           1 files,   0 equal metrics.json
        {'metrics.json': ['metrics.json']}
    """
    names = sorted({*_files(before), *_files(after)})
    if not names:
        raise CallError(f"there is nothing in {before} and {after}.", "Record both first.")
    differing: dict[str, list[str]] = {}
    for part in dict.fromkeys(name.split("/")[0] for name in names):
        own = [name for name in names if name.split("/")[0] == part]
        differing[part] = [name for name in own if not _equal(before / name, after / name)]
        equal = len(own) - len(differing[part])
        print(f"{part:20} {len(own):3} files, {equal:3} equal", *differing[part])
    return differing


def _files(folder: Path) -> Iterator[str]:
    """The files that are compared, relative to ``folder``."""
    for path in sorted(folder.rglob("*")):
        relative = path.relative_to(folder)
        if path.is_file() and path.suffix != ".done" and not set(relative.parts) & set(PASSED_OVER):
            yield relative.as_posix()


def _equal(one: Path, other: Path) -> bool:
    return one.is_file() and other.is_file() and _content(one) == _content(other)


def _content(path: Path) -> object:
    """The content of a file, independent of the order and the compression in which it was written."""
    if path.suffix == ".json":
        return json.loads(path.read_text(encoding="utf-8"))
    if path.suffix == ".npz":
        with np.load(path) as arrays:
            return {name: (str(arrays[name].dtype), arrays[name].tobytes()) for name in sorted(arrays)}
    if path.suffix == ".pt":
        values = torch.load(path, weights_only=True)
        return {key: value.numpy().tobytes() for key, value in values.items() if isinstance(value, torch.Tensor)}
    return hashlib.sha256(path.read_bytes()).hexdigest()
