"""What the locator is trained on: views of all sizes and places, clutter, and never the camera that is adapted to."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser
from PIL import Image

from bundle.errors import CallError
from bundle.locator.search import load_locator
from bundle.locator.training import EXAMPLE_KINDS, RandDiscViewd, write_examples
from bundle.stages import BUNDLE_ROOT
from bundle.synthetic.phantoms.photographs import write_dataset
from tests.support.ellipses import picture


def test_random_views_show_the_disc_at_all_sizes_and_places() -> None:
    disc = (picture(512, 512, (380, 200, 62, 62))[:1] > 127).float()
    transform = RandDiscViewd(size=128, share=(0.1, 0.9), zoom=(0.5, 4.0), away=0.0)
    transform.set_random_state(1)
    diameters, centres = [], []
    for _ in range(60):
        view = transform({"image": disc.expand(3, -1, -1) * 255, "label": disc})
        assert view["image"].shape == (3, 128, 128)
        assert set(view["label"].unique().tolist()) <= {0.0, 1.0}
        assert ((view["image"][0] > 127) == (view["label"][0] > 0)).float().mean() > 0.97
        inside = torch.nonzero(view["label"][0])
        if len(inside):
            diameters.append(2 * math.sqrt(len(inside) / math.pi) / 128)
            centres.append(inside.float().mean(dim=0).numpy() / 128)
    assert len(diameters) > 55
    assert min(diameters) < 0.13
    assert max(diameters) > 0.35
    assert np.ptp(centres, axis=0).min() > 0.6


def test_random_views_repeat_with_their_seed_and_may_show_no_disc() -> None:
    disc = (picture(256, 256, (60, 60, 40, 40))[:1] > 127).float()
    transform = RandDiscViewd(size=64, away=1.0)
    labels = []
    for _ in range(2):
        transform.set_random_state(3)
        labels.append(torch.stack([transform({"image": disc, "label": disc})["label"] for _ in range(20)]))
    assert torch.equal(labels[0], labels[1])
    assert 0 < (labels[0].sum(dim=(1, 2, 3)) == 0).sum() < 20


def test_examples_are_written_once_with_labels(tmp_path: Path) -> None:
    counts = dict.fromkeys(EXAMPLE_KINDS, 2)
    items = write_examples(tmp_path, counts, size=96)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.png")}
    assert len(items) == 8
    assert len(before) == 16
    for item in items:
        image, label = np.asarray(Image.open(item["image"])), np.asarray(Image.open(item["label"]))
        assert image.shape == (*label.shape, 3)
        assert (label > 0).any() == item["name"].startswith(("photograph", "crop"))
    assert [item["weight"] for item in items] == [1 / 8] * 8
    removed = Path(items[-1]["label"])
    removed.unlink()
    assert write_examples(tmp_path, counts, size=96) == items
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.png")} == before
    with pytest.raises(CallError, match="clouds"):
        write_examples(tmp_path, {"clouds": 1})


def overrides(folder: Path) -> dict[str, Any]:
    return {
        "bundle_root": str(BUNDLE_ROOT),
        "dataset_dir": str(folder),
        "output_dir": str(folder / "out"),
        "sources": {"set": {}},
        "validation_sources": {"set": {}},
        "examples": {"clutter": 1, "no_disc": 1},
        "example_size": 96,
        "image_size": 64,
        "batch_size": 2,
        "epoch_size": 4,
        "max_epochs": 1,
        "warmup_epochs": 0,
        "val_interval": 1,
        "pretrained": False,
        "device": "$torch.device('cpu')",
    }


def test_the_config_trains_a_network_that_the_locator_loads(tmp_path: Path) -> None:
    write_dataset(tmp_path / "set", 3, kind="photograph", size=(128, 96))
    parser = ConfigParser()
    parser.read_config([str(BUNDLE_ROOT / "configs" / name) for name in ("train.json", "train_locator.json")])
    parser.update(overrides(tmp_path))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        untrained = {name: value.clone() for name, value in parser.get_parsed_content("network").state_dict().items()}
        parser.get_parsed_content("training")
    finally:
        torch.set_num_threads(threads)
    stored = torch.load(tmp_path / "out" / "model.pt", weights_only=True)
    assert stored.keys() == untrained.keys()
    assert any(not torch.equal(stored[name], value) for name, value in untrained.items() if "segmentation" in name)
    assert not (tmp_path / "out" / "resume.pt").exists()
    assert load_locator(tmp_path / "out" / "model.pt", size=64).network.training is False


def test_the_config_never_trains_on_the_camera_that_is_adapted_to() -> None:
    config = json.loads((BUNDLE_ROOT / "configs" / "train_locator.json").read_text(encoding="utf-8"))
    assert not any("drishti" in source for source in [*config["sources"], *config["validation_sources"]])
    assert not set(config["sources"]) & set(config["validation_sources"])
