"""Whether uncertainty and marks find failures: which photographs count, and which are set apart."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bundle.benchmark import trust
from bundle.benchmark.trust import Judged, PhotographSet
from bundle.settings import check_overrides, known_keys
from bundle.stages import BUNDLE_ROOT, STAGES

METRICS = """image,optic_disc_dice,optic_cup_dice,vcdr_error
a,0.9,0.85,0.05
b,0.95,0.7,0.1
c,0,0,0.5
d,0.84,,
e,0.96,0.9,0.16
"""
REPORT = """image,status,uncertainty
a.png,ok,0.01
b.png,review,0.2
c.png,no_disc,
d.png,review,0.1
e.png,ok,0.02
"""


def test_trust_pairs_what_inference_says_with_what_the_label_says(monkeypatch, tmp_path):
    stages = []

    def run_stage(stage: str, output_dir: str, **overrides: Any) -> None:
        stages.append(stage)
        # A key that the stage does not have would end the real one.
        check_overrides(stage, overrides, known_keys([BUNDLE_ROOT / "configs" / f"{STAGES[stage]}.json"]))
        folder = Path(output_dir)
        folder.mkdir(parents=True, exist_ok=True)
        name, text = ("report.csv", REPORT) if stage == "inference" else ("metrics.csv", METRICS)
        (folder / name).write_text(text)

    monkeypatch.setattr(trust, "run_stage", run_stage)
    photographs = PhotographSet(tmp_path / "set", "crop")
    found = trust.measured(photographs, tmp_path / "results")
    assert found == [
        Judged(0.01, False, False, False),
        Judged(0.2, True, False, True),
        Judged(1.0, True, True, True),
        # Its label shows no cup.
        Judged(0.1, True, True, False),
        Judged(0.02, False, True, False),
    ]
    assert stages == ["inference", "evaluation"]
    assert trust.measured(photographs, tmp_path / "results") == found
    assert stages == ["inference", "evaluation"]
    assert trust.row("a set", found) == "| a set | 5 | 3 | 0.667 | 1 of 2 (50 %) | 2 of 3 (67 %) | 2 | 1.000 |"


@pytest.mark.parametrize("cameras", [False, True])
def test_trust_shows_apart_the_photographs_whose_label_has_both_structures(monkeypatch, tmp_path, capsys, cameras):
    asked: dict[str, str] = {}

    def measured(photographs: PhotographSet, results: Path) -> list[Judged]:
        asked[photographs.folder.name if photographs.made_up else str(photographs.folder)] = str(photographs.checkpoint)
        # A disc-only set has uncertain cups and no failure that a label could show.
        good = Judged(0.1, False, False, False)
        return [good, Judged(0.5, True, True, True)] if photographs.has_cups else [Judged(0.9, True, False, False)]

    monkeypatch.setattr(trust, "measured", measured)
    monkeypatch.setattr(trust, "chosen_photographs", lambda *args, **kwargs: [])
    monkeypatch.setattr(trust, "make_set", lambda *args: None)
    extra = ["--cameras", str(tmp_path / "cameras")] if cameras else []
    trust.main(["--data", "DATA", "--output", str(tmp_path), "--shifts", "none", *extra])
    rows = dict(line.split(" | ", 1) for line in capsys.readouterr().out.splitlines()[2:])
    two = "1.000 | 0 of 2 (0 %) | 2 of 2 (100 %) | 2 | 1.000 |"
    assert rows["| made-up, together"] == f"4 | 2 | {two}"
    both = 3
    assert rows["| real, together, without those whose cups have no label"].startswith(f"{2 * both} | {both} | 1.000")
    assert rows["| real, together"].startswith(f"{2 * both + 2} | {both} | 0.600 | 2 of {both + 2}")
    assert rows["| all together"].startswith(f"{2 * both + 6} | {both + 2} |")
    models = set(asked.values())
    if cameras:
        names = ("drishti_gs", "refuge", "palm", "idrid")
        left_out = {str(tmp_path / "cameras" / f"without_{name}" / "model.pt") for name in names}
        assert models == {str(trust.ALL), *left_out}
    else:
        assert models == {str(trust.CHECKPOINT)}
