"""Run the peer PVBM on the photographs of ``bundle.benchmark.cameras``, in an environment of its own.

PVBM (A. Fhima et al., Physiological Measurement 2022; MIT licence) contains a network, LUNetv2, that segments disc and
cup in whole photographs. Its own ``DiscSegmenter`` gives the disc alone; ``pvbm_worker`` reads the cup from the same
output. What it was trained on is not stated; Drishti-GS may be part of it.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ignite.engine import Engine
from monai.utils import convert_to_tensor
from PIL import Image

from bundle.benchmark.execution import stage
from bundle.data.label_reader import LabelReader
from bundle.evaluation.scores import ScoresSaver
from bundle.io.files import atomic_write
from bundle.morphometry.cup_disc import clean

__all__ = ["PINS", "environment", "score_peer", "seconds_in_turns"]

PINS = ("numpy==2.2.6", "pillow==11.3.0", "onnxruntime==1.22.1")
"""What the network needs; PVBM itself is installed without its other dependencies, which need gigabytes."""
PVBM = "PVBM==2.9.9.5"
_WORKER = Path(__file__).with_name("pvbm_worker.py")
Items = Sequence[Mapping[str, Any]]


def environment(folder: Path) -> Path:
    """Make an environment with PVBM, unless it exists.

    Args:
        folder: of the environment.

    Returns:
        Its Python.

    Raises:
        CalledProcessError: a package could not be installed.
    """
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if not (folder / "ready").is_file():
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
        install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*install, *PINS], check=True)
        subprocess.run([*install, "--no-deps", PVBM], check=True)
        (folder / "ready").touch()
    return python


def score_peer(items: Items, output: Path, python: Path) -> None:
    """Segment photographs with PVBM, and score its masks as ``evaluation`` scores those of a model.

    Args:
        items: with ``name``, ``image`` and ``label`` (values 0, 1 and 2).
        output: folder that receives ``metrics.csv`` and ``metrics.json``.
        python: see ``environment``.
    """
    with tempfile.TemporaryDirectory() as name:
        masks = Path(name)
        segment(items, masks, python)
        score_masks(items, masks, output)


def segment(items: Items, masks: Path, python: Path) -> float:
    """Write the masks of PVBM, NAME.png for each photograph.

    Returns:
        Seconds for all, without the start; one thread.
    """
    pairs = [(str(item["image"]), str(masks / f"{item['name']}.png")) for item in items]
    listed = masks / "list.json"
    listed.write_text(json.dumps(pairs), encoding="utf-8")
    alone = {**os.environ, "OMP_NUM_THREADS": "1"}
    alone.pop("PYTHONPATH", None)
    done = subprocess.run(
        [str(python), str(_WORKER), str(listed)], check=True, env=alone, capture_output=True, text=True
    )
    return float(done.stdout.split()[-1])


def score_masks(items: Items, masks: Path, output: Path) -> None:
    """Score masks against labels, after the same cleaning as our own: the largest region of each structure.

    Args:
        items: with ``name`` and ``label``.
        masks: folder with NAME.png for each item, values 0, 1 and 2.
        output: folder that receives ``metrics.csv`` and ``metrics.json``.

    Example:
        >>> label = np.zeros((32, 32), dtype=np.uint8)
        >>> label[4:28, 4:28], label[10:22, 10:22] = 1, 2
        >>> with tempfile.TemporaryDirectory() as name:
        ...     file = Path(name, "eye.png")
        ...     Image.fromarray(label).save(file)
        ...     score_masks([{"name": "eye", "label": str(file)}], Path(name), Path(name))
        ...     json.loads(Path(name, "metrics.json").read_text())["optic_cup"]["dice"]
        1.0
    """
    reader = LabelReader()

    def compare(engine: Engine, item: Mapping[str, Any]) -> list[dict[str, torch.Tensor]]:
        engine.state.batch = [item]  # type: ignore[assignment]
        label, _ = reader.get_data(reader.read(item["label"]))
        with Image.open(masks / f"{item['name']}.png") as file:
            mask = clean(np.asarray(file)).T
        return [{"pred": _structures(mask), "label": _structures(label)}]

    evaluator = Engine(compare)
    output.mkdir(parents=True, exist_ok=True)
    ScoresSaver(output).attach(evaluator)
    evaluator.run(items)


def _structures(label: np.ndarray) -> torch.Tensor:
    return convert_to_tensor(np.stack((label >= 1, label == 2)).astype(np.uint8))


def seconds_in_turns(items: Items, folder: Path, python: Path, turns: int = 3) -> dict[str, list[float]]:
    """Seconds a photograph of PVBM (masks alone) and of ``inference`` (masks, measurements and page), in turns.

    One thread each; the start counts for neither.

    Args:
        items: photographs.
        folder: is made, and removed afterwards.
        python: see ``environment``.
        turns: how often each is timed.

    Returns:
        The seconds of each turn, under ``pvbm`` and ``ours``; they are also written to ``seconds.json`` beside the
        folder.
    """
    torch.set_num_threads(1)
    found: dict[str, list[float]] = {"pvbm": [], "ours": []}
    images = [{"image": item["image"], "name": item["name"]} for item in items]
    for turn in range(turns + 1):
        shutil.rmtree(folder, ignore_errors=True)
        masks = folder / "masks"
        masks.mkdir(parents=True)
        # The first turn warms up what is loaded late.
        some = images if turn else images[:2]
        start = time.perf_counter()
        stage("inference", dataset_dir=str(folder), items=some, output_dir=str(folder / "ours"), quiet=True)
        seconds = {"ours": time.perf_counter() - start, "pvbm": segment(some, masks, python)}
        for name, spent in seconds.items() if turn else ():
            found[name].append(spent / len(some))
    shutil.rmtree(folder)
    with atomic_write(folder.with_name("seconds.json")) as temporary:
        temporary.write_text(json.dumps(found), encoding="utf-8")
    return found
