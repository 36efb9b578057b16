"""Time is taken where inference calls what does the work, and once where a step calls itself."""

from __future__ import annotations

import time

import pytest
from monai.bundle import ConfigParser
from monai.transforms import CastToTyped, Compose, Flipd, LoadImaged

from bundle.benchmark.stage_times import STEPS, places, steps_of, timed
from bundle.benchmark.throughput import run_pipeline, write_photographs
from bundle.morphometry import cup_disc
from bundle.stages import BUNDLE_ROOT


@pytest.mark.parametrize("step", [step for step, functions in STEPS.items() if functions])
def test_every_function_of_a_step_is_found_where_it_is_called(step):
    for function in STEPS[step]:
        found = places(function)
        assert found, function
        assert all(getattr(owner, name) is function for owner, name in found)


def test_a_function_is_replaced_in_every_module_that_imports_it_and_put_back():
    original = cup_disc.find_borders
    owners = [owner for owner, _ in places(original)]
    assert len(owners) > 1
    with timed({"measure": [original]}):
        assert all(owner.find_borders is not original for owner in owners)
    assert all(owner.find_borders is original for owner in owners)


class Work:
    """A step that calls itself by another name."""

    def outer(self) -> None:
        self.busy()

    def busy(self) -> None:
        end = time.thread_time() + 0.05
        while time.thread_time() < end:
            pass


def test_a_call_within_the_same_step_counts_once():
    with timed({"work": [Work.outer, Work.busy]}) as seconds:
        Work().outer()
    assert 0.05 <= seconds["work"] < 0.09


def test_other_preparation_is_what_no_other_step_does():
    config = ConfigParser()
    config.read_config(BUNDLE_ROOT / "configs" / "inference.json")
    config.update({"bundle_root": str(BUNDLE_ROOT), "view": "crop"})
    steps = steps_of(config.get_parsed_content("preprocessing"))
    assert list(steps) == list(STEPS)
    assert len(steps["other preparation"]) >= 2
    listed = [function for functions in steps.values() for function in functions]
    assert len(listed) == len(set(listed))
    small = steps_of(Compose([LoadImaged("image"), Compose([Flipd("image"), CastToTyped("image")])]))
    assert small["other preparation"] == [Flipd.__call__, CastToTyped.__call__]


def test_every_step_of_a_small_run_takes_time(tmp_path):
    write_photographs(tmp_path / "in", 2, "crop", 128)
    passes: list = []
    seconds, steps = run_pipeline(tmp_path, passes)
    # A crop is not searched for a disc.
    assert set(steps) >= set(STEPS) - {"find, with its network"}
    assert sum(steps.values()) > 0
    assert seconds > 0
    assert passes
