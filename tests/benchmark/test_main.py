"""The command line: which runs it plans, and what its steps do."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from bundle.benchmark import __main__ as harness
from bundle.benchmark.plan import ABLATED, ABLATIONS, CONFIG, PLUS, TARGETS


def call_of(*words: str) -> Any:
    return harness.parse(["--data", "DATA", "--output", "OUT", *words])


def test_by_default_every_recipe_is_run_on_every_target_and_ablated_on_some():
    call = call_of()
    recipes = harness.recipes_of(call)
    assert recipes == ["source", *CONFIG["recipes"], "supervised"]
    planned = harness.planned_runs(call, recipes)
    assert {run.target for run in planned} == set(TARGETS)
    assert {run.seed for run in planned if run.recipe == PLUS and not run.row} == {0, 1, 2}
    ablation = [run for run in planned if run.row]
    assert len(ablation) == len(ABLATIONS) * len(ABLATED) * 2


def test_source_and_ceiling_are_always_run_and_the_ablation_only_with_what_it_changes():
    call = call_of("--recipes", "bn", "--targets", "severe,none", "--seeds", "4")
    recipes = harness.recipes_of(call)
    assert recipes == ["source", "bn", "supervised"]
    assert not any(run.row for run in harness.planned_runs(call, recipes))
    call = call_of("--targets", "severe,none", "--ablation_targets", "severe,drishti_gs")
    assert {run.target for run in harness.planned_runs(call, [PLUS]) if run.row} == {"severe"}


def test_a_quick_version_is_small_but_for_what_is_said():
    call = call_of("--quick", "--seeds", "1,2")
    assert (call.images, call.steps, call.seeds) == (4, "runs,page", "1,2")
    planned = harness.planned_runs(call, harness.recipes_of(call))
    assert len({run.target for run in planned}) == 3
    assert not any(run.row for run in planned)


@pytest.fixture
def done(monkeypatch):
    """What the steps are asked to do."""
    asked: list[tuple] = []
    monkeypatch.setattr(harness, "write_target", lambda target, setup: asked.append(("target", target)))

    def run_all(runs: Sequence, setup: object, workers: int) -> int:
        asked.append(("runs", *runs))
        return 1

    monkeypatch.setattr(harness, "run_all", run_all)
    monkeypatch.setattr(harness, "measure_speed", lambda recipes, setup: asked.append(("speed", *recipes)))
    monkeypatch.setattr(harness, "publish", lambda planned, setup, places, beside: asked.append(("page", places.page)))
    return asked


@pytest.mark.parametrize("steps", ["runs", "ablation", "speed", "page", "speed,page"])
def test_only_the_steps_that_are_named_are_done(steps, done, tmp_path):
    words = ["--data", str(tmp_path), "--output", str(tmp_path / "out"), "--targets", "none", "--recipes", PLUS]
    status = harness.main([*words, "--ablation_targets", "none", "--seeds", "0", "--steps", steps])
    kinds = [step[0] for step in done]
    expected = {"runs": ["target", "runs"], "ablation": ["target", "runs"], "speed": ["speed"]}
    expected |= {"page": ["target", "page"], "speed,page": ["target", "speed", "page"]}
    assert kinds == expected[steps]
    assert status == int("runs" in kinds)
    for step in done:
        if step[0] == "runs":
            assert {bool(run.row) for run in step[1:]} == {steps == "ablation"}
        if step[0] == "speed":
            assert step[1:] == (PLUS,)
        if step[0] == "page":
            assert step[1] == Path(tmp_path, "out", "benchmark.md")
