"""Trials of a recipe: labels are read by evaluation alone, and nothing is made twice."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bundle.benchmark import targets, trial


def run(monkeypatch: pytest.MonkeyPatch, output: Path, variants: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    calls: list[tuple[str, dict[str, Any]]] = []

    def stage(name: str, **overrides: Any) -> None:
        calls.append((name, overrides))
        if name == "evaluation":
            adapted = overrides["checkpoint"] != str(trial.CHECKPOINT)
            content = {"optic_disc": {"dice": 0.9}, "optic_cup": {"dice": 0.8 if adapted else 0.7}, "vcdr_mae": 0.05}
            Path(overrides["output_dir"]).mkdir(parents=True, exist_ok=True)
            (Path(overrides["output_dir"]) / "metrics.json").write_text(json.dumps(content))

    monkeypatch.setattr(trial, "stage", stage)
    monkeypatch.setattr(targets, "PHOTOGRAPHS", 1)
    words = ["--data", str(output), "--output", str(output), "--targets", "phantoms", "--seeds", "0,1"]
    trial.main([*words, "--variants", json.dumps(variants)])
    return calls


def test_a_variant_stands_beside_the_recipe_and_the_source(monkeypatch, tmp_path, capsys):
    changes = {"recipes#plus#least_steps": 80}
    calls = run(monkeypatch, tmp_path, {"longer": changes})
    adaptations = [overrides for name, overrides in calls if name == "adaptation"]
    assert [overrides["seed"] for overrides in adaptations] == [0, 1, 0, 1]
    assert [overrides.get("recipes#plus#least_steps") for overrides in adaptations] == [None, None, 80, 80]
    # From inside the image folder no label can be found.
    assert {Path(overrides["dataset_dir"]).name for overrides in adaptations} == {"image"}
    assert {Path(overrides["dataset_dir"]).parent.name for overrides in adaptations} == {"adapt"}
    assert {Path(o["dataset_dir"]).name for name, o in calls if name == "evaluation"} == {"score"}
    printed = capsys.readouterr().out
    assert "| phantoms | source | 80.00 | 90.00 | 70.00 | 0.0500 |" in printed
    assert "| phantoms | longer | 85.00 | 90.00 | 80.00 | 0.0500 |" in printed


def test_what_is_there_is_not_made_again(monkeypatch, tmp_path):
    assert len(run(monkeypatch, tmp_path, {})) == 5
    assert run(monkeypatch, tmp_path, {}) == []
    assert [name for name, _ in run(monkeypatch, tmp_path, {"other": {}})] == ["adaptation", "evaluation"] * 2
