"""Several data sets at once."""

from __future__ import annotations

from typing import Any

import pytest
from monai.utils import ensure_tuple
from PIL import Image

from bundle.data.sources import source_items
from bundle.data.splits import split_source
from bundle.errors import CallError


@pytest.fixture
def data(tmp_path):
    """Two labelled sets of ten and four, and an unlabelled one of three; the first two share names."""
    for folder, count in (("one/train", 10), ("two/train", 4), ("three/all", 3)):
        for number in range(count):
            for kind, mode in (("image", "RGB"), ("label", "L")):
                path = tmp_path / folder / kind / f"n{number}.png"
                if folder != "three/all" or kind == "image":
                    path.parent.mkdir(parents=True, exist_ok=True)
                    Image.new(mode, (8, 8)).save(path)
    return tmp_path


SOURCES: dict[str, dict[str, Any]] = {
    "one/train": {"share": 3.0, "held_out": 0.2},
    "two/train": {"structures": "disc", "most": 2},
    "three/all": {"structures": "none"},
}


def test_each_set_is_drawn_according_to_its_share(data):
    training, held_out = source_items(data, SOURCES)
    total = {folder: sum(i["weight"] for i in training if i["name"].startswith(folder)) for folder in SOURCES}
    assert total == pytest.approx({"one/train": 3, "two/train": 1, "three/all": 1})
    assert [len([i for i in training if i["name"].startswith(folder)]) for folder in SOURCES] == [8, 2, 3]
    assert [i["structures"] for i in held_out] == ["both"] * 2
    assert len({i["name"] for i in training + held_out}) == 15


def test_what_is_held_out_is_what_a_training_on_one_set_holds_out(data):
    training, held_out = source_items(data, SOURCES, seed=3)
    names = [i["name"].removeprefix("one/train/") for i in held_out]
    alone = split_source([{"name": f"n{number}"} for number in range(10)], 0.2, 3)[1]
    assert names == [i["name"] for i in alone]
    assert not {i["image"] for i in training} & {i["image"] for i in held_out}


def test_only_labelled_sets_have_labels(data):
    training, _ = source_items(data, SOURCES)
    assert {"label" in i for i in training if i["structures"] == "none"} == {False}
    assert {"label" in i for i in training if i["structures"] != "none"} == {True}


@pytest.mark.parametrize(("left_out", "kept"), [("one", 2), ("one,two", 1), ("t", 1), (["three"], 2), (None, 3)])
def test_a_camera_can_be_left_out(data, left_out, kept):
    training, held_out = source_items(data, SOURCES, leave_out=left_out)
    assert len({i["name"].rsplit("/", 1)[0] for i in training}) == kept
    assert bool(held_out) == (left_out in ("t", None) or left_out == ["three"])


@pytest.mark.parametrize(
    ("sources", "settings", "message"),
    [
        (SOURCES, {"leave_out": "onne"}, "'onne' is in no source"),
        (SOURCES, {"leave_out": "one,two,three"}, "no source is left"),
        ({"one/train": {"shares": 1}}, {}, "source one/train.*shares"),
        ({"one/train": {"share": 0}}, {}, "out of range"),
        ({"one/train": {"structures": "macula"}}, {}, "macula"),
        ({"four/train": {}}, {}, "does not exist"),
        ({"three/all": {}}, {}, "label folder"),
    ],
)
def test_a_wrong_call_is_told(data, sources, settings, message):
    with pytest.raises(CallError, match=message):
        source_items(data, sources, **settings)


def test_what_each_reader_drew_is_learned_and_what_all_drew_is_held_out(data):
    for number in range(9):
        path = data / "one" / "train" / "label" / "anna" / f"n{number}.png"
        path.parent.mkdir(exist_ok=True)
        Image.new("L", (8, 8)).save(path)
    (data / "one" / "train" / "label" / "ben").mkdir()
    for name in ("n3", "n4"):
        Image.new("L", (8, 8)).save(data / "one" / "train" / "label" / "ben" / f"{name}.png")
    training, held_out = source_items(data, {"one/train": {"held_out": 0.2, "readers": True}})
    folders = {
        item["name"][-2:]: [path.split("/")[-2] for path in ensure_tuple(item["label"])] for item in training + held_out
    }
    kept_back = [item["name"][-2:] for item in held_out]
    drawn_by = {f"n{n}": ["anna"] for n in range(9)} | {"n3": ["anna", "ben"], "n4": ["anna", "ben"], "n9": ["label"]}
    assert folders == drawn_by | dict.fromkeys(kept_back, ["label"])
    assert not any("readers" in item for item in training)
