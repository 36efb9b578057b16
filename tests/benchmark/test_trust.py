"""Whether the uncertainty finds failures: which photographs count, and which are set apart."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bundle.benchmark import trust


def test_trust_pairs_each_photographs_uncertainty_with_its_worst_structure(monkeypatch, tmp_path):
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
    assert trust.row("a set", pairs) == "| a set | 3 | 2 | 1.000 |"


def test_trust_shows_apart_the_photographs_whose_label_has_both_structures(monkeypatch, tmp_path, capsys):
    def measured(photographs: Path, results: Path, view: str) -> list[tuple[float, bool]]:
        # A disc-only set has uncertain cups and no failure that a label could show.
        return [(0.9, False)] if "idrid" in str(photographs) else [(0.5, True), (0.1, False)]

    monkeypatch.setattr(trust, "measured", measured)
    monkeypatch.setattr(trust, "chosen_photographs", lambda *args, **kwargs: [])
    monkeypatch.setattr(trust, "make_set", lambda *args: None)
    trust.main(["--data", "DATA", "--output", str(tmp_path), "--shifts", "none"])
    rows = dict(line.split(" | ", 1) for line in capsys.readouterr().out.splitlines()[2:])
    assert rows["| made-up, together"] == "4 | 2 | 1.000 |"
    assert rows["| real, together"] == "8 | 3 | 0.600 |"
    assert rows["| real, together, without those whose cups have no label"] == "6 | 3 | 1.000 |"
    assert rows["| all together"] == "12 | 5 | 0.714 |"
    assert rows["| all together, without those whose cups have no label"] == "10 | 5 | 1.000 |"
