"""Which runs are planned, and what the ablation changes in the config."""

from __future__ import annotations

from pathlib import Path

import pytest
from monai.bundle import ConfigParser

from bundle.benchmark import plan as planning
from bundle.benchmark.plan import (
    CONFIG,
    PLUS,
    Run,
    ablation_overrides,
    merge,
    plan,
    plan_ablation,
    settings_of,
)
from bundle.errors import CallError
from bundle.stages import BUNDLE_ROOT


def test_every_seed_is_planned_only_where_something_is_drawn():
    planned = plan(["drishti_gs", "none"], ["source", "bn", "grad_cl", "supervised"], [3, 1])
    expected = {(t, r, 3) for t in ("drishti_gs", "none") for r in ("source", "bn", "grad_cl", "supervised")}
    expected |= {(t, r, 1) for t in ("drishti_gs", "none") for r in ("grad_cl", "supervised")}
    assert {(run.target, run.recipe, run.seed) for run in planned} == expected
    assert len(planned) == len(expected)
    assert [run.seed for run in planned] == [3] * 8 + [1] * 4
    assert not any(run.row for run in planned)


def test_an_unknown_recipe_is_refused_with_those_that_there_are():
    with pytest.raises(CallError, match="no recipe nothing.*source, bn.*supervised"):
        plan(["none"], ["source", "nothing"], [0])


def test_the_ablation_has_targets_and_seeds_of_its_own(monkeypatch):
    monkeypatch.setattr(planning, "ABLATIONS", {"no teacher": {"teacher": None}, "all": {}})
    rows = plan_ablation(["all", "severe"], [0, 2])
    expected = [(t, "plus", s, row) for s in (0, 2) for row in ("no teacher", "all") for t in ("all", "severe")]
    assert rows == [Run(*run) for run in expected]
    runs = plan(["all", "severe"], ["source", "plus"], [0, 2])
    assert len({run.folder(Path("o")) for run in runs + rows}) == len(runs + rows) == 6 + 8


def test_a_merge_patch_changes_adds_and_takes_away():
    settings = {"teacher": 0.9, "losses": {"a": 1.0, "b": 0.5}, "kept": 3}
    patched = merge(settings, {"teacher": None, "losses": {"b": None, "c": 2.0}, "new": {"x": 1}})
    assert patched == {"losses": {"a": 1.0, "c": 2.0}, "kept": 3, "new": {"x": 1}}
    assert settings["losses"] == {"a": 1.0, "b": 0.5}


def test_the_ablation_s_overrides_reach_the_config_of_the_stage(monkeypatch):
    own = {"teacher": 0.9, "max_epochs": 2, "losses": {"entropy": 1.0, "x": 2.0}}
    monkeypatch.setitem(CONFIG["recipes"], PLUS, own)
    patch = {"teacher": None, "losses": {"x": None}, "train#losses#separation#margin": 0.25}
    monkeypatch.setattr(planning, "ABLATIONS", {"row": patch})
    parser = ConfigParser()
    parser.read_config(BUNDLE_ROOT / "configs" / "adapt.json")
    parser.update(ablation_overrides("row"))
    assert parser["recipes#plus"] == {"max_epochs": 2, "losses": {"entropy": 1.0}}
    assert parser["train#losses#separation#margin"] == 0.25
    assert settings_of(PLUS, parser["recipes#plus"])["teacher"] is None
    assert ablation_overrides("") == {}
