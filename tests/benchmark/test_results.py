"""What is read from finished runs, and what it says of recipes."""

from __future__ import annotations

import csv

import pytest

from bundle.benchmark.plan import Run
from bundle.benchmark.results import dice_by_photograph, finished, predictions, uncertainties


def test_the_dice_of_a_photograph_is_the_mean_of_disc_and_cup(results):
    run = results.of("drishti_gs", "bn")[0]
    with (run.folder / "metrics.csv").open() as file:
        row = next(csv.DictReader(file))
    assert run.dice[row["image"]] == pytest.approx((float(row["optic_disc_dice"]) + float(row["optic_cup_dice"])) / 2)
    assert run.worst[row["image"]] == float(row["optic_cup_dice"])


def test_a_structure_that_the_label_does_not_show_has_no_share(tmp_path):
    path = tmp_path / "metrics.csv"
    path.write_text("image,optic_disc_dice,optic_cup_dice\ndisc,0.9,\nboth,0.9,0.7\nneither,,\n")
    assert dice_by_photograph(path, min) == {"disc": 0.9, "both": 0.7, "neither": 0.0}


def test_a_photograph_without_a_disc_is_as_uncertain_as_can_be(tmp_path):
    path = tmp_path / "report.csv"
    assert uncertainties(path) == {}
    path.write_text("image,uncertainty\nimage/a.png,0.1\nimage/b.png,\n")
    assert uncertainties(path) == {"a": 0.1, "b": 1.0}


def test_the_best_peer_is_the_best_published_recipe_on_the_real_target(results):
    assert results.best_peer() == "grad_cl"
    results.runs = [run for run in results.runs if run.target != "drishti_gs"]
    assert results.best_peer() is None


def test_only_runs_with_a_result_are_finished(results, output):
    planned = [Run("none", recipe, 0) for recipe in ("source", "tent", "plus")]
    assert finished(planned, output) == [planned[0], planned[2]]


def test_the_label_free_prediction_is_compared_over_runs_on_made_up_targets(results):
    changes, truths = predictions(results)["predicted_dice"]
    # bn once, grad_cl and plus twice, on two targets; neither the real target nor the ablation.
    assert len(changes) == 10
    assert changes == pytest.approx([truth / 2 for truth in truths])


def test_new_label_free_measures_appear_by_themselves(results):
    for run in results.runs:
        if run.adaptation:
            run.adaptation["before"] |= {"agreement": 0.5, "words": "x", "flag": True}
            run.adaptation["after"] |= {"agreement": 0.5 - run.score, "words": "y", "flag": False, "only_after": 1.0}
    assert set(predictions(results)) == {"predicted_dice", "agreement"}
