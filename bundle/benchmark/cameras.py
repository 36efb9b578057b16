"""Leave one camera out: train on the others, score on what was left out, adapt to it without labels, score again.

    python -m bundle.benchmark.cameras --data DATA --output output/cameras [--cameras drishti_gs,palm]
        [--steps train,score,adapt,peer,page] [--adapted without]
        [--page docs/development/cameras.md --figures docs/images]

DATA holds the sources of configs/train_many.json, from which training leaves the camera out (``leave_out``). Training
starts from the model of one camera, models/refuge.pt, unless it is that camera that is left out; then it starts from
ImageNet's weights. What exists in the output folder is not computed again, and an interrupted training goes on. Only
training and evaluation read labels, and training none of the camera left out. The step ``peer`` installs PVBM in an
environment in the output folder, scores it on the same photographs, and times it.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import os
import statistics
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from bundle.benchmark import pvbm
from bundle.benchmark.agreement import Agreement, agreement, bland_altman
from bundle.benchmark.execution import stage
from bundle.benchmark.markdown import NONE, points, table
from bundle.benchmark.setup import CHECKPOINT, chosen_photographs, provenance
from bundle.io.files import atomic_write
from bundle.stages import BUNDLE_ROOT

__all__ = ["CAMERAS", "Scored", "main"]

SINGLE = CHECKPOINT
ALL = BUNDLE_ROOT / "models" / "model.pt"
CONFIGS = [str(BUNDLE_ROOT / "configs" / name) for name in ("train.json", "train_many.json")]


@dataclass(frozen=True)
class Scored:
    """A set of photographs that a model is scored on.

    Args:
        folder: relative to the data.
        has_cups: whether its labels show cups.
        held_out: whether only those count that training holds out.
        adapted_to: folder of the photographs, relative to the data, that a model adapts to before it is scored here.
        what: the set, in words.
    """

    folder: str
    has_cups: bool
    held_out: bool
    adapted_to: str
    what: str


CAMERAS: Mapping[str, Sequence[Scored]] = {
    "drishti_gs": (
        Scored("drishti_gs_fullframe/train", True, False, "drishti_gs_fullframe/train", "Drishti-GS, whole"),
        Scored("drishti_gs/test", True, False, "drishti_gs/train", "Drishti-GS, test crops"),
    ),
    "refuge": (Scored("refuge/train", True, True, "refuge/train", "REFUGE, held-out crops"),),
    "palm": (Scored("palm_fullframe/train", False, True, "palm_fullframe/train", "PALM, held-out fifth, whole"),),
    "idrid": (Scored("idrid_fullframe/test", False, False, "idrid_fullframe/train", "IDRiD test, whole"),),
}
"""The sets of each camera that can be left out, by the start of its folders' names."""
TIMED = CAMERAS["drishti_gs"][0]
"""The set on which the peer is timed."""
EPOCHS: Mapping[str, int] = {"drishti_gs": 16, "refuge": 20, "palm": 16, "idrid": 12}
"""Epochs of training without each camera; the shipped model, trained on all, took 36."""
Rows = list[dict[str, str]]


def main(arguments: Sequence[str] | None = None) -> None:
    """Perform what is missing, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--output", type=Path, default=BUNDLE_ROOT / "output" / "cameras")
    parser.add_argument("--cameras", default=",".join(CAMERAS))
    parser.add_argument("--steps", default="train,score,adapt,peer,page")
    parser.add_argument("--adapted", default="without,single", help="models to adapt: single, without")
    parser.add_argument("--page", type=Path)
    parser.add_argument("--figures", type=Path)
    call = parser.parse_args(arguments)
    torch.set_num_threads(1)
    data, output, steps = call.data.absolute(), call.output.absolute(), call.steps.split(",")
    for camera in call.cameras.split(","):
        if "train" in steps:
            train(camera, data, output)
        for name, weights in _models(camera, output).items():
            if "score" in steps:
                for scored in CAMERAS[camera]:
                    score(scored, weights, data, _folder(output, scored, name))
            if "adapt" in steps and name in call.adapted.split(","):
                for scored in CAMERAS[camera]:
                    adapt_and_score(scored, weights, data, _folder(output, scored, f"{name}_adapted"))
        if "peer" in steps:
            for scored in CAMERAS[camera]:
                compare_with_peer(scored, data, output)
    if "page" in steps:
        write_page(output, call.page or output / "cameras.md", call.figures or output)


def train(camera: str, data: Path, output: Path) -> None:
    """Train without a camera, unless that is done."""
    folder = output / f"without_{camera}"
    if (folder / "model.pt").is_file():
        return
    start = {"learning_rate": 0.001} if camera == "refuge" else {"checkpoint": str(SINGLE)}
    settings: dict[str, Any] = {"max_epochs": EPOCHS[camera], "val_interval": 1000, "quiet": True, **start}
    common = {"dataset_dir": str(data), "output_dir": str(folder), "leave_out": camera}
    stage("training", config_file=CONFIGS, **common, **settings)


def _models(camera: str, output: Path) -> dict[str, Path]:
    """The weights to score, by name: of one camera, without the camera, and trained on all."""
    models = {"single": SINGLE, "without": output / f"without_{camera}" / "model.pt", "all": ALL}
    return {name: path for name, path in models.items() if path.is_file()}


def _folder(output: Path, scored: Scored, model: str) -> Path:
    return output / "scores" / scored.folder.replace("/", "_") / model


def score(scored: Scored, weights: Path, data: Path, folder: Path) -> None:
    """Evaluate the weights on a set, unless that is done."""
    if (folder / "metrics.csv").is_file():
        return
    component = f"{chosen_photographs.__module__}.{chosen_photographs.__qualname__}"
    items = {"_target_": component, "folder": "@dataset_dir", "labels": "required", "held_out": scored.held_out}
    common = {"dataset_dir": str(data / scored.folder), "output_dir": str(folder)}
    stage("evaluation", checkpoint=str(weights), items=items, **common)


def adapt_and_score(scored: Scored, weights: Path, data: Path, folder: Path) -> None:
    """Adapt to the camera's photographs without their labels, and evaluate, unless that is done."""
    if (folder / "metrics.csv").is_file():
        return
    adapted = folder / "adapted"
    # Given the image folder itself, the stage cannot find any label.
    images = str(data / scored.adapted_to / "image")
    stage("adaptation", dataset_dir=images, output_dir=str(adapted), checkpoint=str(weights), quiet=True)
    score(scored, adapted / "model.pt", data, folder)


def compare_with_peer(scored: Scored, data: Path, output: Path) -> None:
    """Score PVBM on a set, and time it on the first one, unless that is done."""
    folder = _folder(output, scored, "pvbm")
    items = chosen_photographs(data / scored.folder, "required", scored.held_out)
    timed = scored == TIMED and not (output / "seconds.json").is_file()
    if timed or not (folder / "metrics.csv").is_file():
        python = pvbm.environment(output / "pvbm")
        pvbm.score_peer(items, folder, python)
        if timed:
            pvbm.seconds_in_turns(items, output / "timed", python)


def write_page(output: Path, page: Path, figures: Path) -> None:
    """Write the table of all scores that exist, and a figure of predicted and true ratios for each set with cups."""
    lines, pictures = [], []
    for scored in (scored for sets in CAMERAS.values() for scored in sets):
        found = {
            name: read_scores(_folder(output, scored, name))
            for name in ("single", "single_adapted", "without", "without_adapted", "all", "pvbm")
            if (_folder(output, scored, name) / "metrics.csv").is_file()
        }
        lines += [[scored.what, MODELS[name], *cells(rows, scored.has_cups)] for name, rows in found.items()]
        if scored.has_cups and found:
            ratios = {MODELS[name]: _ratios(rows) for name, rows in found.items()}
            figure = figures / f"cameras_{scored.folder.replace('/', '_')}.png"
            bland_altman(ratios, scored.what, figure)
            pictures.append(f"![{scored.what}: predicted against true vCDR]({_relative(figure, page)})")
    header = ["photographs", "model", "n", "disc", "cup", "no disc", "vCDR error", "bias", "slope", "correlation"]
    where = provenance()
    text = [
        "# Leaving one camera out",
        "",
        TEXT,
        "",
        *table(header, lines),
        "",
        *timing(output / "seconds.json"),
        f"Commit {where['commit']}, PyTorch {where['torch']}, {where['cores']} cores, {where['machine']}.",
        "",
        *(line for picture in pictures for line in (picture, "")),
    ]
    with atomic_write(page) as temporary:
        temporary.write_text("\n".join(text).rstrip() + "\n", encoding="utf-8")


MODELS = {
    "single": "one camera (REFUGE)",
    "single_adapted": "one camera, adapted",
    "without": "many cameras without this one",
    "without_adapted": "the same, adapted",
    "all": "all cameras, as shipped",
    "pvbm": "PVBM 2.9.9.5",
}
TEXT = """Dice in per cent, on cameras that a model has not seen, unless the row says so; `adapted` is `plus`, without
labels. Bias, slope and correlation are those of the predicted against the true vertical cup-to-disc ratio: a slope of 1
means that the prediction follows what the picture shows, a slope of 0 that it always says the same. The model as
shipped has been trained on part of each camera; its rows are no test of what it does on a new one. PVBM is a peer with
weights of its own, trained on photographs that it does not name (Drishti-GS may be among them); it expects whole
photographs. Made by:

```
python -m bundle.benchmark.cameras --data DATA --page docs/development/cameras.md --figures docs/images
```"""


def timing(file: Path) -> list[str]:
    """What PVBM and ``inference`` took, in words; nothing if it was not measured.

    Example:
        >>> timing(Path("no/such/file"))
        []
    """
    if not file.is_file():
        return []
    seconds = json.loads(file.read_text(encoding="utf-8"))
    ours, peer = (statistics.median(seconds[name]) for name in ("ours", "pvbm"))
    text = (
        f"{TIMED.what}, one thread: PVBM takes {peer:.2f} s a photograph for masks alone; `inference` takes "
        f"{ours:.2f} s with measurements, overlays and page, {peer / ours:.1f} times as fast (medians of "
        f"{len(seconds['ours'])} turns)."
    )
    return [*textwrap.wrap(text, 120), ""]


def read_scores(folder: Path) -> Rows:
    """The rows of ``metrics.csv``."""
    with (folder / "metrics.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def cells(rows: Rows, has_cups: bool) -> list[str]:
    """Number of photographs, Dice of disc and cup, photographs without a disc, and how the ratios agree.

    Example:
        >>> rows = [{"optic_disc_dice": "0.9", "optic_cup_dice": "0.8", "vcdr": "0.5", "vcdr_true": "0.6"}] * 2
        >>> cells(rows, has_cups=False)
        ['2', '90.00', '–', '0', '–', '–', '–', '–']
    """
    disc = [float(row["optic_disc_dice"] or "nan") for row in rows]
    nothing = str(sum(not row["vcdr"] for row in rows))
    if not has_cups:
        return [str(len(rows)), points(_mean(disc)), NONE, nothing, *[NONE] * 4]
    found: Agreement = agreement(*_ratios(rows))
    cup = _mean([float(row["optic_cup_dice"] or "nan") for row in rows])
    numbers = [f"{found.error:.3f}", f"{found.bias:+.3f}", f"{found.slope:.2f}", f"{found.correlation:.2f}"]
    return [str(len(rows)), points(_mean(disc)), points(cup), nothing, *numbers]


def _mean(values: Sequence[float]) -> float:
    known = [value for value in values if not math.isnan(value)]
    return sum(known) / len(known) if known else math.nan


def _ratios(rows: Rows) -> tuple[list[float], list[float]]:
    """Predicted and true ratios of the photographs whose label shows disc and cup; 0 where no disc was found."""
    known = [row for row in rows if row["vcdr_true"]]
    return [float(row["vcdr"] or 0) for row in known], [float(row["vcdr_true"]) for row in known]


def _relative(figure: Path, page: Path) -> str:
    return Path(os.path.relpath(figure, page.parent)).as_posix()


if __name__ == "__main__":
    main()
