"""Training on several data sets at once, of which some show the disc alone and some are not labelled."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

import pytest
import torch
from PIL import Image

from bundle.benchmark import cameras
from bundle.errors import CallError
from bundle.stages import BUNDLE_ROOT, run_stage
from bundle.synthetic.phantoms.photographs import write_dataset

CONFIGS = [str(BUNDLE_ROOT / "configs" / name) for name in ("train.json", "train_many.json")]
SOURCES = {
    "crops": {"share": 0.5, "held_out": 0.3},
    "whole": {"share": 0.3, "structures": "disc"},
    "plain": {"share": 0.2, "structures": "none"},
}
TINY: dict[str, Any] = {
    "sources": SOURCES,
    "image_size": 64,
    "batch_size": 4,
    "epoch_size": 8,
    "max_epochs": 1,
    "warmup_epochs": 0,
    "val_interval": 1,
    "pretrained": False,
    "quiet": True,
    "device": "$torch.device('cpu')",
    "logging_file": False,
}


@pytest.fixture
def data(tmp_path):
    write_dataset(tmp_path / "crops", 6, kind="crop", size=64)
    write_dataset(tmp_path / "whole", 3, kind="photograph", size=(128, 96))
    write_dataset(tmp_path / "plain", 3, kind="crop", size=64, seed=9)
    return tmp_path


def test_labels_of_the_disc_and_none_at_all_train_one_network(data):
    # The labels of the unlabelled set cannot be read, and so were not.
    for path in (data / "plain" / "label").iterdir():
        path.write_bytes(b"")
    assert run_stage("training", config_file=CONFIGS, dataset_dir=str(data), output_dir=str(data / "out"), **TINY) == 0
    assert all(torch.isfinite(value.float()).all() for value in torch.load(data / "out" / "model.pt").values())
    scores = json.loads((data / "out" / "metrics.json").read_text(encoding="utf-8"))
    assert scores["images"] == 2


def test_other_sources_and_another_left_out_camera_resume_nothing(data):
    parts = []
    for change in ({}, {"leave_out": "plain"}, {"teacher_confidence": 0.9}):
        workflow: list[str] = []
        settings = {**TINY, **change, "max_epochs": 1}
        with pytest.raises(RuntimeError, match="enough"):
            run_stage(
                "training",
                config_file=CONFIGS,
                dataset_dir=str(data),
                output_dir=str(data / "out"),
                ready=partial(_read, found=workflow),
                **settings,
            )
        parts += workflow
    assert len(set(parts)) == 3


def _read(workflow, found):
    found.append(workflow.parser.get_parsed_content("train#fingerprint"))
    raise RuntimeError("enough")


def test_a_misspelt_setting_of_a_source_is_a_wrong_call(data):
    settings = {**TINY, "sources": {"crops": {"weight": 1}}}
    with pytest.raises(CallError, match="source crops"):
        run_stage("training", config_file=CONFIGS, dataset_dir=str(data), output_dir=str(data / "out"), **settings)
    assert not (data / "out").exists()


def test_the_page_of_cameras_left_out_shows_what_was_scored(tmp_path, monkeypatch):
    rows = ["image,optic_disc_dice,optic_cup_dice,vcdr,vcdr_true"]
    rows += [f"eye{n},0.9,0.8,{0.4 + n / 10},{0.5 + n / 10}" for n in range(3)]
    scored = cameras.CAMERAS["drishti_gs"][0]
    folder = tmp_path / "scores" / scored.folder.replace("/", "_") / "without"
    folder.mkdir(parents=True)
    (folder / "metrics.csv").write_text("\n".join(rows))
    cameras.main(["--data", str(tmp_path), "--output", str(tmp_path), "--steps", "page"])
    page = (tmp_path / "cameras.md").read_text(encoding="utf-8")
    line = next(line for line in page.splitlines() if scored.what in line)
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    assert cells[2:] == ["3", "90.00", "80.00", "0", "0.100", "-0.100", "1.00", "1.00"]
    with Image.open(tmp_path / "cameras_drishti_gs_fullframe_train.png") as figure:
        assert min(figure.size) > 300


def test_no_label_is_at_hand_while_a_model_adapts_to_the_camera_left_out(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(cameras, "stage", lambda name, **settings: asked.append((name, settings)))
    scored = cameras.CAMERAS["palm"][0]
    cameras.adapt_and_score(scored, tmp_path / "m.pt", tmp_path / "data", tmp_path / "out")
    (adapting, settings), (scoring, others) = asked
    assert (adapting, scoring) == ("adaptation", "evaluation")
    assert settings["dataset_dir"].endswith("palm_fullframe/train/image")
    assert "items" not in settings
    assert others["items"]["held_out"]
    assert others["checkpoint"].endswith("adapted/model.pt")
