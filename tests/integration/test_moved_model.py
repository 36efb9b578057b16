"""An adapted model that is moved without what lies beside it says of photographs what it said before."""

from __future__ import annotations

import json
import shutil

import pytest

from bundle.networks.weights import save_weights
from bundle.synthetic.phantoms.photographs import write_dataset
from tests.support.folders import files_in
from tests.support.stages import rows, run


@pytest.fixture
def adapted(network, tmp_path, monkeypatch):
    """A folder with an adapted model that grew twice as sure of itself."""
    write_dataset(tmp_path / "in", 4, kind="crop", size=96, seed=3)
    save_weights(network, tmp_path / "source.pt", {"uncertainty_scale": 1.0})
    # What a few steps make of so small a network is left to chance.
    monkeypatch.setattr("bundle.adaptation.result.scale_of_change", lambda before, after, source: 0.5 * source)
    settings = {"checkpoint": str(tmp_path / "source.pt"), "recipe": "bn", "least_disc": 0, "collapse": 0}
    assert run("adapt", tmp_path / "in", tmp_path / "adapted", **settings) == 0
    assert json.loads((tmp_path / "adapted" / "adaptation.json").read_text())["uncertainty_scale"] == 0.5
    return tmp_path / "adapted"


def test_a_copy_of_the_weights_alone_gives_the_same_uncertainties_and_marks(adapted, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    shutil.copyfile(adapted / "model.pt", tmp_path / "elsewhere" / "model.pt")
    # A limit between what is reported with the scale and without it.
    limit = {"max_uncertainty": 0.9, "max_disc_uncertainty": 0.9, "min_sharpness": 0, "max_distance": 1e9}
    for name, checkpoint in (("there", adapted), ("moved", tmp_path / "elsewhere")):
        settings = {**limit, "checkpoint": str(checkpoint / "model.pt")}
        assert run("inference", tmp_path / "in", tmp_path / name, **settings) == 0
    run("inference", tmp_path / "in", tmp_path / "unscaled", uncertainty_scale=1.0, **settings)
    there, copied = files_in(tmp_path / "there"), files_in(tmp_path / "moved")
    # The page beside which the record lies tells of the adaptation too.
    assert there.pop("report.html") != copied.pop("report.html")
    assert copied == there
    moved, unscaled = (rows(tmp_path / name / "report.csv") for name in ("moved", "unscaled"))
    assert [row["uncertainty"] for row in moved] != [row["uncertainty"] for row in unscaled]
    assert any(row["uncertainty"] for row in moved)
