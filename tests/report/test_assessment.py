"""What is said of a photograph: its status with the reasons, its measurements, and which eye it is."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from bundle.morphometry.laterality import Laterality
from bundle.report.assessment import Assessor
from bundle.report.prediction import Prediction
from bundle.results import Segmentation
from bundle.uncertainty.interval import RatioInterval

WIDTH, HEIGHT = 60, 40
COLOUR = torch.tensor([150.0, 80.0, 40.0])[:, None, None]
DISC, CUP = (30, 5, 50, 25, 1), (35, 8, 45, 20, 2)


def predicted(
    *boxes: tuple[int, int, int, int, int],
    path: str = "eye.png",
    expected_dice: tuple[float, float] = (0.97, 0.95),
    distance: float = 0.0,
    **known: object,
) -> Prediction:
    """Ellipses in boxes (left, top, right, bottom, value), drawn one over the other, on a photograph of one colour."""
    label = torch.zeros(WIDTH, HEIGHT, dtype=torch.uint8)
    for left, top, right, bottom, value in boxes:
        x, y = (torch.arange(start, end) + 0.5 for start, end in ((left, right), (top, bottom)))
        x, y = (2 * (axis - axis.mean()) / len(axis) for axis in (x, y))
        label[left:right, top:bottom][x[:, None] ** 2 + y[None] ** 2 <= 1] = value
    view = MetaTensor(torch.zeros(3, 16, 16), meta={"disc_confidence": 0.9, "laterality": ""} | known)
    item = {"image": view, "photograph": COLOUR.expand(3, WIDTH, HEIGHT)}
    return Prediction.of(path, item, {"pred": label, "expected_dice": expected_dice, "norm_distance": distance})


def assess(prediction: Prediction, dataset_dir: str | Path = ".", **limits: Any) -> Segmentation:
    return Assessor(dataset_dir, **{"max_uncertainty": 0.1, "min_confidence": 0.7} | limits)(prediction)


def test_a_prediction_is_row_first_and_rounded() -> None:
    photograph = torch.rand(3, WIDTH, HEIGHT, generator=torch.Generator().manual_seed(0)) * 255
    label = torch.zeros(WIDTH, HEIGHT, dtype=torch.uint8)
    label[30:50, 5:25] = 1
    output = {"pred": label, "expected_dice": torch.tensor([0.5, 0.25])}
    found = Prediction.of("a.png", {"image": torch.zeros(3, 16, 16), "photograph": photograph}, output)
    np.testing.assert_array_equal(found.label, label.numpy().T)
    assert found.photograph.dtype == np.uint8
    np.testing.assert_array_equal(found.photograph, photograph.round().numpy().transpose(2, 1, 0))
    assert found.expected_dice == (0.5, 0.25)
    assert found.borders.box == (slice(5, 25), slice(30, 50))


@pytest.mark.parametrize(
    ("scale", "status", "reason", "uncertainty"),
    [
        (1.0, "ok", "", 0.06),
        (0.65, "ok", "", 0.0923),
        (0.5, "review", "cup edge uncertain", 0.12),
        (0.3, "review", "cup edge uncertain; disc edge uncertain", 0.2),
        (0.01, "review", "cup edge uncertain; disc edge uncertain", 1.0),
    ],
)
def test_a_model_that_grew_surer_of_itself_is_doubted_as_before(scale, status, reason, uncertainty) -> None:
    result = assess(predicted(DISC, CUP, expected_dice=(0.965, 0.94)), uncertainty_scale=scale)
    assert (result.status, result.reason) == (status, reason)
    assert result.uncertainty == pytest.approx(uncertainty, abs=1e-4)


@pytest.mark.parametrize(
    ("prediction", "status", "reason"),
    [
        (predicted(DISC, CUP), "ok", ""),
        (predicted(DISC, CUP, expected_dice=(0.95, 0.89)), "review", "cup edge uncertain"),
        (predicted(DISC, CUP, expected_dice=(0.89, 0.95)), "review", "disc edge uncertain"),
        (predicted(DISC, CUP, expected_dice=(0.89, 0.89)), "review", "cup edge uncertain; disc edge uncertain"),
        (predicted(DISC, CUP, disc_confidence=0.69), "review", "disc found with low confidence"),
        (predicted(DISC), "review", "no cup visible"),
        (predicted((30, 0, 50, 25, 1), CUP), "review", "disc touches the edge of the picture"),
        (
            predicted((30, 20, 50, 40, 1), (35, 22, 40, 30, 2)),
            "review",
            "disc touches the edge of the picture",
        ),
        (predicted((0, 5, 20, 25, 1), (5, 8, 9, 12, 2)), "review", "disc touches the edge of the picture"),
        (predicted((40, 5, 60, 25, 1), (45, 8, 49, 12, 2)), "review", "disc touches the edge of the picture"),
        (
            predicted(DISC, expected_dice=(0.5, 0.5), disc_confidence=0.1),
            "review",
            "disc edge uncertain; disc found with low confidence; no cup visible",
        ),
        (predicted(expected_dice=(0.2, 0.1), disc_confidence=0.0), "no_disc", "no optic disc found"),
    ],
)
def test_each_photograph_gets_its_status_and_reasons(prediction, status, reason) -> None:
    result = assess(prediction)
    assert (result.status, result.reason) == (status, reason)
    assert math.isnan(result.uncertainty) == math.isnan(result.measurements.vcdr) == (status == "no_disc")
    assert result.label is prediction.label


@pytest.mark.parametrize(
    ("limits", "distance", "reason"),
    [
        ({}, 9.0, ""),
        ({"max_distance": 1.0}, 1.1, "unlike anything seen in training"),
        ({"max_distance": 1.0}, 0.9, ""),
        ({"min_sharpness": 0.3}, 0.0, "out of focus"),
        ({"min_sharpness": 0.1}, 0.0, ""),
        ({"min_sharpness": 0.3, "max_distance": 1.0}, 2.0, "out of focus; unlike anything seen in training"),
    ],
)
def test_the_view_gives_reasons_too(monkeypatch, limits, distance, reason) -> None:
    monkeypatch.setattr("bundle.uncertainty.quality.sharpness", lambda view: 0.2 if view.shape == (3, 16, 16) else 1.0)
    result = assess(predicted(DISC, CUP, distance=distance), **limits)
    assert (result.status, result.reason) == ("review" if reason else "ok", reason)


def test_the_disc_may_have_a_limit_of_its_own() -> None:
    prediction = predicted(DISC, CUP, expected_dice=(0.94, 0.92))
    assert assess(prediction, max_uncertainty=0.1).reason == ""
    assert assess(prediction, max_uncertainty=0.1, max_disc_uncertainty=0.05).reason == "disc edge uncertain"
    assert assess(prediction, max_uncertainty=0.07, max_disc_uncertainty=0.07).reason == "cup edge uncertain"
    # The larger one is reported, whatever the limits are.
    assert assess(prediction, max_disc_uncertainty=0.05).uncertainty == pytest.approx(0.08, abs=1e-6)


@pytest.mark.parametrize(
    ("level", "distance", "reason"), [(-0.9, 0.1, "too dark"), (1.0, 0.1, "overexposed"), (0.0, 0.1, "")]
)
def test_what_is_wrong_with_the_picture_is_said_with_and_without_a_disc(level: float, distance: float, reason) -> None:
    for boxes, words in (((DISC, CUP), reason), ((), "; ".join(filter(None, ("no optic disc found", reason))))):
        prediction = predicted(*boxes, disc_confidence=0.9 if boxes else 0.0)
        prediction = prediction._replace(view=prediction.view * 0 + level, fundus_distance=distance)
        result = assess(prediction)
        assert result.reason == words
        assert (result.quality.discs, result.quality.fundus_distance) == (bool(boxes), distance)
        assert math.isnan(result.quality.sharpness) is math.isnan(result.quality.disc_cut) is (not boxes)
        back = Segmentation.from_json(json.loads(json.dumps(result.to_json())))
        assert repr(back.quality) == repr(result.quality)


def test_what_the_file_says_of_the_eye_goes_before_a_guess(monkeypatch) -> None:
    guesses = []

    def guess(*_: Any) -> Laterality:
        guesses.append(1)
        return Laterality("right", "guessed")

    monkeypatch.setattr("bundle.report.assessment.guess_laterality", guess)
    said = assess(predicted(DISC, CUP, laterality="left")).rims
    assert (said.laterality, guesses) == (Laterality("left", "file"), [])
    named = assess(predicted(DISC, CUP, laterality="left", laterality_source="name")).rims
    assert (named.laterality, guesses) == (Laterality("left", "name"), [])
    # The disc spans x 30..50 and y 5..25, its cup x 35..45 and y 8..20; a left eye's nose is on the picture's left.
    assert (said.superior, said.left, said.nasal) == pytest.approx((3, 5, 5), abs=0.3)
    assert said.temporal == said.right
    guessed = assess(predicted(DISC, CUP)).rims
    assert (guessed.laterality, guesses) == (Laterality("right", "guessed"), [1])
    assert guessed.left == said.left
    silent = assess(predicted(DISC, CUP), guess_eye=False).rims
    assert (silent.laterality, guesses) == (Laterality(), [1])
    assert math.isnan(silent.nasal)


@pytest.mark.parametrize("way", ["link", "dots", "relative"])
def test_photographs_are_named_by_their_path_however_the_folder_is_named(tmp_path, monkeypatch, way) -> None:
    (tmp_path / "real").mkdir()
    monkeypatch.chdir(tmp_path / "real")
    if way == "link":
        (tmp_path / "link").symlink_to(tmp_path / "real")
        folder = tmp_path / "link"
    elif way == "dots":
        folder = tmp_path / "real" / ".." / "real"
    else:
        folder = tmp_path / "real" / os.curdir
    path = str(folder / "left" / "eye.png")
    assert assess(predicted(DISC, path=path), folder).image == "left/eye.png"
    assert Assessor(folder).unreadable(path, "it is empty").image == "left/eye.png"
    assert Assessor(folder).unreadable("/elsewhere/eye.png", "it is empty").image == "eye.png"


def test_an_unreadable_photograph_is_a_result_without_values() -> None:
    result = Assessor(".").unreadable("eye.png", "it is empty")
    assert (result.status, result.reason, result.label) == ("unreadable", "it is empty", None)
    assert math.isnan(result.uncertainty)
    assert all(math.isnan(value) for value in vars(result.measurements).values())


def test_a_result_comes_back_from_json_without_its_label() -> None:
    for result in (
        assess(predicted(DISC, CUP, path="odd \udce9.png", laterality="left", expected_dice=(1 / 3, 0.1 + 0.2))),
        assess(predicted(path="b.png")),
        Assessor(".").unreadable("c.png", "it is empty"),
    ):
        back = Segmentation.from_json(json.loads(json.dumps(result.to_json())))
        assert back.label is None
        # NaN equals nothing, not even itself.
        assert repr(back.to_json()) == repr(result.to_json())
        assert repr((back.measurements, back.rims)) == repr((result.measurements, result.rims))


def test_a_measured_ratio_has_its_interval_and_one_without_a_cup_has_none() -> None:
    interval = RatioInterval.of({"floor": 0.05, "slope": 1.0, "scores": np.linspace(-1, 2, 99).tolist()})
    sure, unsure, scaled = (
        assess(predicted(DISC, CUP, expected_dice=dice), interval=interval, uncertainty_scale=scale)
        for dice, scale in (((0.97, 0.95), 1.0), ((0.97, 0.9), 1.0), ((0.97, 0.95), 0.5))
    )
    assert sure.vcdr_interval == interval(sure.measurements.vcdr, sure.uncertainty)
    assert sure.vcdr_interval.low < sure.measurements.vcdr < sure.vcdr_interval.high
    assert unsure.vcdr_interval.high > sure.vcdr_interval.high
    # A model that grew surer of itself by adapting gets no narrower intervals for it.
    assert scaled.vcdr_interval == pytest.approx(unsure.vcdr_interval)
    for without in (assess(predicted(DISC), interval=interval), assess(predicted(), interval=interval)):
        assert all(map(math.isnan, without.vcdr_interval))
    back = Segmentation.from_json(json.loads(json.dumps(sure.to_json())))
    assert back.vcdr_interval == sure.vcdr_interval


def test_an_unknown_status_is_refused() -> None:
    with pytest.raises(ValueError, match="doubtful"):
        Segmentation("x.png", "doubtful")


@pytest.mark.parametrize(
    ("known", "reason"),
    [
        ({"colourless": True}, "a picture without colour"),
        ({"disc_rival": True}, "two discs: cut the picture, one eye each"),
        ({"disc_diameter": 20.0}, ""),
        ({"disc_diameter": 14.0}, "implausible contour: it is not of the size of the disc that was found"),
        ({"disc_diameter": 30.0}, "implausible contour: it is not of the size of the disc that was found"),
    ],
)
def test_what_is_known_of_the_picture_gives_reasons(known: dict[str, Any], reason: str) -> None:
    assert assess(predicted(DISC, CUP, **known)).reason == reason
