"""Labels that are hardly meant so are told of in one go, and a set of swapped ones is refused."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bundle.data.label_checks import check_labels, label_fault
from bundle.errors import CallError


def right() -> np.ndarray:
    label = np.zeros((40, 50), np.uint8)
    label[8:32, 10:40] = 1
    label[14:26, 18:32] = 2
    return label


def notched() -> np.ndarray:
    """The cup reaches the disc's edge on one side, as in advanced glaucoma."""
    label = right()
    label[14:32, 18:32] = 2
    return label


def swapped() -> np.ndarray:
    return np.array([0, 2, 1], np.uint8)[right()]


def outside(cup=12) -> np.ndarray:
    """The cup beside the disc, which it touches at most."""
    label = np.zeros((40, 50), np.uint8)
    label[8:32, 6:26] = 1
    label[14 : 14 + cup, 26 : 26 + cup] = 2
    return label


LABELS = {
    "": right(),
    "no_disc": np.zeros((40, 50), np.uint8),
    "no_cup": np.minimum(right(), 1),
    "no_rim": 2 * (right() > 0).astype(np.uint8),
    "swapped": swapped(),
    "outside": outside(),
}


def write(folder: Path, *labels: np.ndarray) -> list[dict]:
    items = []
    for i, label in enumerate(labels):
        Image.fromarray(label).save(folder / f"{i}.png")
        items.append({"image": f"{i}.jpg", "name": str(i), "label": str(folder / f"{i}.png")})
    return items


def lines(caplog) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == "bundle.data.label_checks"]


@pytest.mark.parametrize("fault", LABELS)
def test_each_fault_is_known(fault):
    assert label_fault(LABELS[fault]) == fault


@pytest.mark.parametrize("cup", [4, 20, 24])
def test_a_cup_beside_the_disc_is_outside_whatever_its_size(cup):
    assert label_fault(outside(cup)) == "outside"
    apart = np.roll(outside(cup), 0)
    apart[:, 24:26] = 0
    assert label_fault(apart) == "outside"


@pytest.mark.parametrize("turned", [False, True])
def test_a_cup_at_the_edge_of_the_disc_or_of_the_picture_is_right(turned):
    label = notched()
    assert label_fault(label) == ""
    cut = label[:, 20:] if turned else label[20:]
    assert label_fault(cut) == ""


def test_a_line_for_each_fault_names_every_label_that_has_it(tmp_path, caplog):
    items = write(tmp_path, right(), LABELS["no_rim"], LABELS["no_rim"], LABELS["no_cup"], swapped(), right())
    check_labels([*items, {"image": "x.png", "name": "without a label"}])
    found = lines(caplog)
    assert len(found) == 3
    assert f"2 of 6 labels show a cup without a rim around it: {tmp_path / '1.png'}, {tmp_path / '2.png'}" in found
    assert any("1 of 6 labels show a disc without a cup" in line and "3.png" in line for line in found)
    assert any("swapped" in line and "4.png" in line for line in found)


def test_one_class_over_the_whole_set_is_told(tmp_path, caplog):
    check_labels(write(tmp_path, LABELS["no_cup"], LABELS["no_cup"]))
    (line,) = lines(caplog)
    assert line.startswith("all 2 labels show a disc without a cup: ")


def test_a_set_with_cup_and_rim_swapped_is_refused(tmp_path):
    with pytest.raises(CallError, match="rim lies inside the cup.*0.png and 1 more") as caught:
        check_labels(write(tmp_path, swapped(), swapped(), LABELS["no_cup"]))
    assert "\n" not in caught.value.message


def test_right_labels_and_unreadable_ones_are_passed_over(tmp_path, caplog):
    items = write(tmp_path, right(), right())
    (tmp_path / "1.png").write_bytes(b"broken")
    with caplog.at_level(logging.INFO):
        check_labels(items)
        check_labels([])
    assert lines(caplog) == []


def test_the_format_is_the_reader_s(tmp_path, caplog):
    items = write(tmp_path, np.array([255, 128, 0], np.uint8)[right()])
    check_labels(items, "refuge")
    assert lines(caplog) == []
    disc, cup = write(tmp_path, (right() > 0) * np.uint8(255), (right() == 2) * np.uint8(255))
    exchanged = {"image": "0.jpg", "name": "0", "label": [cup["label"], disc["label"]]}
    check_labels([exchanged], "pair")
    assert "without a rim" in lines(caplog)[0]
