"""Perform runs: the worker processes, and the stages of each run."""

from __future__ import annotations

import gc
import json
import multiprocessing
import os
import shutil
import statistics
import threading
import time
import traceback
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from bundle.benchmark.plan import CEILING, PLUS, REAL, SOURCE, SUPERVISED, Run, ablation_overrides
from bundle.benchmark.record import RESULT, write_json
from bundle.benchmark.request import asked_for
from bundle.benchmark.setup import Setup
from bundle.networks.nested_classes import CLASSES
from bundle.stages import run_stage

__all__ = ["end_with_parent", "perform", "run_all", "stage"]


def run_all(runs: Sequence[Run], setup: Setup, workers: int) -> int:
    """Perform runs in worker processes of one thread each, and print a line for each run.

    Args:
        runs: to perform, in this order.
        setup: of the runs.
        workers: number of processes.

    Returns:
        The number of runs that failed.
    """
    if not runs:
        return 0
    failed, start = 0, time.perf_counter()
    context = multiprocessing.get_context("spawn")
    with _one_thread_a_process(), ProcessPoolExecutor(workers, mp_context=context, initializer=end_with_parent) as pool:
        futures = {pool.submit(_attempt, run, setup): run for run in runs}
        for count, future in enumerate(as_completed(futures), start=1):
            run = futures[future]
            try:
                line = future.result()
            except Exception as error:  # noqa: BLE001
                failed += 1
                line = f"FAILED: {error!r}; see {run.folder(setup.output) / 'log.txt'}"
            left = (time.perf_counter() - start) / count * (len(runs) - count) / 60
            name = run.row or run.recipe
            print(f"{count}/{len(runs)} {run.target} {name} seed {run.seed}: {line} ({left:.0f} min left)", flush=True)
    return failed


@contextmanager
def _one_thread_a_process() -> Iterator[None]:
    """Set ``OMP_NUM_THREADS``, which a spawned process reads when it imports PyTorch."""
    before = os.environ.get("OMP_NUM_THREADS")
    os.environ["OMP_NUM_THREADS"] = "1"
    try:
        yield
    finally:
        os.environ.pop("OMP_NUM_THREADS")
        if before is not None:
            os.environ["OMP_NUM_THREADS"] = before


def end_with_parent() -> None:
    """End this worker process when the process that started it was killed, and so could not stop it."""
    parent = multiprocessing.parent_process()

    def wait() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def _attempt(run: Run, setup: Setup) -> str:
    """Perform a run in a worker, write its output to the run's log, and return a line about its result."""
    torch.set_num_threads(1)
    folder = run.folder(setup.output)
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "log.txt").open("w") as log:
        for stream in (1, 2):
            os.dup2(log.fileno(), stream)
    try:
        result = perform(run, setup)
    except Exception as error:
        traceback.print_exc()
        raise RuntimeError(f"{type(error).__name__}: {error}") from None
    finally:
        gc.collect()
    return f"mean Dice {100 * result['mean_dice']:.2f} % in {result['seconds']:.0f} s"


def perform(run: Run, setup: Setup) -> dict[str, Any]:
    """Adapt and score, keep what the page needs, and return the content of ``result.json``, which marks the end."""
    folder = run.folder(setup.output)
    (folder / RESULT).unlink(missing_ok=True)
    start = time.perf_counter()
    weights = _make_weights(run, setup)
    _score(run, weights, setup)
    metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    result = {
        "mean_dice": statistics.mean(metrics[structure]["dice"] for structure in CLASSES),
        "seconds": time.perf_counter() - start,
        "seed": run.seed,
        **setup.provenance,
        "asked": asked_for(run, setup),
    }
    for leftover in ("pseudo_labels", "events"):
        shutil.rmtree(folder / leftover, ignore_errors=True)
    if run.target != REAL or run.seed != 0 or run.row:
        (folder / "model.pt").unlink(missing_ok=True)
    write_json(folder / RESULT, result)
    return result


def _make_weights(run: Run, setup: Setup) -> Path:
    """Train or adapt, depending on the run's recipe, and return the checkpoint file."""
    if run.recipe == SOURCE:
        return setup.checkpoint
    folder = run.folder(setup.output)
    common = {"output_dir": str(folder), "checkpoint": str(setup.checkpoint), "seed": run.seed, **setup.size()}
    photographs = setup.adaptation_set(run.target)
    if run.recipe == SUPERVISED:
        items = setup.items("required")
        stage("training", dataset_dir=str(photographs), items=items, **common, **CEILING)
    else:
        # Given the image folder itself, the stage cannot find any label.
        choice = {"recipe": run.recipe, "view": "crop", **ablation_overrides(run.row)}
        choice["config_file"] = setup.config_files(run.recipe)
        stage("adaptation", dataset_dir=str(photographs / "image"), items=setup.items(), **common, **choice)
    return folder / "model.pt"


def _score(run: Run, weights: Path, setup: Setup) -> None:
    """Evaluate the weights; for the first seed also measure what was forgotten, and run inference for its report."""
    folder = run.folder(setup.output)
    photographs = str(setup.scored_set(run.target))
    scored = {"dataset_dir": photographs, "checkpoint": str(weights), "view": "crop", **setup.size()}
    stage("evaluation", output_dir=str(folder), items=setup.items("required"), **scored)
    if run.row or run.seed != 0:
        return
    if run.target == REAL:
        back = {**scored, "dataset_dir": str(setup.source_set), "items": setup.items("required", held_out=True)}
        stage("evaluation", output_dir=str(folder / "forgotten"), **back)
    if run.recipe in (SOURCE, PLUS):
        stage("inference", output_dir=str(folder / "inference"), items=setup.items(), **scored)
        shutil.rmtree(folder / "inference" / "overlays")


def stage(name: str, **overrides: Any) -> None:
    """Run a stage, and fail if it leaves a photograph out.

    Args:
        name: of the stage.
        overrides: keys of its config.

    Raises:
        RuntimeError: some photographs were unreadable.
    """
    if run_stage(name, **overrides):
        raise RuntimeError(f"{name} found unreadable photographs in {overrides['dataset_dir']}.")
