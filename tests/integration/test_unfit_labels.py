"""Training and evaluation with labels and photographs that are unfit: named before the first step, and left out."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from monai.bundle import ConfigParser
from PIL import Image

from bundle.errors import CallError
from bundle.networks.weights import save_weights
from bundle.stages import BUNDLE_ROOT
from bundle.synthetic.phantoms.photographs import write_dataset
from tests.support.stages import rows, run

SHORT = {"max_epochs": 1, "warmup_epochs": 0}


@pytest.fixture
def checkpoint(network, tmp_path) -> str:
    save_weights(network, tmp_path / "source.pt")
    return str(tmp_path / "source.pt")


@pytest.fixture
def source(tmp_path) -> Path:
    write_dataset(tmp_path / "in", 8, kind="crop", size=96, seed=5)
    return tmp_path / "in"


def labels(source: Path) -> list[Path]:
    return sorted((source / "label").iterdir())


def change(path: Path, values: list[int]) -> None:
    """Replace the values 0, 1 and 2 of a label."""
    Image.fromarray(np.array(values, np.uint8)[np.asarray(Image.open(path))]).save(path)


def spoil(source: Path) -> set[str]:
    """A label of another size, one with another value, and two photographs that are cut short; their names."""
    first, second, *_ = labels(source)
    Image.fromarray(np.asarray(Image.open(first))[::2, ::2]).save(first)
    change(second, [0, 1, 7])
    third, fourth = sorted((source / "image").iterdir())[-2:]
    for path in (third, fourth):
        path.write_bytes(path.read_bytes()[:400])
    return {path.stem for path in (first, second, third, fourth)}


@pytest.mark.parametrize("config", ["train", "evaluate"])
def test_all_that_is_unfit_is_named_and_left_out(config, source, checkpoint, tmp_path, capfd):
    unfit = spoil(source)
    settings = SHORT if config == "train" else {}
    assert run(config, source, tmp_path / "out", checkpoint=checkpoint, **settings) == 1
    named = [line for line in capfd.readouterr().out.splitlines() if " unreadable: " in line]
    assert len(named) == len(unfit)
    assert all(any(name in line for line in named) for name in unfit)
    if config == "train":
        assert (tmp_path / "out" / "model.pt").is_file()
    else:
        assert json.loads((tmp_path / "out" / "metrics.json").read_text())["images"] == 4
        assert not unfit & {row["image"] for row in rows(tmp_path / "out" / "metrics.csv")}


def test_training_goes_on_where_nothing_is_left_to_validate_on(source, checkpoint, tmp_path):
    label = labels(source)[0]
    change(label, [0, 1, 7])
    split = (
        f"$([i for i in @items if '{label.stem}' not in i['name']], [i for i in @items if '{label.stem}' in i['name']])"
    )
    assert run("train", source, tmp_path / "out", checkpoint=checkpoint, split=split, **SHORT) == 1
    assert (tmp_path / "out" / "model.pt").is_file()
    assert not (tmp_path / "out" / "metrics.json").exists()


def test_training_without_one_label_of_use_is_a_wrong_call(source, checkpoint, tmp_path):
    for path in labels(source):
        change(path, [0, 1, 7])
    with pytest.raises(CallError, match="not one of"):
        run("train", source, tmp_path / "out", checkpoint=checkpoint, **SHORT)


@pytest.mark.parametrize("config", ["train", "evaluate"])
def test_what_is_hardly_meant_so_is_told_and_used(config, source, checkpoint, tmp_path, capfd):
    first, second, *_ = labels(source)
    change(first, [0, 0, 2])
    change(second, [0, 2, 1])
    settings = SHORT if config == "train" else {}
    assert run(config, source, tmp_path / "out", checkpoint=checkpoint, **settings) == 0
    said = [line for line in capfd.readouterr().out.splitlines() if "bundle.data.label_checks" in line]
    assert any("without a rim" in line and str(first) in line for line in said)
    assert any("swapped" in line and str(second) in line for line in said)


@pytest.mark.parametrize("config", ["train", "evaluate"])
def test_a_set_of_swapped_labels_is_a_wrong_call(config, source, checkpoint, tmp_path):
    for path in labels(source):
        change(path, [0, 2, 1])
    with pytest.raises(CallError, match="rim lies inside the cup"):
        run(config, source, tmp_path / "out", checkpoint=checkpoint)
    assert not (tmp_path / "out" / "model.pt").exists()


def test_the_search_is_trained_on_discs_alone_and_asks_for_no_cup():
    parser = ConfigParser()
    parser.read_config([str(BUNDLE_ROOT / "configs" / f"{name}.json") for name in ("train", "train_locator")])
    assert not any("check_labels" in str(step) for step in parser["run"])
    assert any("require_one" in str(step) for step in parser["run"])
