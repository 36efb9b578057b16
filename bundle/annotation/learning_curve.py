"""The gain from corrected contours: train on some corrected photographs and score the contours of others."""

from __future__ import annotations

import hashlib
import json
import math
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bundle.data.listing import list_photographs
from bundle.errors import CallError
from bundle.io.files import atomic_write
from bundle.networks.nested_classes import CLASSES
from bundle.stages import run_stage

__all__ = ["Curve", "Training", "chosen", "draw_curve", "measure_curve", "replace_table", "table_lines"]

BEGIN, END = "<!-- round trip -->", "<!-- end of round trip -->"
Curve = Mapping[int, Sequence[Mapping[str, Any]]]
"""For each number of corrected photographs the content of ``metrics.json``, one for each seed."""


@dataclass(frozen=True)
class Training:
    """How the model is trained on corrected photographs.

    Args:
        checkpoint: weights that training starts from.
        steps: number of batches in each training, whatever the number of photographs.
        batch_size: photographs per batch; if there are fewer, all of them make one batch.
        learning_rate: of AdamW.
        keys: other keys of the configs, for both training and evaluation.
    """

    checkpoint: str
    steps: int
    batch_size: int
    learning_rate: float
    keys: Mapping[str, Any] = field(default_factory=dict)


def measure_curve(
    data: Path, test: Path, output: Path, counts: Sequence[int], seeds: Sequence[int], training: Training
) -> Curve:
    """Train on more and more corrected photographs and score each model; existing results are used.

    Args:
        data: photographs and labels, which take the place of corrections.
        test: photographs and labels that are scored.
        output: receives ``corrected_<count>_<seed>``.
        counts: numbers of corrected photographs; 0 scores the model before training.
        seeds: of the choice of photographs and of training.
        training: how each model is trained.

    Raises:
        CallError: a folder does not hold what it should.
    """
    items = list_photographs(data, labels="required")
    curve: dict[int, list[dict[str, Any]]] = {}
    for count in counts:
        # Without corrections nothing is trained, whatever the seed.
        for seed in seeds if count else (0,):
            folder = output / f"corrected_{count}_{seed}"
            if not (folder / "scores" / "metrics.json").is_file():
                checkpoint = _improve(chosen(items, count, seed), seed, folder, training)
                run_stage(
                    "evaluation",
                    dataset_dir=str(test),
                    output_dir=str(folder / "scores"),
                    checkpoint=checkpoint,
                    view="crop",
                    **training.keys,
                )
            metrics = json.loads((folder / "scores" / "metrics.json").read_text(encoding="utf-8"))
            curve.setdefault(count, []).append(metrics)
    return curve


def chosen(items: Sequence[Mapping[str, Any]], count: int, seed: int) -> list[Mapping[str, Any]]:
    """Choose ``count`` of the items; a larger count adds items to those of a smaller one.

    Example:
        >>> items = [{"name": name} for name in "abcd"]
        >>> chosen(items, 3, seed=0)[:2] == chosen(items, 2, seed=0)
        True
    """
    return sorted(items, key=lambda item: hashlib.sha256(f"{seed}:{item['name']}".encode()).digest())[:count]


def _improve(corrections: Sequence[Mapping[str, Any]], seed: int, folder: Path, training: Training) -> str:
    """Train on corrected photographs, if there are any, and return the weights' file."""
    if not corrections:
        return training.checkpoint
    for item in corrections:
        for kind in ("image", "label"):
            copy = folder / "data" / kind / f"{item['name']}{Path(item[kind]).suffix}"
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(item[kind], copy)
    batch_size = min(training.batch_size, len(corrections))
    # Training drops a last, smaller batch.
    epochs = math.ceil(training.steps / (len(corrections) // batch_size))
    run_stage(
        "training",
        dataset_dir=str(folder / "data"),
        output_dir=str(folder),
        checkpoint=training.checkpoint,
        split="$[@items, []]",
        batch_size=batch_size,
        max_epochs=epochs,
        warmup_epochs=max(1, epochs // 10),
        learning_rate=training.learning_rate,
        pretrained=False,
        seed=seed,
        **training.keys,
    )
    return str(folder / "model.pt")


def table_lines(curve: Curve) -> list[str]:
    """The curve as a Markdown table, Dice in per cent; for several seeds mean and range.

    Example:
        >>> metrics = {"optic_disc": {"dice": 0.95}, "optic_cup": {"dice": 0.85}, "vcdr_mae": 0.05}
        >>> table_lines({10: [metrics]})[-1]
        '| 10 | 95.0 | 85.0 | 0.050 |'
    """
    lines = ["| corrected photographs | disc Dice | cup Dice | vCDR error |", "| --- | --- | --- | --- |"]
    for count, runs in curve.items():
        cells = [_spread([100 * run[name]["dice"] for run in runs], 1) for name in CLASSES]
        lines.append(f"| {count} | {' | '.join(cells)} | {_spread([run['vcdr_mae'] for run in runs], 3)} |")
    return lines


def _spread(values: Sequence[float], digits: int) -> str:
    mean = f"{sum(values) / len(values):.{digits}f}"
    return mean if len(values) == 1 else f"{mean} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def replace_table(page: Path, lines: Sequence[str]) -> None:
    """Replace the table between the marks ``BEGIN`` and ``END`` of a page.

    Raises:
        CallError: the page has no such marks.
    """
    text = page.read_text(encoding="utf-8")
    if BEGIN not in text or END not in text:
        raise CallError(f"{page} does not say where the table goes.", f"Put {BEGIN} and {END} there.")
    before, after = text.split(BEGIN)[0], text.split(END)[1]
    with atomic_write(page) as temporary:
        temporary.write_text("\n".join((before + BEGIN, *lines, END)) + after, encoding="utf-8")


def draw_curve(curve: Curve, path: Path) -> None:
    """Draw Dice of disc and cup against the number of corrected photographs, with a point for each of several seeds.

    Args:
        curve: see ``measure_curve``.
        path: the PNG file.
    """
    # An optional dependency.
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context({"font.size": 11, "axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure(figsize=(6.4, 3.6), layout="constrained")
        axes = figure.add_subplot()
        for name, colour, marker in zip(CLASSES, ("#0b5fa5", "#c8102e"), "os", strict=True):
            values = {count: [100 * run[name]["dice"] for run in runs] for count, runs in curve.items()}
            means = [sum(v) / len(v) for v in values.values()]
            axes.plot(list(values), means, color=colour, marker=marker, label=name.replace("_", " "))
            points = [(count, value) for count, v in values.items() if len(v) > 1 for value in v]
            if points:
                axes.plot(*zip(*points, strict=True), ".", color=colour, alpha=0.5)
        axes.set(xlabel="corrected photographs", ylabel="Dice of other photographs, per cent", xticks=list(curve))
        axes.grid(axis="y", alpha=0.3)
        axes.legend(frameon=False)
        with atomic_write(path) as temporary:
            figure.savefig(temporary, dpi=150)
