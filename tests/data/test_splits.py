"""The source's split into training and validation is stratified, complete and the same every time."""

from __future__ import annotations

import random
from typing import Any

import pytest

from bundle.data.splits import split_source
from bundle.errors import CallError


def items_named(*names: str) -> list[dict[str, Any]]:
    return [{"name": name, "image": f"{name}.png"} for name in names]


SOURCE = items_named(*(f"g{index:03}" for index in range(40)), *(f"n{index:03}" for index in range(360)))


def test_split_is_stratified_and_complete() -> None:
    training, validation = split_source(SOURCE, 0.2, seed=0)
    assert len(validation) == 80
    assert sum(item["name"][0] == "g" for item in validation) == 8
    names = [item["name"] for item in training + validation]
    assert sorted(names) == sorted(item["name"] for item in SOURCE)
    for part in (training, validation):
        assert [item["name"] for item in part] == sorted(item["name"] for item in part)
    assert training[0]["image"] == f"{training[0]['name']}.png"


def test_split_depends_on_seed_and_names_only() -> None:
    shuffled = list(SOURCE)
    random.Random(1).shuffle(shuffled)
    assert split_source(shuffled, 0.2, seed=3) == split_source(SOURCE, 0.2, seed=3)
    assert split_source(SOURCE, 0.2, seed=4) != split_source(SOURCE, 0.2, seed=3)
    prefixes = split_source(SOURCE, 0.2, seed=3, prefix_length=3)[1]
    assert {item["name"][:3] for item in prefixes} == {item["name"][:3] for item in SOURCE}


def test_split_of_this_version_stays() -> None:
    held_out = split_source(items_named(*"abcdefgh"), 0.25, seed=0, prefix_length=0)[1]
    assert [item["name"] for item in held_out] == ["f", "h"]


@pytest.mark.parametrize("fraction", [0.01, 0.5, 0.99])
def test_small_strata(fraction: float) -> None:
    training, validation = split_source(items_named("g1", "g2", "n1", "n2", "n3", "x1"), fraction, seed=0)
    assert {item["name"][0] for item in validation} == {"g", "n"}
    assert {item["name"][0] for item in training} == {"g", "n", "x"}
    for names in ("ab", "abcdefg"):
        assert all(split_source(items_named(*names), fraction, seed=0))


def test_impossible_splits() -> None:
    for fraction in (0, 1, -0.1, 1.5, float("nan")):
        with pytest.raises(CallError):
            split_source(SOURCE, fraction, seed=0)
    with pytest.raises(CallError):
        split_source(items_named("a"), 0.5, seed=0)
