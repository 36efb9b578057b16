"""``load``, ``segment`` and ``adapt`` give what the commands give, in memory, and fail in words."""

from __future__ import annotations

import csv
import inspect
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from bundle import adapt, load, segment
from bundle.networks.unet import DiscCupUNet
from bundle.stages import BUNDLE_ROOT, run_stage
from bundle.synthetic.phantoms.photographs import make_crop, make_photograph, write_dataset

TINY = {"network_def#backbone": "efficientnet-lite0-small", "network_def#decoder_channels": [16, 16, 8, 8]}


@pytest.fixture(scope="module")
def model():
    return load()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A crop, a wide photograph in a subfolder, one without a disc, and a file that cannot be read."""
    folder = tmp_path_factory.mktemp("photographs")
    (folder / "ward").mkdir()
    Image.fromarray(make_crop(3, size=(160, 128)).image).save(folder / "crop.png")
    Image.fromarray(make_photograph(17, size=(400, 300)).image).save(folder / "ward" / "whole.png")
    Image.fromarray(np.zeros((64, 80, 3), np.uint8)).save(folder / "black.png")
    (folder / "broken.png").write_bytes(b"")
    return folder


@pytest.fixture(scope="module")
def results(folder, model):
    return segment(folder, model)


@pytest.fixture(scope="module")
def command(folder, tmp_path_factory):
    """Folder that the stage wrote for the same photographs."""
    output = tmp_path_factory.mktemp("command")
    assert run_stage("inference", dataset_dir=str(folder), output_dir=str(output)) == 1
    return output


def table(path):
    with path.open(newline="", encoding="utf-8") as file:
        return {row["image"]: row for row in csv.DictReader(file)}


def test_masks_are_the_command_s_pixel_for_pixel(results, command):
    drawn = {result.image: result.label for result in results if result.label is not None}
    assert set(drawn) == {"crop.png", "ward/whole.png", "black.png"}
    for name, label in drawn.items():
        mask = np.asarray(Image.open(command / "masks" / f"{Path(name).stem}.png"))
        assert label.dtype == np.uint8
        np.testing.assert_array_equal(label, mask)
    assert drawn["ward/whole.png"].shape == (300, 400)
    assert drawn["ward/whole.png"].max() == 2


def test_what_is_said_of_each_photograph_is_the_command_s(results, command):
    report, rims = table(command / "report.csv"), table(command / "measurements.csv")
    assert [result.image for result in results] == sorted(report)
    assert {result.status for result in results} >= {"no_disc", "unreadable"}
    for result in results:
        row = report[result.image]
        assert (result.status, result.reason) == (row["status"], row["reason"])
        for key in ("vcdr", "hcdr", "area_cdr", "disc_x", "disc_y", "disc_height_px", "cup_height_px"):
            stated = float(row[key]) if row[key] else np.nan
            assert getattr(result.measurements, key) == pytest.approx(stated, abs=0.0051, nan_ok=True)
        uncertainty = float(row["uncertainty"]) if row["uncertainty"] else np.nan
        assert result.uncertainty == pytest.approx(uncertainty, abs=6e-5, nan_ok=True)
        width = rims[result.image]["rim_inferior_px"]
        assert result.rims.inferior == pytest.approx(float(width) if width else np.nan, abs=0.0051, nan_ok=True)
        assert result.rims.laterality.eye == rims[result.image]["laterality"]


def test_a_file_that_cannot_be_read_is_a_result(results):
    (broken,) = [result for result in results if result.status == "unreadable"]
    assert broken.image == "broken.png"
    assert broken.label is None
    assert "empty" in broken.reason
    assert np.isnan(broken.uncertainty)


def test_arrays_files_and_a_folder_give_the_same(folder, results, model, tmp_path, monkeypatch):
    """In the order in which they are given, and nothing is written."""
    monkeypatch.chdir(tmp_path)
    files = [folder / "ward" / "whole.png", folder / "broken.png", folder / "crop.png"]
    by_name = {result.image: result for result in results}
    expected = [by_name[name] for name in ("ward/whole.png", "broken.png", "crop.png", "crop.png")]
    given = segment((*files, np.asarray(Image.open(files[2]))), model)
    assert [result.image for result in given] == [*map(str, files), "3"]
    assert [result.status for result in given] == [result.status for result in expected]
    for one, other in zip(given, expected, strict=True):
        assert (one.label is None) == (other.label is None)
        if one.label is not None:
            np.testing.assert_array_equal(one.label, other.label)
            assert one.measurements == other.measurements
            assert one.uncertainty == other.uncertainty
    assert list(tmp_path.iterdir()) == []


def test_one_photograph_needs_no_list_and_grey_is_colour(folder, model):
    grey = make_crop(3, size=(160, 128)).image[..., 1]
    (flat,), (stacked,) = segment(grey, model), segment(np.repeat(grey[..., None], 3, axis=2), model)
    assert flat.label is not None
    np.testing.assert_array_equal(flat.label, stacked.label)
    assert flat.label.shape == (128, 160)
    (single,) = segment(str(folder / "crop.png"), model)
    assert single.image == str(folder / "crop.png")
    assert segment([], model) == []


def test_settings_are_the_config_s(folder, model):
    (sure,) = segment(folder / "crop.png", model, view="crop", max_uncertainty=1.0)
    (unsure,) = segment(folder / "crop.png", model, view="crop", max_uncertainty=0.0)
    assert sure.uncertainty == unsure.uncertainty > 0
    assert unsure.status == "review"
    assert "uncertain" not in sure.reason


def test_another_model_segments_otherwise(folder, model, tmp_path):
    state = {key: value * 0.5 if "segmentation_head" in key else value for key, value in
             torch.load(model.checkpoint, weights_only=True).items()}  # fmt: skip
    torch.save(state, tmp_path / "model.pt")
    (one,), (other,) = (segment(folder / "crop.png", which) for which in (model, load(tmp_path / "model.pt")))
    assert one.uncertainty < other.uncertainty
    assert str(model) != str(load(tmp_path / "model.pt"))


def test_adapting_is_the_command_s_and_its_model_segments(tmp_path):
    write_dataset(tmp_path / "target", 4, kind="crop", cameras=("tight_red",), size=96, seed=3)
    torch.manual_seed(3)
    start = DiscCupUNet(backbone="efficientnet-lite0-small", decoder_channels=(16, 16, 8, 8))
    torch.save(start.state_dict(), tmp_path / "start.pt")
    settings: dict[str, Any] = TINY | {"view": "crop", "image_size": 64, "seed": 5}
    source = load(tmp_path / "start.pt", **TINY)
    adapted = adapt(tmp_path / "target", tmp_path / "door", "bn", source, **settings)
    folders: dict[str, Any] = {"dataset_dir": str(tmp_path / "target"), "output_dir": str(tmp_path / "command")}
    run_stage("adaptation", recipe="bn", checkpoint=str(tmp_path / "start.pt"), **folders, **settings)
    expected = torch.load(tmp_path / "command" / "model.pt", weights_only=True)
    state = adapted.model.network.state_dict()
    assert all(torch.equal(state[key], expected[key]) for key in expected)
    assert any(not torch.equal(state[key], value) for key, value in source.network.state_dict().items())
    assert adapted.record["recipe"] == "bn"
    assert adapted.record["seed"] == 5
    assert adapted.record == json.loads((tmp_path / "command" / "adaptation.json").read_text())
    (result,) = segment(make_crop(8, size=96).image, adapted.model, view="crop", image_size=64)
    assert result.label is not None
    assert result.label.shape == (96, 96)


def test_the_default_recipe_is_the_config_s():
    config = json.loads((BUNDLE_ROOT / "configs" / "adapt.json").read_text(encoding="utf-8"))
    assert inspect.signature(adapt).parameters["recipe"].default == config["recipe"]


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda model, folder: load(folder / "no.pt"), "no.pt does not exist"),
        (lambda model, folder: load(setting=1), "no key 'setting'"),
        (lambda model, folder: load(network="$1"), "network is no setting"),
        (lambda model, folder: segment(folder / "nowhere", model), "no file or folder .*nowhere"),
        (lambda model, folder: segment(folder, model, views="crop"), "no key 'views'"),
        (lambda model, folder: segment(folder, model, **{"viewer#size": 1}), "no key 'viewer#size'"),
        (lambda model, folder: segment(folder, model, view="sideways"), "sideways"),
        (lambda model, folder: segment(folder, model, output_dir="x"), "output_dir is no setting"),
        (lambda model, folder: segment(np.zeros((64, 64, 3)), model), "float64"),
        (lambda model, folder: segment(np.zeros((3, 64, 64), np.uint8), model), r"\(3, 64, 64\)"),
        (lambda model, folder: segment(np.zeros((64, 8), np.uint8), model), "at least 16"),
        (lambda model, folder: adapt(folder, folder / "out", "magic"), "magic"),
        (lambda model, folder: adapt(folder, folder / "out", epochs=3), "no key 'epochs'"),
    ],
)
def test_wrong_calls_raise_what_scripts_can_catch(call, words, model, folder):
    with pytest.raises(ValueError, match=words) as caught:
        call(model, folder)
    assert "\n" not in str(caught.value)
    assert not str(caught.value).startswith("error:")
    # A call of the config's is told as itself, without what MONAI wrapped around it.
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_the_page_shows_what_the_example_prints(tmp_path):
    page = (BUNDLE_ROOT / "docs" / "how-to" / "use_from_python.md").read_text(encoding="utf-8")
    example = BUNDLE_ROOT / "docs" / "how-to" / "python_example.py"
    (shown,) = re.findall(r"python docs/how-to/python_example.py\n```\n```text\n(.*?)```", page, re.S)
    done = subprocess.run([sys.executable, str(example)], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    printed = done.stdout
    number = re.compile(r"\d\.\d\d")
    assert number.sub("#", printed) == number.sub("#", shown)
    # Another machine may round the last digit otherwise.
    assert [float(n) for n in number.findall(printed)] == pytest.approx(
        [float(n) for n in number.findall(shown)], abs=0.011
    )
