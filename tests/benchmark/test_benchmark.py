"""The benchmark's plan, targets, tables and figures on tiny made-up results; nothing is trained."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import numpy as np
import pytest
from monai.bundle import ConfigParser
from PIL import Image
from scipy import stats

from bundle.stages import BUNDLE_ROOT
from bundle.synthetic.phantoms.photographs import write_dataset

ROOT = BUNDLE_ROOT

from bundle.benchmark import page as benchmark_page  # noqa: E402
from bundle.benchmark import record as benchmark_record  # noqa: E402
from bundle.benchmark import runs as benchmark  # noqa: E402
from bundle.benchmark.profile import profile_adaptation  # noqa: E402
from bundle.benchmark.runs import Run, Setup  # noqa: E402

NAMES = [f"n{i}" for i in range(8)]
# Disc Dice by target, recipe and seed; the cup's is 0.1 lower, photographs differ by up to 0.007.
SCORES = {
    "drishti_gs": {"source": [0.8], "bn": [0.795], "grad_cl": [0.82, 0.84], "plus": [0.86, 0.88], "supervised": [0.9]},
    "low_light": {"source": [0.9], "bn": [0.91], "grad_cl": [0.92, 0.9], "plus": [0.93, 0.95], "supervised": [0.95]},
    "none": {"source": [0.95], "bn": [0.9], "grad_cl": [0.949, 0.949], "plus": [0.95, 0.95], "supervised": [0.952]},
}
FACTS = {"commit": "abc1234", "torch": "2.0", "cores": 2, "machine": "x", "weights": "model.pt", "images": None}


def write_run(output: Path, run: Run, disc: float) -> tuple[Run, Path]:
    folder = run.folder(output)
    folder.mkdir(parents=True)
    rng = np.random.default_rng([len(run.recipe), run.seed])
    noise = dict(zip(NAMES, (rng.permutation(8) - 3.5) / 500, strict=True))
    with (folder / "metrics.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["image", "optic_disc_dice", "optic_cup_dice"])
        writer.writerows([name, disc + noise[name], disc - 0.1 + noise[name]] for name in NAMES)
    metrics = {name: {"dice": d, "assd_px": 4.0, "hd95_px": 9.0} for name, d in
               (("optic_disc", disc), ("optic_cup", disc - 0.1))}  # fmt: skip
    metrics |= {"vcdr_mae": 0.05, "images": 8, "missed": 0, "rule": "The rule."}
    (folder / "metrics.json").write_text(json.dumps(metrics))
    if run.recipe not in ("source", "supervised"):
        # Half of the true change is foreseen.
        foreseen = (disc - SCORES[run.target]["source"][0]) / 2
        before = {"predicted_dice": {"optic_disc": 0.9, "optic_cup": 0.7}, "photographs": 8}
        after = {"predicted_dice": {"optic_disc": 0.9 + foreseen, "optic_cup": 0.7 + foreseen}, "photographs": 8}
        (folder / "adaptation.json").write_text(json.dumps({"before": before, "after": after}))
    if run.target == "drishti_gs" and run.seed == 0 and not run.row:
        (folder / "forgotten").mkdir()
        back = metrics | {"optic_disc": {"dice": 0.9 if run.recipe == "plus" else 0.96}, "optic_cup": {"dice": 0.8}}
        (folder / "forgotten" / "metrics.json").write_text(json.dumps(back))
    (folder / "result.json").write_text(json.dumps({**FACTS, "commit": "def5678" if run.row else "abc1234"}))
    return run, folder


@pytest.fixture
def output(tmp_path):
    return tmp_path / "output"


@pytest.fixture
def results(output):
    runs = [
        write_run(output, Run(target, recipe, seed), disc)
        for target, recipes in SCORES.items()
        for recipe, discs in recipes.items()
        for seed, disc in enumerate(discs)
    ]
    runs += [write_run(output, Run(target, "plus", 0, "no teacher"), 0.85) for target in SCORES]
    return benchmark_page.load(runs)


def render(results, missing=(), speed=None, **facts):
    return benchmark_page.render(results, missing, speed or {}, FACTS | facts, {"gap_closed": "images/gap_closed.png"})


def tables(text: str) -> dict[str, list[dict[str, str]]]:
    """Rows of the first table under each heading, by column."""
    found = {}
    for section in text.split("\n## ")[1:]:
        lines = [line for line in section.split("\n") if line.startswith("|")]
        end = next((i for i, line in enumerate(lines) if i > 1 and set(line) <= set("|- ")), len(lines) + 1) - 1
        rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[:end]]
        header = rows[0] if rows else []
        found[section.split("\n")[0]] = [dict(zip(header, row, strict=True)) for row in rows[2:]]
    return found


def row_of(rows, name):
    return next(row for row in rows if next(iter(row.values())) == f"`{name}`")


def test_every_seed_is_planned_only_where_something_is_drawn(monkeypatch):
    monkeypatch.setattr(benchmark, "ABLATIONS", {"no teacher": {"teacher": None}})
    planned = benchmark.plan(["drishti_gs", "none"], ["source", "bn", "grad_cl", "supervised"], [3, 1])
    expected = {(t, r, 3) for t in ("drishti_gs", "none") for r in ("source", "bn", "grad_cl", "supervised")}
    expected |= {(t, r, 1) for t in ("drishti_gs", "none") for r in ("grad_cl", "supervised")}
    assert {(run.target, run.recipe, run.seed) for run in planned} == expected
    assert len(planned) == len(expected)
    assert [run.seed for run in planned] == [3] * 8 + [1] * 4
    assert not any(run.row for run in planned)


def test_the_ablation_has_targets_and_seeds_of_its_own(monkeypatch):
    monkeypatch.setattr(benchmark, "ABLATIONS", {"no teacher": {"teacher": None}, "all": {}})
    rows = benchmark.plan_ablation(["all", "severe"], [0, 2])
    expected = [(t, "plus", s, row) for s in (0, 2) for row in ("no teacher", "all") for t in ("all", "severe")]
    assert rows == [Run(*run) for run in expected]
    runs = benchmark.plan(["all", "severe"], ["source", "plus"], [0, 2])
    assert len({run.folder(Path("o")) for run in runs + rows}) == len(runs + rows) == 6 + 8


def test_a_merge_patch_changes_adds_and_takes_away():
    settings = {"teacher": 0.9, "losses": {"a": 1.0, "b": 0.5}, "kept": 3}
    patched = benchmark.merge(settings, {"teacher": None, "losses": {"b": None, "c": 2.0}, "new": {"x": 1}})
    assert patched == {"losses": {"a": 1.0, "c": 2.0}, "kept": 3, "new": {"x": 1}}
    assert settings["losses"] == {"a": 1.0, "b": 0.5}


def test_the_ablation_s_overrides_reach_the_settings_of_the_stage(monkeypatch):
    monkeypatch.setitem(
        benchmark.CONFIG["recipes"], "plus", {"teacher": 0.9, "max_epochs": 2, "losses": {"entropy": 1.0, "x": 2.0}}
    )
    patch = {"teacher": None, "losses": {"x": None}, "train#losses#separation#margin": 0.25}
    monkeypatch.setattr(benchmark, "ABLATIONS", {"row": patch})
    parser = ConfigParser()
    parser.read_config(ROOT / "configs" / "adapt.json")
    parser.update({"recipe": "plus", **benchmark.ablation_overrides("row")})
    settings = parser.get_parsed_content("settings")
    assert (settings["teacher"], settings["max_epochs"], settings["losses"]) == (None, 2, {"entropy": 1.0})
    assert parser["train#losses#separation#margin"] == 0.25
    assert benchmark.ablation_overrides("") == {}


def test_the_ceiling_trains_on_all_photographs(tmp_path):
    write_dataset(tmp_path, 6, kind="crop", size=64)
    parser = ConfigParser()
    parser.read_config(ROOT / "configs" / "train.json")
    items = Setup(tmp_path, tmp_path).items("required")
    parser.update({"dataset_dir": str(tmp_path), "items": items, **benchmark.CEILING})
    training, validation = parser.get_parsed_content("split")
    assert len(training) == 6
    assert len(validation) == 4
    assert all("label" in item for item in training)
    parser.update({"items": Setup(tmp_path, tmp_path, images=2).items("required")})
    parser.parse(reset=True)
    assert len(parser.get_parsed_content("items")) == 2


@pytest.fixture
def data(tmp_path):
    """REFUGE's names, so that a fifth of each kind is held out: 4 glaucomatous and 8 normal eyes."""
    refuge = tmp_path / "data" / "refuge" / "train"
    write_dataset(tmp_path / "made", 60, kind="crop", size=64)
    for kind in ("image", "label"):
        (refuge / kind).mkdir(parents=True)
        for i, path in enumerate(sorted((tmp_path / "made" / kind).iterdir())):
            path.rename(refuge / kind / f"{'g' if i < 20 else 'n'}{i:04d}.png")
    return tmp_path / "data"


def names_in(folder: Path) -> tuple[list[str], list[str]]:
    return tuple(sorted(path.stem for path in (folder / kind).iterdir()) for kind in ("image", "label"))  # type: ignore


def test_the_halves_of_a_target_are_disjoint_and_hold_both_kinds(data, output):
    setup = Setup(data, output)
    benchmark.write_target("low_light", setup)
    halves = [names_in(folder) for folder in (setup.adaptation_set("low_light"), setup.scored_set("low_light"))]
    (adapted, adapted_labels), (scored, scored_labels) = halves
    assert adapted == adapted_labels
    assert scored == scored_labels
    assert not set(adapted) & set(scored)
    assert [sum(name[0] == "g" for name in half) for half in (adapted, scored)] == [2, 2]
    assert [len(adapted), len(scored)] == [6, 6]


def test_phantoms_of_both_cameras_are_in_both_halves(data, output):
    setup = Setup(data, output, images=4)
    benchmark.write_target("phantoms", setup)
    for folder in (setup.adaptation_set("phantoms"), setup.scored_set("phantoms")):
        images, labels = names_in(folder)
        assert images == labels
        assert sum("harsh" in name for name in images) == sum("tight_red" in name for name in images) == 2
    assert not (output / "targets" / "phantoms" / "all").exists()


def test_a_real_target_made_worse_keeps_its_own_parts_and_its_labels(data, output):
    for split, number in (("train", 2), ("test", 3)):
        write_dataset(data / "drishti_gs" / split, number, kind="crop", cameras=("plain",), seed=number)
    setup = Setup(data, output)
    benchmark.write_target("drishti_gs+all", setup)
    for split, folder in (
        ("train", setup.adaptation_set("drishti_gs+all")),
        ("test", setup.scored_set("drishti_gs+all")),
    ):
        assert names_in(folder) == names_in(data / "drishti_gs" / split)
        name = names_in(folder)[0][0]
        before, after = (
            np.asarray(Image.open(root / "image" / f"{name}.png").convert("RGB"), dtype=float).mean()
            for root in (data / "drishti_gs" / split, folder)
        )
        assert after < before
        # The shift's zoom of 1.25 holds for photograph and label alike.
        areas = [
            (np.asarray(Image.open(root / "label" / f"{name}.png")) > 0).sum()
            for root in (data / "drishti_gs" / split, folder)
        ]
        assert areas[1] / areas[0] == pytest.approx(1.25**2, rel=0.05)
    assert benchmark.made_of("drishti_gs+all") != benchmark.made_of("all")
    for unknown in ("drishti_gs+nothing", "phantoms+all"):
        with pytest.raises(SystemExit, match="no target"):
            benchmark.write_target(unknown, setup)


def test_a_target_is_written_once_and_again_when_its_shift_changes(data, output, monkeypatch):
    setup = Setup(data, output, images=1)
    benchmark.write_target("low_light", setup)
    picture = next((setup.scored_set("low_light") / "image").iterdir())
    content, time = picture.read_bytes(), picture.stat().st_mtime_ns
    benchmark.write_target("low_light", setup)
    assert picture.stat().st_mtime_ns == time
    monkeypatch.setitem(benchmark.SHIFTS, "low_light", benchmark.SHIFTS["colour_cast"])
    benchmark.write_target("low_light", setup)
    assert picture.read_bytes() != content
    with pytest.raises(SystemExit, match="no target nowhere"):
        benchmark.write_target("nowhere", setup)


def test_a_result_counts_until_what_it_was_made_from_changes(output, monkeypatch):
    setup = Setup(output, output)
    run = Run("none", "grad_cl", 0)
    assert not benchmark.is_done(run, setup)
    folder = run.folder(output)
    folder.mkdir(parents=True)
    (folder / "result.json").write_text(json.dumps({"asked": benchmark.asked_for(run, setup)}))
    assert benchmark.is_done(run, setup)
    with monkeypatch.context() as patch:
        patch.setitem(benchmark.CONFIG["recipe_defaults"], "new", None)
        patch.setitem(benchmark.CONFIG["recipes"], "other", {"max_epochs": 9})
        assert benchmark.is_done(run, setup)
    changes = [
        (benchmark.CONFIG["recipes"]["grad_cl"], "learning_rate", 0.5),
        (benchmark.CONFIG["recipe_defaults"], "new", 1),
        (benchmark.CONFIG["train"]["losses"]["separation"], "margin", 0.9),
        (benchmark.CONFIG["train"]["augmentations"], "strong", []),
    ]
    for mapping, key, value in changes:
        with monkeypatch.context() as patch:
            patch.setitem(mapping, key, value)
            assert not benchmark.is_done(run, setup)
    assert not benchmark.is_done(run, Setup(output, output, images=3))
    with monkeypatch.context() as patch:
        patch.setattr(benchmark, "model_identity", lambda path: "other weights")
        assert not benchmark.is_done(run, setup)


@pytest.fixture
def calls(monkeypatch):
    """The stages that are run; each writes what the contract names, and nothing else happens."""
    made = []

    def run_stage(name, **overrides):
        made.append((name, overrides))
        folder = Path(overrides["output_dir"])
        for part in ("pseudo_labels", "events", "overlays", "masks"):
            (folder / part).mkdir(parents=True, exist_ok=True)
        if name in ("training", "adaptation"):
            (folder / "model.pt").write_bytes(b"weights")
        metrics = {"optic_disc": {"dice": 0.9}, "optic_cup": {"dice": 0.7}}
        (folder / "metrics.json").write_text(json.dumps(metrics if name == "evaluation" else {}))
        return 0

    monkeypatch.setattr(benchmark, "run_stage", run_stage)
    monkeypatch.setitem(benchmark.CONFIG["recipes"], "plus", {"max_epochs": 1, "losses": {}})
    return made


@pytest.mark.parametrize(
    ("run", "stages", "keeps_weights"),
    [
        (Run("drishti_gs", "source", 0), ["evaluation", "evaluation", "inference"], False),
        (Run("drishti_gs", "bn", 0), ["adaptation", "evaluation", "evaluation"], True),
        (Run("drishti_gs", "plus", 0), ["adaptation", "evaluation", "evaluation", "inference"], True),
        (Run("drishti_gs", "plus", 1), ["adaptation", "evaluation"], False),
        (Run("none", "plus", 0), ["adaptation", "evaluation", "inference"], False),
        (Run("none", "plus", 0, "no teacher"), ["adaptation", "evaluation"], False),
        (Run("none", "supervised", 2), ["training", "evaluation"], False),
    ],
)
def test_a_run_does_what_the_page_needs_and_leaves_little(run, stages, keeps_weights, output, calls, monkeypatch):
    monkeypatch.setattr(benchmark, "ABLATIONS", {"no teacher": {"teacher": None}})
    setup = Setup(Path("/data"), output, provenance={"commit": "abc"})
    result = benchmark.perform(run, setup)
    assert [name for name, _ in calls] == stages
    folder = run.folder(output)
    assert (folder / "model.pt").exists() == keeps_weights
    assert not (folder / "pseudo_labels").exists()
    assert not (folder / "events").exists()
    assert result["mean_dice"] == pytest.approx(0.8)
    assert (result["commit"], result["seed"]) == ("abc", run.seed)
    assert benchmark.is_done(run, setup)
    for name, overrides in calls:
        if name in ("adaptation", "training"):
            assert overrides["seed"] == run.seed
        if name == "adaptation":
            # From inside the image folder, no label is within reach.
            assert Path(overrides["dataset_dir"]) == setup.adaptation_set(run.target) / "image"
            assert ("recipes#plus" in overrides) == bool(run.row)
        if name == "training":
            assert overrides["checkpoint"] == str(benchmark.CHECKPOINT)
            assert Path(overrides["dataset_dir"]) == setup.adaptation_set(run.target)
        if name in ("evaluation", "inference"):
            expected = benchmark.CHECKPOINT if run.recipe == "source" else folder / "model.pt"
            assert overrides["checkpoint"] == str(expected)
        if name != "training":
            assert overrides["view"] == "crop"
        assert overrides["image_size"] == 256
    scored = [Path(o["dataset_dir"]) for name, o in calls if name == "evaluation"]
    assert scored[0] == setup.scored_set(run.target)
    assert scored[1:] == [Path("/data/refuge/train")] * (stages.count("evaluation") - 1)


def test_failing_runs_are_reported_and_the_others_go_on(output, capsys):
    setup = Setup(output / "nowhere", output)
    runs = [Run("drishti_gs", "bn", 0), Run("drishti_gs", "source", 0)]
    assert benchmark.run_all(runs, setup, workers=1) == 2
    printed = capsys.readouterr().out
    assert printed.count("FAILED") == 2
    assert "2/2" in printed
    for run in runs:
        assert "does not exist" in (run.folder(output) / "log.txt").read_text()
        assert not benchmark.is_done(run, setup)


def test_the_table_of_the_real_target(results):
    rows = tables(render(results))["Drishti-GS test: a real camera"]
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
    rows = tables(render(results))["Drishti-GS test: a real camera"]

    def by_photograph(recipe):
        runs = results.of("drishti_gs", recipe)
        return np.array([np.mean([run.dice[name] for run in runs]) for name in NAMES])

    for recipe, other, column in (("bn", "source", "p against `source`"), ("plus", "grad_cl", "p against `grad_cl`")):
        p = stats.wilcoxon(by_photograph(recipe), by_photograph(other)).pvalue
        assert row_of(rows, recipe)[column] == f"{p:.3f}"
    assert results.best_peer() == "grad_cl"


def test_the_dice_of_a_photograph_is_the_mean_of_disc_and_cup(results):
    run = results.of("drishti_gs", "bn")[0]
    with (run.folder / "metrics.csv").open() as file:
        row = next(csv.DictReader(file))
    assert run.dice[row["image"]] == pytest.approx((float(row["optic_disc_dice"]) + float(row["optic_cup_dice"])) / 2)


def test_the_table_of_all_targets_averages_and_marks_harm(results):
    rows = tables(render(results))["All targets: mean Dice"]
    bn, plus, grad_cl = (row_of(rows, name) for name in ("bn", "plus", "grad_cl"))
    # On the real target bn loses 0.5 points, on none 5; grad_cl loses 0.1 there, which is not marked.
    assert [bn[t] for t in SCORES] == ["74.50 ▼", "86.00", "85.00 ▼"]
    assert grad_cl["none"] == "89.90 ± 0.00"
    assert bn["average"] == f"{(74.5 + 86 + 85) / 3:.2f}"
    assert plus["average"] == f"{(82 + 89 + 90) / 3:.2f}"


def test_a_gap_too_small_to_close_is_a_dash(results):
    rows = tables(render(results))["Gap closed"]
    assert {row["none"] for row in rows} == {"–"}
    assert [row_of(rows, name)["low_light"] for name in ("bn", "grad_cl", "plus")] == ["20 %", "20 %", "80 %"]
    assert {row["recipe"] for row in rows} == {"`bn`", "`grad_cl`", "`plus`"}


def test_what_is_forgotten_is_measured_against_the_shipped_model(results):
    rows = tables(render(results))["Forgotten"]
    assert row_of(rows, "plus")["change in points"] == "-3.00"
    assert row_of(rows, "bn")["change in points"] == "+0.00"
    assert row_of(rows, "plus")["mean Dice"] == "85.00"


def test_the_label_free_prediction_is_compared_over_runs_on_made_up_targets(results):
    changes, truths = benchmark_page.predictions(results)["predicted_dice"]
    # bn once, grad_cl and plus twice, on two targets; neither the real target nor the ablation.
    assert len(changes) == 10
    assert changes == pytest.approx([truth / 2 for truth in truths])
    rows = tables(render(results))["What can be predicted without labels"]
    assert [(row["change of"], row["Spearman's rho with the true change"], row["runs"]) for row in rows] == [
        ("predicted dice", "+1.00", "10")
    ]


def test_new_label_free_measures_appear_by_themselves(results):
    for run in results.runs:
        if run.adaptation:
            run.adaptation["before"] |= {"agreement": 0.5, "words": "x", "flag": True}
            run.adaptation["after"] |= {"agreement": 0.5 - run.score, "words": "y", "flag": False, "only_after": 1.0}
    pairs = benchmark_page.predictions(results)
    assert set(pairs) == {"predicted_dice", "agreement"}
    rows = tables(render(results))["What can be predicted without labels"]
    assert len(rows) == 2


def test_the_ablation_shows_what_each_row_changes_seed_by_seed(results, output):
    # plus has 0.86 and 0.88 there: the differences are -0.01 and -0.05.
    more = benchmark_page.load([write_run(output, Run("drishti_gs", "plus", 1, "no teacher"), 0.83)]).runs
    only = benchmark_page.load([write_run(output, Run("none", "plus", 7, "one seed of its own"), 0.83)]).runs
    rows = tables(render(benchmark_page.Results([*results.runs, *more, *only])))["Ablation"]
    assert [list(row.values()) for row in rows] == [
        ["`plus`", "82.00 ± 1.41", "89.00 ± 1.41", "90.00 ± 0.00"],
        ["no teacher", "-3.00 ± 2.83", "-8.00", "-10.00"],
        ["one seed of its own", "–", "–", "–"],
    ]


def test_the_page_says_what_is_missing_and_what_is_no_result(results, output):
    text = render(results, missing=["none/plus/2"], images=8)
    assert "**1 planned runs have no result yet:** `none/plus/2`" in text
    assert "at most 8 photographs" in text
    assert "planned" not in render(results)
    assert "quick" not in render(results)
    kept = benchmark_page.Results([run for run in results.runs if (run.target, run.recipe) != ("none", "plus")])
    rows = tables(render(kept))["All targets: mean Dice"]
    assert (row_of(rows, "plus")["none"], row_of(rows, "plus")["average"]) == ("–", "–")
    assert "Provenance" in render(benchmark_page.Results([]))


def test_speed_is_a_photograph_s_share_of_the_command(results):
    one = {"photographs": 50, "seconds": 100.0, "peak_gib": 1.5, "inference_s": 10.0, "inference_gib": 1.0}
    speed = {"bn": one, "plus": one | {"seconds": 300.0}}
    speed[benchmark_page.RATIO] = {"refinement_s": 8.0, "inference_s": 10.0, "ratio": 0.8}
    speed[benchmark_page.PROFILE] = {"seconds": {"teacher": 30.0, "student": 90.0}}
    text = render(results, speed=speed)
    rows = tables(text)["Speed"]
    assert list(row_of(rows, "plus").values()) == ["`plus`", "300", "6.00", "1.50"]
    assert list(rows[-1].values()) == ["then segmenting", "10", "0.20", "1.00"]
    assert "0.80 times as long" in text
    assert "| student | 90.0 | 75 % |" in text
    assert "| all | 120.0 | 100 % |" in text


def test_the_trust_table_counts_failures_that_are_marked(results):
    assert "## Trust" not in render(results)
    run = next(run for run in results.runs if (run.target, run.recipe) == ("none", "source"))
    run.worst = dict(zip(NAMES, [0.7, 0.75, 0.9, 0.9, 0.9, 0.9, 0.79, 0.81], strict=True))
    run.uncertainty = dict(zip(NAMES, [0.5, 0.01, 0.02, 0.02, 0.2, 0.02, 1.0, 0.02], strict=True))
    rows = tables(render(results))["Trust: which photographs to look at"]
    # Failures 0.5, 0.01 and 1 against successes 0.2 and four of 0.02: 10 of 15 pairs are in order.
    assert list(rows[0].values()) == ["none", "8", "3", "0.667", "67 %", "20 %"]
    assert [row["target"] for row in rows] == ["none", "together"]
    assert "adapted by" not in render(results).partition("## Trust")[2]
    adapted = next(run for run in results.runs if (run.target, run.recipe) == ("none", "plus"))
    adapted.worst, adapted.uncertainty = run.worst, dict.fromkeys(NAMES, 0.5)
    after = render(results).partition("The same of the models adapted by `plus`")[2]
    assert "| none | 8 | 3 | 0.500 | 100 % | 100 % |" in after


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


@pytest.mark.parametrize("recipe", ["source", "plus", "supervised"])
def test_another_source_model_and_size_reach_every_stage(recipe, output, calls, tmp_path):
    model = tmp_path / "model_512.pt"
    model.write_bytes(b"weights")
    setup = Setup(Path("/data"), output, checkpoint=model, image_size=512)
    run = Run("none", recipe, 0)
    benchmark.perform(run, setup)
    assert benchmark.is_done(run, setup)
    assert not benchmark.is_done(run, Setup(Path("/data"), output, checkpoint=model))
    assert not benchmark.is_done(run, Setup(Path("/data"), output, image_size=512))
    assert {overrides["image_size"] for _, overrides in calls} == {512}
    assert calls[0][1]["checkpoint"] == str(model)


def test_another_source_model_is_shown_beside_the_shipped_one(results, tmp_path):
    other = tmp_path / "other"
    scores = {"source": 0.83, "plus": 0.91}
    for recipe, disc in scores.items():
        _, folder = write_run(other, Run("low_light", recipe, 0), disc)
        asked = {"asked": {"weights": "model_512.pt (sha256 12)", "image_size": 512}}
        (folder / "result.json").write_text(json.dumps(FACTS | asked))
    results.runs[0].facts["asked"] = {"weights": "model.pt (sha256 34)", "image_size": 256}
    planned = benchmark.plan(["low_light", "none"], ["source", "plus"], [0])
    beside = benchmark_page.load(benchmark.finished(planned, other))
    text = benchmark_page.render(results, (), {}, FACTS, {}, beside)
    assert "with model_512.pt (sha256 12) at 512 px in place of\nmodel.pt (sha256 34) at 256 px" in text
    assert tables(text)["Another source model"] == [
        {"": "`source`, 256 px", "low_light": "85.00"},
        {"": "`source`, 512 px", "low_light": "78.00"},
        {"": "`plus`, 256 px", "low_light": "88.00"},
        {"": "`plus`, 512 px", "low_light": "86.00"},
        {"": "`supervised`, 256 px", "low_light": "90.00"},
        {"": "`supervised`, 512 px", "low_light": "–"},
    ]
    assert "Another source model" not in render(results)


def test_the_page_names_every_machine(results):
    results.runs[0].facts["gpu"] = "Card 100"
    text = render(results)
    others = sum(not run.row for run in results.runs) - 1
    assert f"Machines: runs on torch 2.0, 2 cores (x), no GPU ({others}), " in text
    assert "torch 2.0, 2 cores (x), Card 100 (1); ablation on torch 2.0, 2 cores (x), no GPU." in text


def test_the_page_names_every_commit(results):
    text = render(results, commit="fff9999")
    assert "runs at abc1234; ablation at def5678" in text
    assert "this page at fff9999" in text
    results.runs[0].facts["commit"] = "0123456+"
    assert f"abc1234 ({sum(not run.row for run in results.runs) - 1}), 0123456+ (1)" in render(results)


def test_the_summary_goes_between_the_markers(results, tmp_path):
    page = tmp_path / "README.md"
    page.write_text("before\n<!-- benchmark -->\nold\n<!-- end of benchmark -->\nafter\n")
    benchmark_page.replace_summary(page, results)
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
    assert "REFUGE held out (the source), shipped model | 96.0 | 80.0 | 88.0 |" in text
    page.write_text("no place")
    with pytest.raises(ValueError, match="has no"):
        benchmark_page.replace_summary(page, results)


def test_the_metadata_s_scores_are_measured_ones(results, tmp_path):
    """Disc Dice of SCORES, the cup's 0.1 lower, averaged over the seeds of each recipe."""
    metadata = tmp_path / "metadata.json"
    metadata.write_text(json.dumps({"version": "1", "eval_metrics": {"stale": 1.0}, "task": "\u00e9"}))
    benchmark_page.replace_eval_metrics(metadata, results)
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
        benchmark_page.replace_eval_metrics(metadata, results)
    assert json.loads(metadata.read_text(encoding="utf-8")) == content


def test_the_figures_are_drawn_and_real_photographs_stay_in_the_output_folder(results, output, tmp_path):
    pytest.importorskip("matplotlib")
    from bundle.benchmark.figures import write_figures

    setup = Setup(tmp_path, output)
    for run in results.runs:
        if run.target == "low_light":
            run.target = "phantoms"
    results.__post_init__()
    scored = {target: setup.scored_set(target) for target in ("drishti_gs", "phantoms")}
    for folder in scored.values():
        write_dataset(folder, len(NAMES), kind="crop", size=64)
        for kind in ("image", "label"):
            for name, path in zip(NAMES, sorted((folder / kind).iterdir()), strict=True):
                path.rename(folder / kind / f"{name}.png")
    for run in results.runs:
        if run.recipe in ("source", "plus") and run.seed == 0 and not run.row and run.target in scored:
            shutil.copytree(scored[run.target] / "label", run.folder / "inference" / "masks")
            rows = ["image,uncertainty", *(f"image/{name}.png,0.1" for name in NAMES)]
            (run.folder / "inference" / "report.csv").write_text("\n".join(rows))
            run.uncertainty = benchmark_page.load([(run, run.folder)]).runs[0].uncertainty
            assert run.uncertainty == dict.fromkeys(NAMES, 0.1)
    drawn = write_figures(results, setup, tmp_path / "docs")
    assert {path.name for path in drawn.values()} == {"gap_closed.png", "reliability.png", "gallery.jpg"}
    assert {path.name for path in (tmp_path / "docs").iterdir()} == {path.name for path in drawn.values()}
    for path in (*drawn.values(), output / "gallery_real.jpg"):
        with Image.open(path) as picture:
            assert np.asarray(picture.convert("L")).std() > 5
    assert write_figures(benchmark_page.Results([]), setup, tmp_path / "none") == {}


def test_a_worker_ends_with_the_process_that_started_it():
    """The parent is killed while its worker sleeps; the worker must not outlive it."""
    code = (
        "import multiprocessing, os, time\n"
        "from bundle.benchmark import runs\n"
        "from concurrent.futures import ProcessPoolExecutor\n"
        "if __name__ == '__main__':\n"
        "    context = multiprocessing.get_context('spawn')\n"
        "    pool = ProcessPoolExecutor(1, mp_context=context, initializer=runs.end_with_parent)\n"
        "    print(pool.submit(os.getpid).result(), flush=True)\n"
        "    pool.submit(time.sleep, 600)\n"
        "    time.sleep(600)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], cwd=BUNDLE_ROOT, stdout=subprocess.PIPE, text=True)
    worker = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    for _ in range(100):
        try:
            os.kill(worker, 0)
        except ProcessLookupError:
            return
        time.sleep(0.1)
    os.kill(worker, 9)
    pytest.fail("the worker outlived its parent by 10 s")


def files_below(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_record_gives_the_page_back_without_the_runs(results, output, tmp_path):
    speed = output / "speed" / "profile" / "plus.json"
    speed.parent.mkdir(parents=True)
    speed.write_text("{}")
    wanted = files_below(output)
    for run in results.runs:
        # Weights and logs of a run are not kept.
        (run.folder / "model.pt").write_bytes(b"weights")
    for target in ("phantoms", "none"):
        masks = output / "runs" / target / "source" / "0" / "inference" / "masks"
        masks.mkdir(parents=True)
        (masks / "a.png").write_bytes(b"mask")
    (output / "runs" / "phantoms" / "source" / "0" / "result.json").write_text("{}")
    unfinished = output / "runs" / "none" / "tent" / "0"
    unfinished.mkdir(parents=True)
    (unfinished / "metrics.json").write_text("{}")
    record, elsewhere = tmp_path / "record.tar.xz", tmp_path / "elsewhere"

    assert benchmark_record.write_record(output, record, "phantoms") == len(results.runs) + 1
    packed = record.read_bytes()
    assert benchmark_record.read_record(record, elsewhere) == len(results.runs) + 1
    phantoms = {"result.json": b"{}", "inference/masks/a.png": b"mask"}
    assert files_below(elsewhere) == wanted | {
        f"runs/phantoms/source/0/{name}": text for name, text in phantoms.items()
    }
    again = benchmark_page.load((run, elsewhere / run.folder.relative_to(output)) for run in results.runs)
    assert render(again) == render(results)
    assert "in [record.tar.xz](record.tar.xz)" in render(again, record="record.tar.xz")
    # The same results make the same file, which the repository then need not keep twice.
    benchmark_record.write_record(elsewhere, record, "phantoms")
    assert record.read_bytes() == packed


def test_the_record_leaves_what_is_there_alone(results, output, tmp_path):
    record = tmp_path / "record.tar.xz"
    benchmark_record.write_record(output, record, "phantoms")
    newer, older = results.runs[0].folder, results.runs[1].folder
    (newer / "metrics.json").write_text("newer")
    (older / "result.json").unlink()
    (older / "metrics.json").write_text("of a run that was killed")
    assert benchmark_record.read_record(record, output) == 1
    assert (newer / "metrics.json").read_text() == "newer"
    assert json.loads((older / "metrics.json").read_text()) == results.runs[1].metrics


@pytest.mark.parametrize("name", ["../result.json", "/tmp/result.json", "runs/../../result.json"])
def test_a_record_that_leads_out_of_the_folder_is_refused(name, tmp_path):
    record = tmp_path / "record.tar.xz"
    with tarfile.open(record, "w:xz") as archive:
        archive.addfile(tarfile.TarInfo(name), io.BytesIO())
    with pytest.raises(ValueError, match="no file of a run"):
        benchmark_record.read_record(record, tmp_path / "output")
    assert not (tmp_path / "output").exists()
