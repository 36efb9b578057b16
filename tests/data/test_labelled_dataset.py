"""A labelled photograph that cannot be used costs nothing but itself."""

from __future__ import annotations

import pytest
from monai.transforms import Compose, Lambda

from bundle.data.labelled_dataset import LabelledDataset
from bundle.errors import CallError, UnreadablePhotographError

ITEMS = [{"name": name} for name in "abcde"]


def read(item: dict) -> dict:
    if item["name"] in "bd":
        raise UnreadablePhotographError(f"{item['name']}.png", "it is empty")
    return item


@pytest.mark.parametrize("cache_num", [0, 3, 99])
def test_all_that_cannot_be_used_is_told_before_the_first_item(cache_num, caplog):
    dataset = LabelledDataset(ITEMS, Compose([Lambda(read)]), cache_num=cache_num)
    assert dataset.unreadable == {"b.png": "it is empty", "d.png": "it is empty"}
    assert [record.getMessage() for record in caplog.records] == [
        "unreadable: b.png: it is empty",
        "unreadable: d.png: it is empty",
    ]
    assert [dataset[i]["name"] for i in range(len(dataset))] == ["a", "c", "e"]
    assert len(dataset) == 3
    dataset.require_one()


def test_nothing_to_train_on_is_a_wrong_call():
    dataset = LabelledDataset(ITEMS[1:2], Compose([Lambda(read)]))
    assert len(dataset) == 0
    with pytest.raises(CallError, match="not one of 1 photographs"):
        dataset.require_one()


def test_other_faults_are_raised_when_all_threads_are_done():
    seen = []

    def fail(item: dict) -> dict:
        seen.append(item["name"])
        raise KeyError("a fault of the program")

    with pytest.raises(RuntimeError, match="applying transform"):
        LabelledDataset(ITEMS, Compose([Lambda(fail)]))
    assert len(set(seen)) == len(ITEMS)
