"""Stages in this process, by their real configs, with a network small enough for a test."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import torch
from monai.bundle import ConfigWorkflow

from bundle.errors import SomeUnreadableError, bare_call_errors
from bundle.stages import BUNDLE_ROOT, STAGES

TINY: dict[str, Any] = {
    "network_def#backbone": "efficientnet-lite0-small",
    "network_def#decoder_channels": [16, 16, 8, 8],
    "image_size": 64,
}
"""Keys of every config that make its network that of the ``network`` fixture."""
TINY_CROPS = TINY | {"view": "crop"}
"""For photographs that are crops, as made-up ones mostly are."""

_RUN_IDS = {config: stage for stage, config in STAGES.items()}


def workflow(config: str, *overlays: str, **overrides: Any) -> ConfigWorkflow:
    """The workflow of a config and of what is laid over it (file names without suffix), not yet initialised."""
    return ConfigWorkflow(
        config_file=[str(BUNDLE_ROOT / "configs" / f"{name}.json") for name in (config, *overlays)],
        meta_file=str(BUNDLE_ROOT / "configs" / "metadata.json"),
        logging_file=str(BUNDLE_ROOT / "configs" / "logging.conf"),
        workflow_type="train" if config == "train" else "inference",
        run_id=_RUN_IDS[config],
        bundle_root=str(BUNDLE_ROOT),
        **overrides,
    )


def run(config: str, dataset_dir: str | Path, output_dir: str | Path, **overrides: Any) -> int:
    """Run a stage, with few steps and unwatched unless the overrides say otherwise, and return its exit status."""
    settings = TINY | ({"pretrained": False, "batch_size": 4} if config == "train" else {"view": "crop"})
    if config == "adapt":
        settings |= {"recipes#plus#max_epochs": 3, "recipes#plus#least_steps": 0, "track_photographs": 0}
    settings |= overrides
    stage = workflow(config, dataset_dir=str(dataset_dir), output_dir=str(output_dir), **settings)
    try:
        with bare_call_errors():
            stage.initialize()
            stage.run()
    except SomeUnreadableError:
        return 1
    return 0


def weights(folder: str | Path) -> dict[str, torch.Tensor]:
    """What a stage wrote to ``model.pt``."""
    return torch.load(Path(folder) / "model.pt", weights_only=True)


def same_weights(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    """Whether two state dicts are equal to the last bit."""
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


def rows(path: str | Path) -> list[dict[str, str]]:
    """A CSV file's rows."""
    with Path(path).open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))
