"""Two commits are timed in turns, each by its own code, with the same weights and photographs."""

from __future__ import annotations

from pathlib import Path

import pytest

from bundle.benchmark import turns
from bundle.stages import BUNDLE_ROOT


@pytest.fixture
def calls(monkeypatch):
    made = []

    def time_stage(name, keys, checkout, threads):
        assert not Path(keys["output_dir"]).exists()
        Path(keys["output_dir"]).mkdir()
        made.append((name, dict(keys), checkout, threads, sorted(p.name for p in keys["dataset_dir"].iterdir())))
        return (6.0 if checkout != BUNDLE_ROOT else 2.0), 1.5

    monkeypatch.setattr(turns, "time_stage", time_stage)
    return made


def test_both_checkouts_take_turns_and_the_table_has_a_row_for_each_job_and_number_of_threads(tmp_path, calls, capsys):
    for folder in ("before", "crops", "photographs"):
        (tmp_path / folder).mkdir()
    for name in ("b.jpg", "a.jpg"):
        (tmp_path / "photographs" / name).touch()
        (tmp_path / "crops" / name).touch()
    folders = ["--crops", str(tmp_path / "crops"), "--photographs", str(tmp_path / "photographs")]
    turns.main([str(tmp_path / "before"), *folders, "--turns", "2"])
    assert [call[2] for call in calls] == [tmp_path / "before", BUNDLE_ROOT] * 12
    assert [call[3] for call in calls[:8]] == [1] * 4 + [2] * 4
    assert {call[1]["checkpoint"] for call in calls} == {turns.CHECKPOINT.absolute()}
    assert [(call[0], call[4]) for call in calls[::8]] == [
        ("adaptation", ["a.jpg", "b.jpg"]),
        ("inference", ["a.jpg", "b.jpg"]),
        ("inference", ["a.jpg"]),
    ]
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == "| start | 2 | 6.0 | 2.0 | 0.33 | 1.50 | 1.50 |"
    assert sum(line.startswith("| adaptation") for line in lines) == 4
