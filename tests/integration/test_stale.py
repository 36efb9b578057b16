"""What a stage left under other settings is never used: the result is that of a run in an empty folder."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from bundle.handlers.checkpoint import ResumableCheckpoint
from bundle.io.records import Records
from bundle.networks.unet import DiscCupUNet
from bundle.networks.weights import save_weights
from bundle.settings import SETTINGS
from bundle.stages import BUNDLE_ROOT, STAGES, run_stage
from bundle.synthetic.phantoms.photographs import write_dataset

SMALL = {"network_def#backbone": "efficientnet-lite0-small", "network_def#decoder_channels": [16, 16, 8, 8]}
COMMON: dict[str, Any] = {**SMALL, "image_size": 32, "view": "crop", "logging_file": False}
BASE: dict[str, dict[str, Any]] = {
    "training": {"quiet": True, "max_epochs": 2, "val_interval": 1, "batch_size": 2, "pretrained": False},
    "refinement": {"quiet": True, "batch_size": 2, "passes": 2},
    "adaptation": {"quiet": True, "batch_size": 2, "passes": 2, "recipe": "grad_cl", "track_photographs": 0},
    "evaluation": {},
    "inference": {"quiet": True},
}
EVERYWHERE: dict[str, Any] = {
    "checkpoint": "other.pt",
    "dataset_dir": "other",
    "view": "photograph",
    "disc_share": 0.4,
    "image_size": 64,
    "dropout": 0.5,
}
REFINING: dict[str, Any] = {
    "batch_size": 3,
    "seed": 1,
    "statistics": 0.5,
    "passes": 3,
    "label_threshold": 0.3,
    "uncertainty_threshold": 0.2,
    "uncertainty": "prob+cam",
    "gradient_features#mode": "hires",
}
CHANGES: dict[str, dict[str, Any]] = {
    "training": EVERYWHERE
    | {"label_format": "refuge", "validation_fraction": 0.4, "batch_size": 3, "max_epochs": 3, "warmup_epochs": 1}
    | {"val_interval": 2, "learning_rate": 0.01, "weight_decay": 0.1, "pretrained": True, "seed": 1}
    | {"train#cup_size#prob": 1.0, "optimizer#betas": [0.8, 0.9], "loss#lambda_dice": 2.0, "average#momentum": 0.5},
    "refinement": EVERYWHERE | REFINING,
    "adaptation": EVERYWHERE
    | REFINING
    | {"recipe": "dpl", "measured_photographs": 1, "loss_limit": 1e-9, "collapse": 0.99, "least_disc": 0.9}
    | {"recipes#grad_cl#learning_rate": 0.01, "recipes#grad_cl#max_epochs": 3, "recipes#grad_cl#trainable": "all"}
    | {"train#losses#separation#margin": 0.5, "train#optimizer#betas": [0.5, 0.9]}
    | {"train#augmentations#strong": []},
    "evaluation": EVERYWHERE | {"label_format": "refuge"},
    "inference": EVERYWHERE
    | {"max_uncertainty": 0.5, "uncertainty_scale": 0.5, "min_confidence": 1.0, "min_sharpness": 9.0}
    | {"max_distance": 0.0, "guess_eye": False, "rim_sector": 90, "mask_format": "nifti"}
    | {"interval_coverage": 0.5, "max_disc_uncertainty": 0.9, "quality#min_brightness": 0.9},
}
# Where results go and how they are made, not what they are. The cup's prior belongs to another recipe's estimate.
NEUTRAL = {"bundle_root", "output_dir", "model_file", "quiet", "device", "num_workers", "cache_num", "resume"}
NEUTRAL |= {"track_photographs", "track_interval"}
OF_OTHER_RECIPES = {"source_cup_share", "least_cup_shift"}
# Corrected photographs are tried in test_few_labels.
OF_OTHER_RECIPES |= {"few_labels", "label_format", "reader"}
# DICOM files bear the time at which they were made; test_resume tries these.
OF_OTHER_RECIPES |= {"report_format", "keep_study"}


def config(stage: str) -> dict[str, Any]:
    return json.loads((BUNDLE_ROOT / "configs" / f"{STAGES[stage]}.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("stage", STAGES)
def test_every_setting_is_tried(stage):
    own = {key for key in config(stage) if key in SETTINGS}
    left = {key for key in CHANGES[stage] if "#" not in key} | NEUTRAL | OF_OTHER_RECIPES
    assert own <= left, own - left


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two folders of four crops with the same names, and two models."""
    folder = tmp_path_factory.mktemp("world")
    for name, seed in (("data", 0), ("other", 50)):
        write_dataset(folder / name, 4, kind="crop", size=64, seed=seed)
        for path in (folder / name / "label").iterdir():
            label = np.asarray(Image.open(path))
            refuge = folder / f"{name}_refuge"
            (refuge / "label").mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.choose(label, [255, 128, 0]).astype(np.uint8)).save(refuge / "label" / path.name)
        shutil.copytree(folder / name / "image", folder / f"{name}_refuge" / "image")
    for name, seed in (("model.pt", 0), ("other.pt", 1)):
        torch.manual_seed(seed)
        network = DiscCupUNet(backbone="efficientnet-lite0-small", decoder_channels=(16, 16, 8, 8))
        torch.nn.init.normal_(network.segmentation_head[-1].weight, std=2.0)  # type: ignore[arg-type]
        save_weights(network, folder / name)
    return folder


def run(stage: str, world: Path, output: Path, **changes: Any) -> None:
    folder = "data_refuge" if changes.get("label_format") == "refuge" else "data"
    settings = {"dataset_dir": str(world / folder), "checkpoint": str(world / "model.pt"), **COMMON, **BASE[stage]}
    for name in ("dataset_dir", "checkpoint"):
        if name in changes:
            changes[name] = str(world / changes[name])
    run_stage(stage, output_dir=str(output), **{**settings, **changes})


class Stop(KeyboardInterrupt):
    """Ends a stage as Ctrl-C does."""


def stop_after(calls: int, method: Callable[..., Any]) -> Callable[..., Any]:
    """``method``, but its call number ``calls`` is the last thing that happens."""
    count = 0

    def stopping(*args: Any, **kwargs: Any) -> Any:
        nonlocal count
        result = method(*args, **kwargs)
        count += 1
        if count == calls:
            raise Stop
        return result

    return stopping


@pytest.fixture(scope="module")
def left_behind(world: Path, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    """What each stage leaves under the base settings: refinement when done, the others when stopped half-way."""
    folders = {stage: tmp_path_factory.mktemp("left") / stage for stage in STAGES}
    for stage, folder in folders.items():
        if stage == "refinement":
            run(stage, world, folder)
            continue
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(ResumableCheckpoint, "save", stop_after(1, ResumableCheckpoint.save))
            patch.setattr(Records, "save", stop_after(2, Records.save))
            with pytest.raises(Stop):
                run(stage, world, folder)
        assert any(folder.rglob("*")), stage
    return folders


def contents(folder: Path) -> dict[str, Any]:
    """What a stage gave, by file."""
    found: dict[str, Any] = {}
    for path in sorted(folder.rglob("*")):
        if path.is_dir() or "events" in path.parts or path.name.startswith(".fundus."):
            continue
        name = path.relative_to(folder).as_posix()
        if path.suffix == ".npz":
            with np.load(path) as arrays:
                found[name] = {key: arrays[key].tobytes() for key in arrays.files}
        else:
            found[name] = path.read_bytes()
    return found


@pytest.mark.parametrize(
    ("stage", "key"), [(stage, key) for stage in STAGES for key in CHANGES[stage]], ids=lambda value: str(value)
)
def test_a_changed_setting_gives_what_a_fresh_run_gives(stage, key, world, left_behind, tmp_path):
    change = {key: CHANGES[stage][key]}
    shutil.copytree(left_behind[stage], tmp_path / "used")
    if stage == "adaptation":
        # Pseudo-labels of the refinement stage lie in the same folder too, as the contract allows.
        ours = shutil.ignore_patterns(".fundus.*")
        shutil.copytree(left_behind["refinement"], tmp_path / "used", dirs_exist_ok=True, ignore=ours)
    run(stage, world, tmp_path / "used", **change)
    run(stage, world, tmp_path / "fresh", **change)
    used, fresh = contents(tmp_path / "used"), contents(tmp_path / "fresh")
    if stage == "adaptation":
        # What the refinement stage wrote for its own readers is no input of a recipe without pseudo-labels.
        used = {name: value for name, value in used.items() if name in fresh or name != "refinement.csv"}
    assert used.keys() == fresh.keys()
    assert [name for name in fresh if used[name] != fresh[name]] == []
