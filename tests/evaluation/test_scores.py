"""Scores on masks whose Dice, distances and ratios can be worked out by hand."""

from __future__ import annotations

import csv
import itertools
import json
import math

import pytest
import torch
from ignite.engine import Engine

from bundle.evaluation.scores import COLUMNS, ScoresSaver, score_image, summarise

WIDTH, HEIGHT = 40, 30
DIAGONAL = 50.0


def masks(disc: tuple[int, int, int, int] | None, cup: tuple[int, int, int, int] | None = None) -> torch.Tensor:
    """Rectangles (left, top, right, bottom), 2 x W x H."""
    m = torch.zeros(2, WIDTH, HEIGHT, dtype=torch.uint8)
    for c, box in enumerate((disc, cup)):
        if box:
            m[c, box[0] : box[2], box[1] : box[3]] = 1
    return m


LABEL = masks((10, 5, 22, 25), (12, 8, 20, 18))


def border(mask: torch.Tensor) -> list[tuple[int, int]]:
    inside = {(x, y) for x, y in torch.nonzero(mask).tolist()}
    around = ((1, 0), (-1, 0), (0, 1), (0, -1))
    return [(x, y) for x, y in inside if any((x + i, y + j) not in inside for i, j in around)]


def border_distances(mask: torch.Tensor, other: torch.Tensor) -> list[float]:
    return [min(math.dist(a, b) for b in border(other)) for a in border(mask)]


def test_a_perfect_prediction():
    row = score_image(LABEL, LABEL)
    assert set(row) == set(COLUMNS) - {"image"}
    for name in ("optic_disc", "optic_cup"):
        assert [row[f"{name}_{key}"] for key in ("dice", "assd_px", "hd95_px")] == [1.0, 0.0, 0.0]
    # Along the photograph's height: 10 of 20 rows, not 8 of 12 columns.
    assert (row["vcdr"], row["vcdr_true"], row["vcdr_error"], row["missed"]) == (0.5, 0.5, 0.0, 0.0)


def test_single_pixels_three_and_four_apart():
    row = score_image(masks((10, 10, 11, 11), (10, 10, 11, 11)), masks((13, 14, 14, 15), (13, 14, 14, 15)))
    for name in ("optic_disc", "optic_cup"):
        assert [row[f"{name}_{key}"] for key in ("dice", "assd_px", "hd95_px")] == [0.0, 5.0, 5.0]


def test_shifted_and_smaller_structures():
    prediction = masks((12, 5, 24, 25), (12, 8, 20, 13))
    row = score_image(prediction, LABEL)
    assert row["optic_disc_dice"] == pytest.approx(10 / 12)
    assert row["optic_cup_dice"] == pytest.approx(2 * 40 / (40 + 80))
    assert (row["vcdr"], row["vcdr_true"]) == (0.25, 0.5)
    assert row["vcdr_error"] == pytest.approx(0.25)
    for c, name in enumerate(("optic_disc", "optic_cup")):
        there, back = border_distances(prediction[c], LABEL[c]), border_distances(LABEL[c], prediction[c])
        assert row[f"{name}_assd_px"] == pytest.approx(sum(there + back) / len(there + back), rel=1e-5)
        quantile = max(torch.quantile(torch.tensor(d), 0.95).item() for d in (there, back))
        assert row[f"{name}_hd95_px"] == pytest.approx(quantile, rel=1e-5)
    # A disc moved by two columns, a cup that ends five rows early.
    assert row["optic_disc_hd95_px"] == 2
    assert row["optic_cup_hd95_px"] == 5


def test_a_single_stray_pixel_does_not_set_the_distance():
    prediction = LABEL.clone()
    prediction[0, 35, 15] = 1
    row = score_image(prediction, LABEL)
    there = border_distances(prediction[0], LABEL[0])
    assert max(there) == 14
    assert row["optic_disc_hd95_px"] == 0
    assert row["optic_disc_assd_px"] == pytest.approx(14 / (2 * len(there) - 1), rel=1e-5)


def test_the_scores_depend_on_the_class():
    row = score_image(masks((10, 5, 22, 25), (12, 8, 16, 18)), LABEL)
    assert row["optic_disc_dice"] == 1
    assert row["optic_cup_dice"] == pytest.approx(2 / 3)
    assert row["vcdr_error"] == 0


@pytest.mark.parametrize(
    ("prediction", "disc", "cup", "vcdr_error", "missed"),
    [
        (masks(None), [0, DIAGONAL, DIAGONAL], [0, DIAGONAL, DIAGONAL], 0.5, 1),
        (masks((10, 5, 22, 25)), [1, 0, 0], [0, DIAGONAL, DIAGONAL], 0.5, 0),
    ],
)
def test_what_is_missed_counts_with_the_diagonal(prediction, disc, cup, vcdr_error, missed):
    row = score_image(prediction, LABEL)
    for name, expected in (("optic_disc", disc), ("optic_cup", cup)):
        assert [row[f"{name}_{key}"] for key in ("dice", "assd_px", "hd95_px")] == pytest.approx(expected)
    assert (row["vcdr_error"], row["missed"]) == (vcdr_error, missed)


@pytest.mark.parametrize("prediction", [LABEL, masks((10, 5, 22, 25)), masks(None)])
def test_what_the_label_does_not_show_is_left_out(prediction):
    row = score_image(prediction, masks((10, 5, 22, 25)))
    assert all(math.isnan(row[f"optic_cup_{key}"]) for key in ("dice", "assd_px", "hd95_px"))
    assert math.isnan(row["vcdr_error"])
    assert row["optic_disc_dice"] == float(bool(prediction.any()))
    empty = score_image(prediction, masks(None))
    assert math.isnan(empty["optic_disc_dice"])
    assert empty["missed"] == 0


def test_the_summary_is_the_mean_of_what_there_is():
    predictions = (LABEL, masks(None), masks((10, 5, 22, 25)))
    rows = [score_image(p, y) for p, y in zip(predictions, (LABEL, LABEL, masks((10, 5, 22, 25))), strict=True)]
    found = summarise(rows)
    assert set(found) == {"optic_disc", "optic_cup", "vcdr_mae", "images", "missed", "rule"}
    assert found["optic_disc"] == pytest.approx(
        {"dice": 2 / 3, "assd_px": DIAGONAL / 3, "hd95_px": DIAGONAL / 3}, rel=1e-6
    )
    assert found["optic_cup"]["dice"] == 0.5
    assert found["vcdr_mae"] == 0.25
    assert (found["images"], found["missed"]) == (3, 1)


def test_disc_only_labels_give_no_number_for_the_cup():
    found = summarise([score_image(LABEL, masks((10, 5, 22, 25)))] * 2)
    assert found["optic_cup"] == {"dice": None, "assd_px": None, "hd95_px": None}
    assert found["vcdr_mae"] is None
    assert found["optic_disc"]["dice"] == 1


def test_both_files_are_written_in_the_order_of_the_names(tmp_path):
    disc_only = masks((10, 5, 22, 25))
    batches = [
        ([{"name": "b"}, {"name": "c,1"}], [{"pred": masks(None), "label": LABEL}, {"pred": LABEL, "label": LABEL}]),
        ([], []),
        ([{"name": "a"}], [{"pred": LABEL, "label": disc_only}]),
    ]
    outputs = itertools.cycle([output for _, output in batches])
    engine = Engine(lambda *_: next(outputs))
    saver = ScoresSaver(tmp_path / "new")
    saver.attach(engine)
    for _ in range(2):
        engine.run([batch for batch, _ in batches], max_epochs=1)
    found = json.loads((tmp_path / "new" / "metrics.json").read_text())
    assert (found["images"], found["missed"]) == (3, 1)
    assert set(found["optic_disc"]) == set(found["optic_cup"]) == {"dice", "assd_px", "hd95_px"}
    assert found["optic_cup"]["dice"] == 0.5
    assert engine.state.metrics["optic_disc_dice"] == pytest.approx(2 / 3)
    with (tmp_path / "new" / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == COLUMNS
    assert [row["image"] for row in rows] == ["a", "b", "c,1"]
    assert [row["optic_cup_dice"] for row in rows] == ["", "0", "1"]
    assert [row["missed"] for row in rows] == ["0", "1", "0"]
    assert [row["vcdr"] for row in rows] == ["0.5", "", "0.5"]


@pytest.mark.parametrize(
    ("prediction", "label", "missed", "error"),
    [("", "disc", 1, False), ("disc", "disc cup", 0, True), ("", "disc cup", 1, True), ("disc cup", "disc", 0, False)],
)
def test_a_missed_disc_is_one_that_the_label_shows_whatever_the_cup(prediction, label, missed, error):
    masks = {name: torch.zeros(2, 16, 16) for name in {prediction, label}}
    for name, mask in masks.items():
        mask[0, 2:14, 2:14] = "disc" in name
        mask[1, 6:10, 5:10] = "cup" in name
    row = score_image(masks[prediction], masks[label])
    assert row["missed"] == missed
    assert math.isnan(row["vcdr_error"]) != error
