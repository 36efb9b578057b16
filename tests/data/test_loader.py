"""What a data set leaves out is noted where its batches are taken, and no fault ends a pass without a word."""

from __future__ import annotations

import os
import signal
from typing import Any

import pytest
import torch
from monai.data import MetaTensor
from torch.utils.data import Subset

from bundle.data.dataset import PhotographDataset
from bundle.data.loader import PhotographLoader
from bundle.errors import UnreadablePhotographError

NAMES = ("sound", "broken", "dark", "also_sound")


def look(item: dict) -> dict:
    """A transform that finds one photograph broken."""
    if item["name"] == "broken":
        raise UnreadablePhotographError("broken.png", "it is empty")
    return item


def fail(item: dict) -> dict:
    """A transform with a fault of its own at the third photograph."""
    if item["name"] == "dark":
        raise KeyError("a fault of the program")
    return item


def die(item: dict) -> dict:
    """A transform that kills the process that runs it, as the system does when memory runs out."""
    os.kill(os.getpid(), signal.SIGKILL)
    return item


def photographs(transform=look) -> PhotographDataset:
    """Four photographs, the third of which shows no disc."""
    items = [
        {"name": name, "image": MetaTensor(torch.zeros(1, 2, 2), meta={"disc_confidence": float(name != "dark")})}
        for name in NAMES
    ]
    return PhotographDataset(items, transform, discs_only=True)


@pytest.mark.parametrize("num_workers", [0, 2])
@pytest.mark.parametrize("part", [False, True])
def test_what_is_left_out_is_noted_whoever_prepared_the_batch(part, num_workers):
    dataset = photographs()
    given: Any = Subset(dataset, range(4)) if part else dataset
    batches = list(PhotographLoader(given, batch_size=2, num_workers=num_workers))
    assert [batch["name"] for batch in batches] == [["sound"], ["also_sound"]]
    assert all("left_out" not in batch for batch in batches)
    assert dataset.unreadable == {"broken": "it is empty"}
    assert dataset.without_disc == {"dark"}


def test_a_collation_of_ones_own_gets_what_is_of_use():
    dataset = photographs()
    found = list(PhotographLoader(dataset, batch_size=4, collate_fn=lambda items: [item["name"] for item in items]))
    assert found == [["sound", "also_sound"]]
    assert list(dataset.unreadable) == ["broken"]


@pytest.mark.parametrize("num_workers", [0, 1])
def test_a_fault_in_the_thread_is_raised_where_batches_are_taken(num_workers):
    batches = iter(PhotographLoader(photographs(fail), num_workers=num_workers))
    assert [next(batches)["name"] for _ in range(2)] == [["sound"], ["broken"]]
    with pytest.raises(RuntimeError, match="applying transform"):
        next(batches)


def test_a_worker_that_is_killed_ends_the_pass_with_an_error():
    with pytest.raises(RuntimeError, match="exited unexpectedly|killed by signal"):
        list(PhotographLoader(photographs(die), num_workers=1))
