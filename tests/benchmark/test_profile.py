"""A whole adaptation is taken apart."""

from __future__ import annotations

import time

import pytest

from bundle.benchmark.profile import profile_adaptation
from bundle.synthetic.phantoms.photographs import write_dataset


def test_the_profile_takes_a_whole_adaptation_apart(tmp_path):
    write_dataset(tmp_path / "in", 2, kind="crop", seed=5, size=64)
    recipes = {"recipes#plus#max_epochs": 1, "recipe": "plus", "image_size": 64, "view": "crop", "passes": 2}
    start = time.perf_counter()
    seconds = profile_adaptation(
        dataset_dir=str(tmp_path / "in" / "image"), output_dir=str(tmp_path / "out"), **recipes
    )
    whole = time.perf_counter() - start
    assert min(seconds.values()) > 0, seconds
    assert sum(seconds.values()) == pytest.approx(whole, rel=0.05)
    # A teacher of four views costs more than one pass of the student.
    assert seconds["teacher"] > seconds["student, forward"]
    assert (tmp_path / "out" / "model.pt").is_file()
