"""Trials of a recipe, and of the uncertainty: labels are read by evaluation alone, and nothing is made twice."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from bundle.benchmark import runs as benchmark  # noqa: E402
from bundle.benchmark import (
    trial,  # noqa: E402
    trust,  # noqa: E402
)


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
    monkeypatch.setattr(benchmark, "PHOTOGRAPHS", 1)
    words = ["--data", str(output), "--output", str(output), "--targets", "phantoms", "--seeds", "0,1"]
    monkeypatch.setattr(sys, "argv", ["trial.py", *words, "--variants", json.dumps(variants)])
    trial.main()
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


def test_trust_pairs_each_photographs_uncertainty_with_its_worst_structure(monkeypatch, tmp_path, capsys):
    stages = []

    def run_stage(stage: str, output_dir: str, **overrides: Any) -> None:
        stages.append(stage)
        folder = Path(output_dir)
        folder.mkdir(parents=True, exist_ok=True)
        if stage == "inference":
            (folder / "report.csv").write_text("image,uncertainty\na.png,0.01\nb.png,0.2\nc.png,\n")
        else:
            rows = "a.png,0.9,0.85\nb.png,0.95,0.7\nc.png,0,0\n"
            text = "image,optic_disc_dice,optic_cup_dice\n" + rows.replace(".png", "")
            (folder / "metrics.csv").write_text(text)

    monkeypatch.setattr(trust, "run_stage", run_stage)
    pairs = trust.measured(tmp_path / "set", tmp_path / "results", "crop")
    assert pairs == [(0.01, False), (0.2, True), (1.0, True)]
    assert stages == ["inference", "evaluation"]
    assert trust.measured(tmp_path / "set", tmp_path / "results", "crop") == pairs
    assert stages == ["inference", "evaluation"]
    assert trust.show("a set", pairs) == pairs
    assert capsys.readouterr().out == "| a set | 3 | 2 | 1.000 |\n"


def test_trust_shows_apart_the_photographs_whose_label_has_both_structures(monkeypatch, tmp_path, capsys):
    def measured(photographs: Path, results: Path, view: str) -> list[tuple[float, bool]]:
        # A disc-only set has uncertain cups and no failure that a label could show.
        return [(0.9, False)] if "idrid" in str(photographs) else [(0.5, True), (0.1, False)]

    monkeypatch.setattr(trust, "measured", measured)
    monkeypatch.setattr(trust, "write_dataset", lambda *args, **kwargs: None)
    monkeypatch.setattr(trust, "split_source", lambda *args: ([], []))
    monkeypatch.setattr(trust, "list_photographs", lambda *args, **kwargs: [])
    monkeypatch.setattr(trust, "write_shifted", lambda *args: None)
    monkeypatch.setattr(sys, "argv", ["trust.py", "--data", "DATA", "--output", str(tmp_path), "--shifts", "none"])
    trust.main()
    rows = dict(line.split(" | ", 1) for line in capsys.readouterr().out.splitlines()[2:])
    assert rows["| made-up, together"] == "4 | 2 | 1.000 |"
    assert rows["| real, together"] == "8 | 3 | 0.600 |"
    assert rows["| real, together, without those whose cups have no label"] == "6 | 3 | 1.000 |"
    assert rows["| all together"] == "12 | 5 | 0.714 |"
    assert rows["| all together, without those whose cups have no label"] == "10 | 5 | 1.000 |"
