"""The peer PVBM: its masks are read as its package reads them, scored as ours are, and its environment is made once."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from bundle.benchmark import cameras, pvbm
from bundle.benchmark.pvbm_worker import segment


class Session:
    """Calls what is brighter than half a disc, and what is brighter than three quarters a cup."""

    def get_inputs(self):
        return [SimpleNamespace(name="x")]

    def run(self, _, inputs):
        x = inputs["x"]
        assert x.shape == (1, 3, 512, 512)
        assert x.dtype == np.float32
        brightness = x[0, 0] * 0.229 + 0.485
        return [np.stack((brightness - 0.5, brightness - 0.75))[None]]


def photograph(width=300, height=200):
    pixels = np.zeros((height, width, 3), dtype=np.uint8)
    pixels[40:120, 60:200] = 160
    pixels[60:100, 90:150] = 240
    return pixels


def test_the_mask_has_the_photographs_grid_and_the_cup_inside_the_disc():
    mask = segment(Session(), Image.fromarray(photograph()))
    assert mask.shape == (200, 300)
    expected = (photograph()[..., 0] > 127).astype(int) + (photograph()[..., 0] > 191)
    assert (mask != expected).mean() < 0.01
    assert set(np.unique(mask)) == {0, 1, 2}


def test_masks_are_scored_by_name_against_the_labels(tmp_path):
    items = []
    for name, moved in (("b", 0), ("a", 4)):
        label = np.zeros((64, 64), dtype=np.uint8)
        label[8:56, 8:56], label[20:44, 20:44] = 1, 2
        Image.fromarray(label).save(tmp_path / f"{name}_label.png")
        Image.fromarray(np.roll(label, moved, axis=1)).save(tmp_path / f"{name}.png")
        items.append({"name": name, "label": str(tmp_path / f"{name}_label.png")})
    pvbm.score_masks(items, tmp_path, tmp_path / "scores")
    rows = cameras.read_scores(tmp_path / "scores")
    assert [row["image"] for row in rows] == ["a", "b"]
    assert float(rows[1]["optic_disc_dice"]) == 1
    assert float(rows[0]["optic_disc_dice"]) == pytest.approx(44 / 48)
    assert float(rows[0]["vcdr"]) == pytest.approx(float(rows[0]["vcdr_true"]))


def test_the_worker_runs_in_the_other_python_and_its_last_line_counts(tmp_path, monkeypatch):
    worker = tmp_path / "worker.py"
    worker.write_text("import json, sys\nprint('a word')\nprint(len(json.load(open(sys.argv[1]))) / 2)\n")
    monkeypatch.setattr(pvbm, "_WORKER", worker)
    items = [{"name": name, "image": f"{name}.jpg"} for name in "abc"]
    assert pvbm.segment(items, tmp_path, Path(sys.executable)) == 1.5
    assert json.loads((tmp_path / "list.json").read_text())[0] == ["a.jpg", str(tmp_path / "a.png")]


def test_an_environment_that_is_ready_is_not_made_again(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise AssertionError

    monkeypatch.setattr(subprocess, "run", refuse)
    (tmp_path / "ready").touch()
    assert pvbm.environment(tmp_path).parent.parent == tmp_path


def test_the_page_states_the_medians_of_the_turns(tmp_path):
    (tmp_path / "seconds.json").write_text(json.dumps({"ours": [0.2, 0.25, 0.3], "pvbm": [0.9, 1.0, 0.5]}))
    lines = cameras.timing(tmp_path / "seconds.json")
    assert max(map(len, lines)) <= 120
    text = " ".join(lines)
    assert "PVBM takes 0.90 s" in text
    assert "0.25 s" in text
    assert "3.6 times as fast (medians of 3 turns)" in text
