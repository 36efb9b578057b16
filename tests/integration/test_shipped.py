"""The shipped weights, on pictures that the project makes or a dependency ships."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import skimage
import torch
from PIL import Image

from bundle.networks.unet import DiscCupUNet
from bundle.networks.weights import load_weights
from bundle.stages import BUNDLE_ROOT, run_stage
from bundle.synthetic.cameras import CAMERA_STYLES
from bundle.synthetic.phantoms.photographs import make_crop, make_photograph

# What scikit-image ships inside its package and is no fundus photograph, or is one without a disc (the last).
NO_DISC: tuple[str, ...] = (
    "astronaut",
    "brick",
    "camera",
    "cat",
    "cell",
    "clock",
    "coffee",
    "coins",
    "grass",
    "gravel",
    "horse",
)
NO_DISC += ("hubble_deep_field", "immunohistochemistry", "logo", "moon", "page", "rocket", "text", "microaneurysms")


def dice(a, b):
    return 2 * (a & b).sum() / (a.sum() + b.sum())


def segment(folder, output):
    """Masks by stem and report rows by image, of one inference run."""
    assert run_stage("inference", dataset_dir=str(folder), output_dir=str(output)) == 0
    with (output / "report.csv").open(newline="", encoding="utf-8") as file:
        rows = {Path(row["image"]).stem: row for row in csv.DictReader(file)}
    return {file.stem: np.asarray(Image.open(file)) for file in (output / "masks").iterdir()}, rows


@pytest.fixture(scope="module")
def segmented(tmp_path_factory):
    """Phantoms of every camera, whole and cropped, the real photograph, and what shows no disc: one run for all."""
    folder = tmp_path_factory.mktemp("shipped")
    labels = {}
    for i, camera in enumerate(CAMERA_STYLES):
        for kind, phantom in (
            ("crop", make_crop(40 + i, camera=camera)),
            ("photograph", make_photograph(50 + i, camera=camera, size=(900, 700))),
        ):
            Image.fromarray(phantom.image).save(folder / f"{kind}_{camera}.png")
            labels[f"{kind}_{camera}"] = phantom.label
        without = make_photograph(60 + i, camera=camera, size=(900, 700), visible_disc=False)
        Image.fromarray(without.image).save(folder / f"without_{camera}.png")
    Image.fromarray(skimage.data.retina()).save(folder / "retina.jpg", quality=95)
    return labels, *segment(folder, folder / "out")


def test_discs_of_phantoms_are_found(segmented):
    labels, masks, _ = segmented
    scores = {name: dice(masks[name] >= 1, label >= 1) for name, label in labels.items()}
    assert min(scores.values()) > 0.85, scores
    assert np.mean(list(scores.values())) >= 0.9, scores


def test_the_disc_of_the_real_photograph_is_found(segmented):
    _, masks, rows = segmented
    mask, row = masks["retina"], rows["retina"]
    assert mask.shape == (1411, 1411)
    # Read off the photograph by eye.
    assert np.hypot(float(row["disc_x"]) - 225, float(row["disc_y"]) - 655) < 50
    assert 150 < float(row["disc_height_px"]) < 260


def test_a_retina_without_a_disc_gets_no_contour(segmented):
    _, masks, rows = segmented
    for camera in CAMERA_STYLES:
        assert rows[f"without_{camera}"]["status"] == "no_disc"
        assert not masks[f"without_{camera}"].any()


def test_what_is_no_fundus_gets_no_contour(tmp_path):
    (tmp_path / "in").mkdir()
    rng = np.random.default_rng(0)
    pictures = {"black": np.zeros((300, 400, 3), np.uint8), "noise": rng.integers(0, 256, (300, 400, 3), np.uint8)}
    pictures |= {name: getattr(skimage.data, name)() for name in NO_DISC}
    for name, pixels in pictures.items():
        Image.fromarray(pixels).save(tmp_path / "in" / f"{name}.png")
    masks, rows = segment(tmp_path / "in", tmp_path / "out")
    assert [name for name, row in rows.items() if row["status"] != "no_disc"] == []
    assert not any(mask.any() for mask in masks.values())


def test_the_network_scripts(tmp_path):
    network = load_weights(DiscCupUNet(decoder_channels=(128, 96, 64, 40, 24)), BUNDLE_ROOT / "models" / "model.pt")
    network.eval()
    torch.jit.script(network).save(tmp_path / "model.ts")
    image = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.allclose(torch.jit.load(tmp_path / "model.ts")(image), network(image), atol=1e-5)


def test_weights_are_within_their_limits():
    models = BUNDLE_ROOT / "models"
    assert (models / "model.pt").stat().st_size <= 20e6
    assert (models / "locator.pt").stat().st_size <= 8e6


def test_a_stage_finds_its_weights_from_another_folder(tmp_path, monkeypatch):
    (tmp_path / "in").mkdir()
    Image.fromarray(make_crop(1, size=128).image).save(tmp_path / "in" / "a.png")
    monkeypatch.chdir(tmp_path)
    assert run_stage("inference", dataset_dir="in", output_dir="out") == 0
    assert (tmp_path / "out" / "masks" / "a.png").is_file()
