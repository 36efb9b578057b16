"""An unreadable photograph costs nothing but itself, and the cache changes nothing but the time."""

from __future__ import annotations

import logging

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import Compose, EnsureChannelFirstd, LoadImaged
from PIL import Image

from bundle.data.dataset import LeftOut, PhotographDataset, collate_readable
from bundle.data.photograph_reader import PhotographReader
from bundle.transforms.disc_view import DiscViewd


@pytest.fixture
def items(tmp_path) -> list[dict]:
    """Three photographs, the second of which is no picture."""
    rng = np.random.default_rng(0)
    for name in ("a", "b", "c"):
        Image.fromarray(rng.integers(0, 256, (20, 30, 3), dtype=np.uint8)).save(tmp_path / f"{name}.png")
    (tmp_path / "b.png").write_text("not a picture")
    return [{"image": str(tmp_path / f"{name}.png"), "name": name} for name in ("a", "b", "c")]


class Counting:
    """The usual loading, counted."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.load = Compose(
            [LoadImaged("image", reader=PhotographReader), EnsureChannelFirstd("image"), DiscViewd("image", 16)]
        )

    def __call__(self, item: dict) -> dict:
        self.seen.append(item["name"])
        return self.load(item)


def test_an_unreadable_photograph_is_left_out_and_noted_once(items, caplog):
    dataset = PhotographDataset(items, Counting())
    found = [dataset[i] for i in (0, 1, 2, 1)]
    assert [item.name if isinstance(item, LeftOut) else item["name"] for item in found] == ["a", "b", "c", "b"]
    assert isinstance(found[1], LeftOut)
    assert found[1] == found[3]
    assert dataset.unreadable == {}
    with caplog.at_level(logging.WARNING, logger="bundle.data.dataset"):
        for _ in range(2):
            dataset.note(found[1])
    assert list(dataset.unreadable) == ["b"]
    assert dataset.unreadable["b"]
    assert "b.png" not in dataset.unreadable["b"]
    assert caplog.text.count("b.png") == 1


def test_other_faults_are_not_hidden(items):
    def fail(_):
        raise KeyError("a fault of the program")

    dataset = PhotographDataset(items, fail)
    with pytest.raises(RuntimeError, match="applying transform"):
        dataset[0]
    assert dataset.unreadable == {}


@pytest.mark.parametrize(("cache_num", "loads"), [(0, 6), (1, 5), (2, 4), (9, 4)])
def test_the_cache_is_bounded_and_gives_equal_items(items, cache_num, loads):
    plain = PhotographDataset(items, Counting())
    transform = Counting()
    dataset = PhotographDataset(items, transform, cache_num=cache_num)
    for _ in range(2):
        for i in range(3):
            one, other = plain[i], dataset[i]
            if isinstance(one, LeftOut):
                assert other == one
                continue
            assert other["name"] == one["name"]
            assert torch.equal(other["image"].as_tensor(), one["image"].as_tensor())
            assert other["image"].meta["view"] == one["image"].meta["view"]
            assert len(other["image"].applied_operations) == len(one["image"].applied_operations)
    # The unreadable one is tried each time.
    assert len(transform.seen) == loads


def test_later_transforms_do_not_reach_into_the_cache(items):
    dataset = PhotographDataset(items, Counting(), cache_num=3)
    for found in (dataset[0], dataset[0]):
        found["image"].meta["view"] = "spoilt"
        found["image"].applied_operations.clear()
        found["image"] = found["image"] * 0
        found["more"] = 1
    again = dataset[0]
    assert isinstance(again["image"], MetaTensor)
    assert again["image"].meta["view"] == "crop"
    assert again["image"].applied_operations
    assert again["image"].any()
    assert "more" not in again


def test_collation_drops_what_could_not_be_read(items):
    dataset = PhotographDataset(items, Counting())
    batch = collate_readable([dataset[i] for i in range(3)])
    assert batch["name"] == ["a", "c"]
    assert batch["image"].shape == (2, 3, 16, 16)
    assert torch.equal(batch["image"][1].as_tensor(), dataset[2]["image"].as_tensor())
    assert collate_readable([LeftOut("b"), LeftOut("d")]) == {}
    assert collate_readable([]) == {}
