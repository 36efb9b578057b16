"""The page's tables, and what it says of missing runs, machines and commits."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy import stats

from bundle.benchmark.page import render
from bundle.benchmark.plan import Run, plan
from bundle.benchmark.results import PROFILE, RATIO, Results, finished, load
from tests.benchmark.made_up import FACTS, NAMES, SCORES, page_of, row_of, tables_of, write_run


def test_the_table_of_the_real_target(results):
    rows = tables_of(page_of(results))["Drishti-GS test: a real camera"]
    assert [next(iter(row.values())) for row in rows] == [f"`{name}`" for name in SCORES["drishti_gs"]]
    plus, bn, source = (row_of(rows, name) for name in ("plus", "bn", "source"))
    # 0.86 and 0.88: mean 0.87, standard deviation 0.02 / sqrt(2).
    assert (plus["disc Dice"], plus["cup Dice"], plus["mean Dice"]) == ("87.00 ± 1.41", "77.00 ± 1.41", "82.00 ± 1.41")
    assert (plus["vCDR error"], plus["disc ASSD px"], plus["cup HD95 px"]) == (
        "0.0500 ± 0.0000",
        "4.00 ± 0.00",
        "9.00 ± 0.00",
    )
    assert (plus["gap closed"], bn["gap closed"], source["gap closed"]) == ("70 %", "-5 %", "0 %")
    assert bn["mean Dice"] == "74.50"
    assert (source["p against `source`"], bn["p against `grad_cl`"]) == ("–", "–")


def test_p_is_over_photographs_averaged_over_seeds(results):
    rows = tables_of(page_of(results))["Drishti-GS test: a real camera"]

    def by_photograph(recipe):
        runs = results.of("drishti_gs", recipe)
        return np.array([np.mean([run.dice[name] for run in runs]) for name in NAMES])

    for recipe, other, column in (("bn", "source", "p against `source`"), ("plus", "grad_cl", "p against `grad_cl`")):
        p = stats.wilcoxon(by_photograph(recipe), by_photograph(other)).pvalue
        assert row_of(rows, recipe)[column] == f"{p:.3f}"


def test_the_table_of_all_targets_averages_and_marks_harm(results):
    rows = tables_of(page_of(results))["All targets: mean Dice"]
    bn, plus, grad_cl = (row_of(rows, name) for name in ("bn", "plus", "grad_cl"))
    # On the real target bn loses 0.5 points, on none 5; grad_cl loses 0.1 there, which is not marked.
    assert [bn[t] for t in SCORES] == ["74.50 ▼", "86.00", "85.00 ▼"]
    assert grad_cl["none"] == "89.90 ± 0.00"
    assert bn["average"] == f"{(74.5 + 86 + 85) / 3:.2f}"
    assert plus["average"] == f"{(82 + 89 + 90) / 3:.2f}"


def test_a_gap_too_small_to_close_is_a_dash(results):
    rows = tables_of(page_of(results))["Gap closed"]
    assert {row["none"] for row in rows} == {"–"}
    assert [row_of(rows, name)["low_light"] for name in ("bn", "grad_cl", "plus")] == ["20 %", "20 %", "80 %"]
    assert {row["recipe"] for row in rows} == {"`bn`", "`grad_cl`", "`plus`"}


def test_what_is_forgotten_is_measured_against_the_shipped_model(results):
    rows = tables_of(page_of(results))["Forgotten"]
    assert row_of(rows, "plus")["change in points"] == "-3.00"
    assert row_of(rows, "bn")["change in points"] == "+0.00"
    assert row_of(rows, "plus")["mean Dice"] == "85.00"


def test_the_label_free_prediction_has_a_row_for_each_measure(results):
    rows = tables_of(page_of(results))["What can be predicted without labels"]
    assert [(row["change of"], row["Spearman's rho with the true change"], row["runs"]) for row in rows] == [
        ("predicted dice", "+1.00", "10")
    ]


def test_the_ablation_shows_what_each_row_changes_seed_by_seed(results, output):
    # plus has 0.86 and 0.88 there: the differences are -0.01 and -0.05.
    more = [
        write_run(output, Run("drishti_gs", "plus", 1, "no teacher"), 0.83),
        write_run(output, Run("none", "plus", 7, "one seed of its own"), 0.83),
    ]
    rows = tables_of(page_of(Results([*results.runs, *load(more, output).runs])))["Ablation"]
    assert [list(row.values()) for row in rows] == [
        ["`plus`", "82.00 ± 1.41", "89.00 ± 1.41", "90.00 ± 0.00"],
        ["no teacher", "-3.00 ± 2.83", "-8.00", "-10.00"],
        ["one seed of its own", "–", "–", "–"],
    ]


def test_the_page_says_what_is_missing_and_what_is_no_result(results):
    text = page_of(results, missing=["none/plus/2"], images=8)
    assert "**1 planned runs have no result yet:** `none/plus/2`" in text
    assert "at most 8 photographs" in text
    assert "planned" not in page_of(results)
    assert "quick" not in page_of(results)
    kept = Results([run for run in results.runs if (run.target, run.recipe) != ("none", "plus")])
    rows = tables_of(page_of(kept))["All targets: mean Dice"]
    assert (row_of(rows, "plus")["none"], row_of(rows, "plus")["average"]) == ("–", "–")
    assert "Provenance" in page_of(Results([]))


def test_speed_is_a_photograph_s_share_of_the_command(results):
    one = {"photographs": 50, "seconds": 100.0, "peak_gib": 1.5, "inference_s": 10.0, "inference_gib": 1.0}
    speed = {"bn": one, "plus": one | {"seconds": 300.0}}
    speed[RATIO] = {"refinement_s": 8.0, "inference_s": 10.0, "ratio": 0.8}
    text = page_of(results, speed=speed | {PROFILE: {"seconds": {"teacher": 30.0, "student": 90.0}}})
    rows = tables_of(text)["Speed"]
    assert list(row_of(rows, "plus").values()) == ["`plus`", "300", "6.00", "1.50"]
    assert list(rows[-1].values()) == ["then segmenting", "10", "0.20", "1.00"]
    assert "on 50 Drishti-GS crops" in text
    assert "0.80 times as long" in text
    assert "| student | 90.0 | 75 % |" in text
    assert "| all | 120.0 | 100 % |" in text


def test_the_trust_table_counts_failures_that_are_marked(results):
    assert "## Trust" not in page_of(results)
    run = next(run for run in results.runs if (run.target, run.recipe) == ("none", "source"))
    run.worst = dict(zip(NAMES, [0.7, 0.75, 0.9, 0.9, 0.9, 0.9, 0.79, 0.81], strict=True))
    run.uncertainty = dict(zip(NAMES, [0.5, 0.01, 0.02, 0.02, 0.2, 0.02, 1.0, 0.02], strict=True))
    rows = tables_of(page_of(results))["Trust: which photographs to look at"]
    # Failures 0.5, 0.01 and 1 against successes 0.2 and four of 0.02: 10 of 15 pairs are in order.
    assert list(rows[0].values()) == ["none", "8", "3", "0.667", "67 %", "20 %"]
    assert [row["target"] for row in rows] == ["none", "together"]
    assert "adapted by" not in page_of(results).partition("## Trust")[2]
    adapted = next(run for run in results.runs if (run.target, run.recipe) == ("none", "plus"))
    adapted.worst, adapted.uncertainty = run.worst, dict.fromkeys(NAMES, 0.5)
    after = page_of(results).partition("The same of the models adapted by `plus`")[2]
    assert "| none | 8 | 3 | 0.500 | 100 % | 100 % |" in after


def test_another_source_model_is_shown_beside_the_shipped_one(results, tmp_path):
    other = tmp_path / "other"
    scores = {"source": 0.83, "plus": 0.91}
    for recipe, disc in scores.items():
        run = write_run(other, Run("low_light", recipe, 0), disc)
        asked = {"asked": {"weights": "model_512.pt (sha256 12)", "image_size": 512}}
        (run.folder(other) / "result.json").write_text(json.dumps(FACTS | asked))
    results.runs[0].facts["asked"] = {"weights": "model.pt (sha256 34)", "image_size": 256}
    planned = plan(["low_light", "none"], ["source", "plus"], [0])
    text = render(results, (), {}, FACTS, {}, load(finished(planned, other), other))
    assert "with model_512.pt (sha256 12) at 512 px in place of\nmodel.pt (sha256 34) at 256 px" in text
    assert tables_of(text)["Another source model"] == [
        {"": "`source`, 256 px", "low_light": "85.00"},
        {"": "`source`, 512 px", "low_light": "78.00"},
        {"": "`plus`, 256 px", "low_light": "88.00"},
        {"": "`plus`, 512 px", "low_light": "86.00"},
        {"": "`supervised`, 256 px", "low_light": "90.00"},
        {"": "`supervised`, 512 px", "low_light": "–"},
    ]
    assert "Another source model" not in page_of(results)


def test_the_page_names_every_machine(results):
    results.runs[0].facts["gpu"] = "Card 100"
    text = page_of(results)
    others = sum(not run.row for run in results.runs) - 1
    assert f"Machines: runs on torch 2.0, 2 cores (x), no GPU ({others}), " in text
    assert "torch 2.0, 2 cores (x), Card 100 (1); ablation on torch 2.0, 2 cores (x), no GPU." in text


def test_the_page_names_every_commit(results):
    text = page_of(results, commit="fff9999")
    assert "runs at abc1234; ablation at def5678" in text
    assert "this page at fff9999" in text
    results.runs[0].facts["commit"] = "0123456+"
    assert f"abc1234 ({sum(not run.row for run in results.runs) - 1}), 0123456+ (1)" in page_of(results)


@pytest.mark.parametrize("name", ["gap_closed", "gallery"])
def test_figures_are_shown_where_they_were_drawn(name, results):
    assert f"](drawn/{name})" in render(results, (), {}, FACTS, {name: f"drawn/{name}"})
    assert f"]({name}" not in render(results, (), {}, FACTS, {})
