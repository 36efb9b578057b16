"""How much surer adapting made a model goes with its weights, and its loss is told."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from bundle.handlers.checkpoint import WeightsSaver
from bundle.io.provenance import model_identity
from bundle.networks.notes import notes_of
from bundle.networks.weights import load_weights, save_weights
from bundle.stages import BUNDLE_ROOT
from bundle.uncertainty.scale import uncertainty_scale

SHIPPED = BUNDLE_ROOT / "models" / "model.pt"


def of_version_0_1_0(network, folder: Path, scale: object = 0.5) -> Path:
    """Weights that were adapted when ``adaptation.json`` alone held the scale."""
    path = folder / "model.pt"
    save_weights(network, path)
    record = {"model": model_identity(path), "uncertainty_scale": scale}
    (folder / "adaptation.json").write_text(json.dumps(record))
    return path


@pytest.mark.parametrize("wrapped", [False, True])
def test_the_scale_is_in_the_file_of_the_weights(wrapped, network, tmp_path, caplog):
    path = tmp_path / "model.pt"
    save_weights(network, path, {"uncertainty_scale": 0.4})
    if wrapped:
        torch.save({"model": torch.load(path, weights_only=True), "epoch": 3}, path)
    assert uncertainty_scale(path) == 0.4
    assert caplog.text == ""


def test_a_file_with_notes_is_a_state_dict_as_any_other(network, tmp_path):
    path = tmp_path / "model.pt"
    save_weights(network, path, {"uncertainty_scale": 0.4})
    state = torch.load(path, weights_only=True)
    assert isinstance(state, dict)
    assert list(state) == list(network.state_dict())
    network.load_state_dict(state)
    load_weights(network, path)
    assert "fundus_bundle" not in network.state_dict()._metadata[""]


@pytest.mark.parametrize("scale", [0, 0.01, 3.0])
def test_a_scale_out_of_range_counts_as_the_nearest_in_it(scale, network, tmp_path):
    save_weights(network, tmp_path / "model.pt", {"uncertainty_scale": scale})
    assert uncertainty_scale(tmp_path / "model.pt") == (1 if scale > 1 else 0.1)


def test_weights_of_version_0_1_0_have_theirs_beside_them(network, tmp_path, caplog):
    path = of_version_0_1_0(network, tmp_path)
    shutil.copyfile(path, tmp_path / "renamed.pt")
    assert uncertainty_scale(path) == uncertainty_scale(tmp_path / "renamed.pt") == 0.5
    assert caplog.text == ""


@pytest.mark.parametrize("text", [None, "", "[]", "{}", '{"uncertainty_scale": 0.5}', "of other weights", "no number"])
def test_where_nothing_says_it_one_line_says_what_is_lost(text, network, tmp_path, caplog):
    path = of_version_0_1_0(network, tmp_path, "x" if text == "no number" else 0.5)
    record = tmp_path / "adaptation.json"
    if text is None:
        record.unlink()
    elif text == "of other weights":
        record.write_text(json.dumps({"model": "model.pt (sha256 0123456789ab)", "uncertainty_scale": 0.5}))
    elif text != "no number":
        record.write_text(text)
    assert uncertainty_scale(path) == 1
    (said,) = caplog.records
    assert str(path) in said.getMessage()
    assert "too few photographs are marked for review" in said.getMessage()
    assert "\n" not in said.getMessage()


def test_the_shipped_weights_and_trained_ones_lack_nothing(network, tmp_path, caplog):
    shutil.copyfile(SHIPPED, tmp_path / "copy.pt")
    WeightsSaver(tmp_path / "trained.pt", network)(None)
    paths = (SHIPPED, tmp_path / "copy.pt", tmp_path / "trained.pt", tmp_path / "none.pt")
    assert [uncertainty_scale(path) for path in paths] == [1, 1, 1, 1]
    assert caplog.text == ""


@pytest.mark.parametrize("content", [b"", b"broken", [1, 2], {"model": 3}])
def test_a_file_that_holds_no_weights_has_no_notes(content, tmp_path):
    path = tmp_path / "model.pt"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        torch.save(content, path)
    assert notes_of(path) == {}
