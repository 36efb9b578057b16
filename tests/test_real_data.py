"""The promises of the model card on real photographs, where the research data sets lie beside the project."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bundle.stages import BUNDLE_ROOT, run_stage

DATA = BUNDLE_ROOT.parent / "shared" / "data"
pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason="the research data sets are not beside the project")
HELD_OUT = "$bundle.folders.split_source(bundle.folders.list_photographs(@dataset_dir, labels='required'), 0.2, 0)[1]"


def scores(dataset, output, **overrides):
    assert run_stage("evaluation", dataset_dir=str(DATA / dataset), output_dir=str(output), **overrides) == 0
    return json.loads((Path(output) / "metrics.json").read_text())


def test_the_source_model_on_held_out_source_photographs(tmp_path):
    metrics = scores("refuge/train", tmp_path, items=HELD_OUT)
    assert metrics["images"] == 64
    assert metrics["optic_disc"]["dice"] >= 0.955
    assert metrics["optic_cup"]["dice"] >= 0.87


def test_discs_are_found_in_whole_photographs_of_another_camera(tmp_path):
    metrics = scores("idrid_fullframe/test", tmp_path)
    assert metrics["missed"] == 0
    assert metrics["optic_disc"]["dice"] >= 0.85
    assert metrics["optic_cup"]["dice"] is None


def test_grad_cl_beats_the_source_model_on_an_unseen_camera(tmp_path):
    run_stage(
        "adaptation",
        dataset_dir=str(DATA / "drishti_gs" / "train"),
        output_dir=str(tmp_path / "adapted"),
        recipe="grad_cl",
    )
    before = scores("drishti_gs/test", tmp_path / "before")
    after = scores("drishti_gs/test", tmp_path / "after", checkpoint=str(tmp_path / "adapted" / "model.pt"))
    names = ("optic_disc", "optic_cup")
    assert sum(after[name]["dice"] for name in names) > sum(before[name]["dice"] for name in names)
