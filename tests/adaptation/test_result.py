"""What an adaptation leaves behind: its weights, or the source's where they would harm, and a record of which."""

from __future__ import annotations

import copy
import json
import math
import shutil
from types import SimpleNamespace

import pytest
import torch

from bundle.adaptation.result import AdaptationResult
from bundle.handlers.divergence import DivergenceGuard
from bundle.networks.weights import load_weights, save_weights
from bundle.uncertainty.scale import uncertainty_scale


def measured(
    disc: float, cup: float | None = None, areas: tuple[float, float] = (0.3, 0.1), uncertainty: float = 0.1
) -> SimpleNamespace:
    dice = {"optic_disc": disc, "optic_cup": disc if cup is None else cup}
    area_share = {"optic_disc": areas[0], "optic_cup": areas[1]}
    return SimpleNamespace(summary={"predicted_dice": dice, "area_share": area_share, "uncertainty": uncertainty})


@pytest.fixture
def source(network, tmp_path):
    """A checkpoint whose weights differ from those that the network has afterwards."""
    path = tmp_path / "source" / "model.pt"
    save_weights(network, path)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(1)
    return path


NOTHING_LEFT_OUT = SimpleNamespace(unreadable={}, without_disc=set())


def test_the_result_holds_weights_facts_and_measures(network, source, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "resume.pt").write_bytes(b"")
    network.to(memory_format=torch.channels_last)
    result = AdaptationResult(out, network, {"recipe": "plus", "seed": 7}, source)
    dataset = SimpleNamespace(unreadable={"b\u00e9": "is empty"}, without_disc={"z", "a"})
    result(measured(0.5), measured(0.75), dataset)
    found = json.loads((out / "adaptation.json").read_text(encoding="utf-8"))
    assert (found["recipe"], found["seed"], found["unreadable"]) == ("plus", 7, {"b\u00e9": "is empty"})
    assert found["without_disc"] == ["a", "z"]
    assert found["before"]["predicted_dice"]["optic_cup"] == 0.5
    assert found["after"]["predicted_dice"]["optic_cup"] == 0.75
    assert (found["kept"], found["reason"]) == ("adapted", "")
    assert sorted(path.name for path in out.iterdir()) == ["adaptation.json", "model.pt"]
    stored = torch.load(out / "model.pt", weights_only=True)
    assert all(torch.equal(value, network.state_dict()[name]) for name, value in stored.items())
    load_weights(network, out / "model.pt")


@pytest.mark.parametrize(
    ("after", "tolerance", "kept"),
    [
        ((0.89, 0.7), 0.02, "adapted"),
        ((0.95, 0.66), 0.02, "source"),
        ((0.95, 0.75), 0.02, "adapted"),
        ((0.8, 0.6), 0.02, "source"),
        ((0.85, 0.75), 0.02, "source"),
        ((0.2, 0.2), None, "adapted"),
        ((math.nan, 0.9), None, "source"),
    ],
)
def test_what_is_predicted_to_harm_leaves_the_source(network, source, tmp_path, caplog, after, tolerance, kept):
    adapted = copy.deepcopy(network.state_dict())
    result = AdaptationResult(tmp_path / "out", network, {}, source, tolerance)
    with caplog.at_level("WARNING"):
        result(measured(0.9, 0.7), measured(*after), NOTHING_LEFT_OUT)
    assert json.loads((tmp_path / "out" / "adaptation.json").read_text())["kept"] == kept
    expected = torch.load(source, weights_only=True) if kept == "source" else adapted
    stored = torch.load(tmp_path / "out" / "model.pt", weights_only=True)
    assert all(torch.equal(value, expected[name]) for name, value in stored.items())
    assert ("predicted to harm" in caplog.text) == (kept == "source")


@pytest.mark.parametrize(
    ("before", "after", "collapse", "named"),
    [
        ((0.3, 0.1), (0.031, 0.0101), 0.1, ""),
        ((0.3, 0.1), (0.029, 0.0101), 0.1, "optic_disc"),
        ((0.3, 0.1), (0.3, 0.0099), 0.1, "optic_cup"),
        ((0.3, 0.1), (0.94, 0.1), 0.1, "background"),
        ((0.3, 0.1), (0.92, 0.1), 0.1, ""),
        ((0.3, 0.0), (0.3, 0.0), 0.1, ""),
        ((0.009, 0.0), (0.009, 0.0), 0.1, "no optic disc"),
        ((0.011, 0.0), (0.011, 0.0), 0.1, ""),
        ((0.3, 0.1), (0.0, 0.0), 0.0, ""),
    ],
)
def test_a_structure_that_all_but_vanishes_leaves_the_source(
    network, source, tmp_path, caplog, before, after, collapse, named
):
    """Views that show nothing agree perfectly, so the predicted Dice rises while the disc is lost."""
    result = AdaptationResult(tmp_path / "out", network, {}, source, None, collapse)
    with caplog.at_level("WARNING"):
        result(measured(0.9, areas=before), measured(1.0, areas=after), NOTHING_LEFT_OUT)
    record = json.loads((tmp_path / "out" / "adaptation.json").read_text())
    assert record["kept"] == ("source" if named else "adapted")
    assert named in record["reason"]
    assert bool(record["reason"]) == bool(named)
    assert record["reason"] in caplog.text


@pytest.mark.parametrize(
    ("before", "after", "dice", "scale"),
    [
        (0.06, 0.03, 0.9, 0.5),
        (0.06, 0.09, 0.9, 1.0),
        (0.06, 0.001, 0.9, 0.1),
        (0.0, 0.0, 0.9, 1.0),
        (0.06, math.nan, 0.9, 1.0),
        # The source is kept, and it is as sure as ever.
        (0.06, 0.03, 0.5, 1.0),
    ],
)
def test_how_much_surer_adapting_made_the_model_goes_with_its_weights(
    network, source, tmp_path, before, after, dice, scale
):
    out = tmp_path / "out"
    result = AdaptationResult(out, network, {}, source, tolerance=0.01)
    result(measured(0.8, uncertainty=before), measured(dice, uncertainty=after), NOTHING_LEFT_OUT)
    assert uncertainty_scale(out / "model.pt") == pytest.approx(scale)
    shutil.copyfile(out / "model.pt", out / "renamed.pt")
    assert uncertainty_scale(out / "renamed.pt") == pytest.approx(scale)


def test_a_model_that_is_adapted_again_keeps_what_the_first_time_made_of_it(network, source, tmp_path):
    for folder, start in (("once", source), ("twice", tmp_path / "once" / "model.pt")):
        result = AdaptationResult(tmp_path / folder, network, {}, start, tolerance=0.01)
        result(measured(0.9, uncertainty=0.06), measured(0.9, uncertainty=0.03), NOTHING_LEFT_OUT)
    assert uncertainty_scale(tmp_path / "twice" / "model.pt") == pytest.approx(0.25)
    harmful = AdaptationResult(tmp_path / "harm", network, {}, tmp_path / "twice" / "model.pt", tolerance=0.01)
    harmful(measured(0.9, uncertainty=0.06), measured(0.5, uncertainty=0.03), NOTHING_LEFT_OUT)
    assert uncertainty_scale(tmp_path / "harm" / "model.pt") == pytest.approx(0.25)


def test_weights_that_are_no_numbers_are_never_written(network, source, tmp_path):
    """Answers that are not a number show no structure, in which all views agree: the measures look perfect."""
    with torch.no_grad():
        network.segmentation_head[-1].bias[1] = math.nan
    AdaptationResult(tmp_path, network, {}, source)(measured(0.5), measured(1.0), NOTHING_LEFT_OUT)
    assert json.loads((tmp_path / "adaptation.json").read_text())["kept"] == "source"
    expected = torch.load(source, weights_only=True)
    stored = torch.load(tmp_path / "model.pt", weights_only=True)
    assert all(torch.equal(value, expected[name]) for name, value in stored.items())


@pytest.mark.parametrize(("epoch", "kept"), [(0, "source"), (3, "epoch 3")])
def test_what_is_kept_of_a_run_that_diverged_is_named(network, source, tmp_path, caplog, epoch, kept):
    adapted = copy.deepcopy(network.state_dict())
    guard = DivergenceGuard(network)
    guard.stopped, guard.epoch = "the loss became nan in epoch 4", epoch
    result = AdaptationResult(tmp_path, network, {}, source, guard=guard)
    with caplog.at_level("WARNING"):
        result(measured(0.9), measured(0.9), NOTHING_LEFT_OUT)
    record = json.loads((tmp_path / "adaptation.json").read_text())
    assert record["kept"] == kept
    assert guard.stopped in record["reason"]
    assert guard.stopped in caplog.text
    expected = torch.load(source, weights_only=True) if epoch == 0 else adapted
    stored = torch.load(tmp_path / "model.pt", weights_only=True)
    assert all(torch.equal(value, expected[name]) for name, value in stored.items())
