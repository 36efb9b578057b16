"""A result counts as long as what it was made from stays the same, wherever the code lies."""

from __future__ import annotations

import json

import pytest

from bundle.benchmark import request
from bundle.benchmark.plan import CONFIG, Run
from bundle.benchmark.record import is_done, same_request
from bundle.benchmark.request import asked_for
from bundle.benchmark.setup import Setup

RUN = Run("none", "grad_cl", 0)


@pytest.fixture
def setup(output):
    """With a result of ``RUN``."""
    setup = Setup(output, output)
    assert not is_done(RUN, setup)
    keep(asked_for(RUN, setup), setup)
    return setup


def keep(asked, setup):
    folder = RUN.folder(setup.output)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "result.json").write_text(json.dumps({"asked": asked}))


def test_a_result_counts_until_what_it_was_made_from_changes(setup, monkeypatch):
    assert is_done(RUN, setup)
    changes = [
        (CONFIG["recipes"]["grad_cl"], "learning_rate", 0.5),
        (CONFIG["recipe_defaults"], "new", 1),
        (CONFIG["train"]["losses"]["separation"], "margin", 0.9),
        (CONFIG["train"]["augmentations"], "strong", []),
    ]
    for mapping, key, value in changes:
        with monkeypatch.context() as patch:
            patch.setitem(mapping, key, value)
            assert not is_done(RUN, setup)
    assert not is_done(RUN, Setup(setup.data, setup.output, images=3))
    with monkeypatch.context() as patch:
        patch.setattr(request, "model_identity", lambda path: "other weights")
        assert not is_done(RUN, setup)


def test_what_leaves_the_run_as_it_was_leaves_its_result(setup, monkeypatch):
    monkeypatch.setitem(CONFIG["recipe_defaults"], "new", None)
    monkeypatch.setitem(CONFIG["recipes"], "other", {"max_epochs": 9})
    assert is_done(RUN, setup)


def test_code_that_moved_does_not_undo_a_result_and_another_class_does(setup):
    asked = asked_for(RUN, setup)
    moved = json.loads(json.dumps(asked))
    moved["losses"]["separation"]["_target_"] = "somewhere.SeparationLoss"
    moved["losses"]["separation"]["gradient_features"]["_target_"] = "GradientFeatures"
    keep(moved, setup)
    assert is_done(RUN, setup)
    moved["losses"]["separation"]["gradient_features"]["_target_"] = "bundle.refinement.class_features.OtherFeatures"
    keep(moved, setup)
    assert not is_done(RUN, setup)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ({"_target_": "a.b.Loss", "x": 1}, {"x": 1.0, "_target_": "Loss"}, True),
        ([{"_target_": "a.Flip"}], [{"_target_": "b.Flip"}], True),
        ({"_target_": "a.Loss"}, {"_target_": "a.OtherLoss"}, False),
        ({"_target_": "a.Loss", "x": 1}, {"_target_": "a.Loss"}, False),
        # Only the name of a component has a module in front.
        ({"weights": "a.pt"}, {"weights": "b.pt"}, False),
        ([1, 2], [2, 1], False),
    ],
)
def test_requests_are_compared_part_by_part(one, other, same):
    assert same_request(one, other) is same
