"""Measure how long the commands take and how much memory they need."""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from bundle.benchmark.execution import stage
from bundle.benchmark.plan import PLUS, REAL, Run
from bundle.benchmark.profile import profile_adaptation
from bundle.benchmark.record import made_from, write_json
from bundle.benchmark.request import asked_for
from bundle.benchmark.results import PROFILE, RATIO, speed_file
from bundle.benchmark.setup import Setup, chosen_photographs
from bundle.stages import BUNDLE_ROOT, STAGES

__all__ = ["measure_speed", "time_stage"]

THREADS = 2


def measure_speed(recipes: Sequence[str], setup: Setup) -> None:
    """Measure each recipe's command and inference, the profile of ``plus``, and the cost of refinement.

    Existing measurements are not repeated.

    Args:
        recipes: names of recipes that adapt.
        setup: of the runs; the photographs are those of the real target.
    """
    common = {
        "dataset_dir": str(setup.adaptation_set(REAL) / "image"),
        "view": "crop",
        "items": setup.items(),
        **setup.size(),
    }
    for recipe in recipes:
        _measure_command(recipe, common, setup)
    if PLUS in recipes:
        _measure_profile(common, setup)
    _measure_ratio(common, setup)


def _measure_command(recipe: str, common: Mapping[str, Any], setup: Setup) -> None:
    path, job = speed_file(setup.output, recipe), _job(setup)
    asked = asked_for(Run(REAL, recipe, 0), setup)
    if made_from(path, asked):
        return
    adaptation = {**common, "recipe": recipe, "output_dir": str(job), "config_file": setup.config_files(recipe)}
    seconds, memory = time_stage("adaptation", adaptation)
    segmentation = {**common, "checkpoint": str(job / "model.pt"), "output_dir": str(job)}
    inference_s, inference_gib = time_stage("inference", segmentation)
    count = len(chosen_photographs(common["dataset_dir"], most=setup.images))
    speed = {"photographs": count, "seconds": seconds, "peak_gib": memory, "asked": asked, **setup.provenance}
    write_json(path, speed | {"inference_s": inference_s, "inference_gib": inference_gib})
    print(f"speed of {recipe}: {seconds:.0f} s for {count} photographs, {memory:.2f} GiB", flush=True)
    shutil.rmtree(job)


def _measure_profile(common: Mapping[str, Any], setup: Setup) -> None:
    path, job = speed_file(setup.output, PROFILE), _job(setup)
    asked = asked_for(Run(REAL, PLUS, 0), setup)
    if made_from(path, asked):
        return
    torch.set_num_threads(THREADS)
    seconds = profile_adaptation(**common, recipe=PLUS, output_dir=str(job))
    write_json(path, {"seconds": seconds, "asked": asked, **setup.provenance})
    shutil.rmtree(job)


def _measure_ratio(common: Mapping[str, Any], setup: Setup) -> None:
    path, job = speed_file(setup.output, RATIO), _job(setup)
    if path.is_file():
        return
    write_json(path, {**_refinement_ratio(common, job), **setup.provenance})
    shutil.rmtree(job)


def _job(setup: Setup) -> Path:
    """Output folder of the timed commands."""
    return setup.output / "speed" / "job"


def time_stage(
    name: str, overrides: Mapping[str, Any], checkout: Path = BUNDLE_ROOT, threads: int = THREADS
) -> tuple[float, float]:
    """Wall seconds and peak memory (GiB) of a stage, run as a command.

    Args:
        name: of the stage.
        overrides: keys of its config, ``config_file`` among them if it is not the stage's own.
        checkout: folder of the bundle whose code and configs run.
        threads: of PyTorch.

    Raises:
        CalledProcessError: the command failed.
    """
    command = [sys.executable, "-m", "monai.bundle", "run", name]
    for key, value in {"config_file": f"configs/{STAGES[name]}.json", **overrides}.items():
        command += [f"--{key}", str(value)]
    start = time.perf_counter()
    process = subprocess.Popen(
        command,
        cwd=checkout,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "OMP_NUM_THREADS": str(threads), "PYTHONPATH": str(checkout)},
    )
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return time.perf_counter() - start, usage.ru_maxrss / 2**20


def _refinement_ratio(common: Mapping[str, Any], output: Path, rounds: int = 3) -> dict[str, float]:
    """Median wall seconds of refinement and of inference, which alternate in this process, and median ratio."""
    torch.set_num_threads(THREADS)
    seconds: dict[str, list[float]] = {"inference": [], "refinement": []}
    for turn in range(rounds + 1):
        for name, times in seconds.items():
            start = time.perf_counter()
            stage(name, output_dir=str(output / f"{name}{turn}"), **common)
            # The first turn warms up the file cache and the allocator.
            times += [time.perf_counter() - start] if turn else []
    ratios = [r / i for i, r in zip(seconds["inference"], seconds["refinement"], strict=True)]
    return {f"{name}_s": statistics.median(times) for name, times in seconds.items()} | {
        "ratio": statistics.median(ratios)
    }
