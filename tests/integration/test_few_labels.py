"""Adaptation with a few corrected photographs."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from bundle.errors import CallError
from bundle.report.model_in_words import model_in_words
from bundle.synthetic.phantoms.photographs import write_dataset
from tests.support.stages import run, weights

FEW = {"with_few_labels#least_steps": 0, "recipes#plus#max_epochs": 2}


@pytest.fixture
def camera(tmp_path):
    """Four photographs of a camera, two of them corrected, apart from their true labels, which nobody may read."""
    write_dataset(tmp_path / "all", 4, kind="crop", size=64)
    shutil.copytree(tmp_path / "all" / "image", tmp_path / "camera")
    for path in sorted((tmp_path / "all" / "image").iterdir())[:2]:
        for kind in ("image", "label"):
            (tmp_path / "few" / kind).mkdir(parents=True, exist_ok=True)
            shutil.copy(tmp_path / "all" / kind / path.name, tmp_path / "few" / kind / path.name)
    return tmp_path


@pytest.fixture
def checkpoint(network, tmp_path):
    torch.save(network.state_dict(), tmp_path / "source.pt")
    return tmp_path / "source.pt"


def adapt(camera, out, checkpoint, **settings):
    few = {"few_labels": str(camera / "few")} if "few_labels" not in settings else {}
    settings = {"with_few_labels#least_steps": 0, "recipes#plus#max_epochs": 2, "quiet": True, **few, **settings}
    return run("adapt", camera / "camera", camera / out, checkpoint=str(checkpoint), **settings)


def same(one, other):
    return all(torch.equal(one[name], other[name]) for name in one)


def test_corrected_photographs_move_the_weights_and_the_record_names_them(camera, checkpoint):
    assert adapt(camera, "with", checkpoint) == 0
    record = json.loads((camera / "with" / "adaptation.json").read_text(encoding="utf-8"))
    assert record["few_labels"] == sorted(path.stem for path in (camera / "few" / "label").iterdir())
    assert record["settings"]["losses"] == {"class_balanced": 1.0, "few_labels": 1.0}
    for path in (camera / "few" / "label").iterdir():
        Image.fromarray(np.roll(np.asarray(Image.open(path)), 8, axis=1)).save(path)
    assert adapt(camera, "other", checkpoint) == 0
    assert not same(weights(camera / "with"), weights(camera / "other"))


def test_the_same_call_gives_the_same_weights(camera, checkpoint):
    for out in ("one", "two"):
        assert adapt(camera, out, checkpoint) == 0
    assert same(weights(camera / "one"), weights(camera / "two"))


def test_without_corrected_photographs_no_label_is_read(camera, checkpoint, monkeypatch):
    from bundle.data.label_reader import LabelReader

    monkeypatch.setattr(LabelReader, "get_data", lambda *_: pytest.fail("a label was read"))
    shutil.copytree(camera / "all" / "label", camera / "camera" / "label")
    assert adapt(camera, "blind", checkpoint, few_labels=None) == 0
    record = json.loads((camera / "blind" / "adaptation.json").read_text(encoding="utf-8"))
    assert record["few_labels"] == []
    assert "few_labels" not in record["settings"]["losses"]


def test_a_label_of_another_size_is_told_and_costs_nothing_else(camera, checkpoint):
    path = next(iter(sorted((camera / "few" / "label").iterdir())))
    Image.open(path).resize((32, 32), Image.Resampling.NEAREST).save(path)
    assert adapt(camera, "out", checkpoint) == 1
    record = json.loads((camera / "out" / "adaptation.json").read_text(encoding="utf-8"))
    assert len(record["few_labels"]) == 1


def test_an_interrupted_run_goes_on_only_with_the_same_labels(camera, checkpoint, monkeypatch):
    from bundle.handlers.checkpoint import ResumableCheckpoint

    found = []
    monkeypatch.setattr(ResumableCheckpoint, "attach", lambda self, engine: found.append(self.fingerprint))
    adapt(camera, "one", checkpoint)
    path = next(iter(sorted((camera / "few" / "label").iterdir())))
    Image.fromarray(np.flipud(np.asarray(Image.open(path))).copy()).save(path)
    adapt(camera, "two", checkpoint)
    adapt(camera, "three", checkpoint, few_labels=None)
    assert len(set(found)) == 3


def test_a_folder_without_a_label_of_use_is_a_wrong_call(camera, checkpoint):
    for path in (camera / "few" / "label").iterdir():
        Image.new("L", (64, 64)).save(path)
    with pytest.raises(CallError, match="no label of use"):
        adapt(camera, "out", checkpoint)
    assert not (camera / "out" / "model.pt").exists()


def test_two_readers_teach_their_mean_and_one_alone_teaches_another_cup(camera, checkpoint):
    for path in sorted((camera / "few" / "label").iterdir()):
        label = np.asarray(Image.open(path))
        path.unlink()
        for name, drawn in (("anna", label), ("ben", np.where(np.roll(label, 3, axis=0) == 2, 2, label > 0))):
            (camera / "few" / "label" / name).mkdir(exist_ok=True)
            Image.fromarray(drawn.astype(np.uint8)).save(camera / "few" / "label" / name / path.name)
    drawn_by = {}
    for out, reader in (("mean", {}), ("anna", {"reader": "anna"}), ("ben", {"reader": "ben"})):
        assert adapt(camera, out, checkpoint, **reader) == 0
        drawn_by[out] = json.loads((camera / out / "adaptation.json").read_text(encoding="utf-8"))["readers"]
    assert drawn_by == {"mean": ["anna", "ben"], "anna": ["anna"], "ben": ["ben"]}
    one, other, mean = (weights(camera / out) for out in ("anna", "ben", "mean"))
    assert not same(one, other)
    assert not same(one, mean)
    assert "as anna and ben draw on average" in model_in_words(camera / "mean" / "model.pt")
    assert "with 2 corrected photographs as ben draws" in model_in_words(camera / "ben" / "model.pt")
