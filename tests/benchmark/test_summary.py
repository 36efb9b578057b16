"""The short table and the metadata's figures go where they belong, and are measured ones."""

from __future__ import annotations

import json

import pytest

from bundle.benchmark.summary import replace_eval_metrics, replace_summary


def test_the_summary_goes_between_the_markers(results, tmp_path):
    page = tmp_path / "README.md"
    page.write_text("before\n<!-- benchmark -->\nold\n<!-- end of benchmark -->\nafter\n")
    replace_summary(page, results)
    text = page.read_text()
    assert text.startswith("before\n<!-- benchmark -->\n|")
    assert text.endswith("|\n<!-- end of benchmark -->\nafter\n")
    assert "old" not in text
    # Of the way from 75 to 85 points, plus with 82 has gone 70 %.
    assert (
        "| Drishti-GS test (another camera), adapted by `plus` | 87.0 ± 1.4 | 77.0 ± 1.4 | 82.0 ± 1.4 | 0.050" in text
    )
    assert text.count(" | 70 % |\n") == text.count(" | 0 % |\n") == 1
    assert text.count("Drishti-GS test") == 3
    assert "`grad_cl` (best published peer)" in text
    assert "REFUGE held out (the source), one-camera model | 96.0 | 80.0 | 88.0 |" in text
    page.write_text("no place")
    with pytest.raises(ValueError, match="has no"):
        replace_summary(page, results)


def test_the_metadata_s_scores_are_measured_ones(results, tmp_path):
    """Disc Dice of SCORES, the cup's 0.1 lower, averaged over the seeds of each recipe."""
    metadata = tmp_path / "metadata.json"
    metadata.write_text(json.dumps({"version": "1", "eval_metrics": {"stale": 1.0}, "task": "\u00e9"}))
    replace_eval_metrics(metadata, results)
    content = json.loads(metadata.read_text(encoding="utf-8"))
    assert list(content) == ["version", "eval_metrics", "task"]
    assert content["task"] == "\u00e9"
    expected = {
        "refuge_held_out": (0.96, 0.8, 0.88),
        "drishti_gs_source": (0.8, 0.7, 0.75),
        "drishti_gs_plus": (0.87, 0.77, 0.82),
    }
    names = ("optic_disc_dice", "optic_cup_dice", "mean_dice")
    figures = {f"{name}_{key}": value for name, v in expected.items() for key, value in zip(names, v, strict=True)}
    figures |= {f"{name}_vcdr_mae": 0.05 for name in expected}
    assert content["eval_metrics"] == pytest.approx(figures)
    results.runs = [run for run in results.runs if (run.target, run.recipe) != ("drishti_gs", "plus")]
    with pytest.raises(ValueError, match="drishti_gs_plus"):
        replace_eval_metrics(metadata, results)
    assert json.loads(metadata.read_text(encoding="utf-8")) == content
