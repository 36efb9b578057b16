"""The recipes of the page stand beside those of the bundle, on every way to a stage."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bundle import fundus
from bundle.benchmark.plan import CONFIG, Run, config_with, plan
from bundle.benchmark.request import asked_for
from bundle.benchmark.setup import Setup
from bundle.errors import CallError
from bundle.networks.weights import save_weights
from bundle.stages import BUNDLE_ROOT, run_stage
from bundle.synthetic.phantoms.photographs import write_dataset
from tests.support.stages import TINY_CROPS

PAGE = (BUNDLE_ROOT / "docs" / "how-to" / "add_a_recipe.md").read_text(encoding="utf-8")
MINE, LOSS = re.findall(r"^```yaml\n(.*?)^```", PAGE, re.M | re.S)
ADAPT = BUNDLE_ROOT / "configs" / "adapt.json"


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    path = tmp_path / "mine.yaml"
    path.write_text(MINE, encoding="utf-8")
    return path


@pytest.fixture
def few(tmp_path: Path, network: Any) -> dict[str, Any]:
    """Keys of a small adaptation."""
    write_dataset(tmp_path / "target", 2, kind="crop", size=64)
    save_weights(network, tmp_path / "start.pt")
    folders = {"dataset_dir": str(tmp_path / "target"), "output_dir": str(tmp_path / "out")}
    small = TINY_CROPS | {"passes": 2, "quiet": True, "checkpoint": str(tmp_path / "start.pt")}
    return small | folders


def record(few: dict[str, Any]) -> dict[str, Any]:
    return json.loads(Path(few["output_dir"], "adaptation.json").read_text(encoding="utf-8"))


@pytest.mark.usefixtures("_determinism")
def test_the_recipes_of_the_page_adapt(mine, few):
    files = [str(ADAPT), str(mine)]
    steps: dict[str, Any] = {"recipes#calm#least_steps": 1, "recipes#calm#max_epochs": 1}
    assert run_stage("adaptation", config_file=files, recipe="calm", logging_file=False, **few, **steps) == 0
    settings = record(few)["settings"]
    plus = CONFIG["recipe_defaults"] | CONFIG["recipes"]["plus"]
    own = {"learning_rate": 0.0001, "cup_prior": None, "least_steps": 1, "max_epochs": 1}
    assert settings == plus | own
    few["output_dir"] += "_sure"
    assert run_stage("adaptation", config_file=files, recipe="sure", logging_file=False, **few) == 0
    assert record(few)["settings"]["losses"] == {"entropy": 0.5, "consistency": 1.0}


def test_monai_s_command_adds_them_too(mine, few):
    """A shipped recipe is still there, and a recipe of the same name takes its place."""
    mine.write_text("recipes: {bn: {statistics: 0.5}, other: {base: bn}}")
    words = ["run", "adaptation", "--config_file", f"['{ADAPT}','{mine}']", "--recipe", "other"]
    words += [word for key, value in few.items() for word in (f"--{key}", str(value))]
    env = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(BUNDLE_ROOT)}
    call = [sys.executable, "-m", "monai.bundle", *words]
    ended = subprocess.run(call, capture_output=True, text=True, check=False, env=env, cwd=mine.parent)
    assert ended.returncode == 0, ended.stderr
    assert record(few)["settings"]["statistics"] == 0.5


@pytest.mark.parametrize(
    ("own", "said"),
    [
        ("{mine: {max_epoch: 3}}", "recipe mine has an unknown setting 'max_epoch' (did you mean max_epochs?)"),
        ("{mine: {base: plsu}}", "recipe mine has an unknown base 'plsu' (did you mean plus?)"),
        ("{mine: {base: other}, other: {base: mine}}", "recipe other is built on itself, by its base 'mine'"),
        ("{mine: {learning_rate: 5e-4}}", "learning_rate cannot be '5e-4' (in YAML, write 5.0e-4 for 5e-4)"),
        ("{mine: {max_epochs: true}}", "max_epochs cannot be True"),
        ("{mine: {statistics: 2}}", "the recipe's statistics cannot be 2"),
        ("{mine: 3}", "recipe mine cannot be 3"),
        ("{mine: {max_epochs: 1, losses: {entropi: 1}}}", "names 'entropi', which train#losses does not have"),
        (
            "{mine: {augmentation: stong}}",
            "'stong', which train#augmentations does not have (did you mean strong?)",
        ),
        ("{other: {}}", "--recipe mine is unknown. Use one of bn, cbmt,"),
    ],
)
def test_a_recipe_that_cannot_be_is_a_wrong_call_that_costs_nothing(own, said, mine, few):
    mine.write_text(f"recipes: {own}\ntrain#losses#mine: {{_target_: bundle.losses.entropy.EntropyLoss}}")
    words = [word for key, value in few.items() if not key.endswith("_dir") for word in (f"--{key}", str(value))]
    folders = [few["dataset_dir"], few["output_dir"]]
    with pytest.raises(CallError) as raised:
        fundus.main(["adapt", *folders, "--config", str(mine), "--recipe", "mine", *words])
    assert said in str(raised.value)
    assert "\n" not in raised.value.message
    assert not Path(few["output_dir"], "model.pt").exists()


def test_the_benchmark_takes_the_file_and_leaves_shipped_rows_alone(mine, tmp_path):
    shipped, own = Setup(tmp_path, tmp_path), Setup(tmp_path, tmp_path, own=mine)
    planned = plan(["none"], ["source", "plus", "calm"], [0, 1], config_with(mine))
    assert [str(run) for run in planned if run.recipe == "calm"] == ["none/calm/0", "none/calm/1"]
    assert asked_for(Run("none", "plus", 0), own) == asked_for(Run("none", "plus", 0), shipped)
    assert own.config_files("plus") == [str(ADAPT)]
    assert own.config_files("calm") == [str(ADAPT), str(mine)]
    asked = asked_for(Run("none", "calm", 0), own)
    assert asked["settings"]["learning_rate"] == 0.0001
    assert asked["settings"]["teacher"] == CONFIG["recipes"]["plus"]["teacher"]
    mine.write_text(MINE + "passes: 3\n" + LOSS)
    changed = asked_for(Run("none", "calm", 0), own)
    assert changed["own"].keys() == {"passes", "train#losses#mine"}
    assert changed | {"own": {}} == asked


@pytest.mark.parametrize(
    ("own", "said"),
    [
        ("{plus: {max_epochs: 1}}", "changes the row plus"),
        ("{source: {}}", "changes the row source"),
        ("{}", "adds no recipe"),
        ("{mine: {losses: {x: 1}}}", "which train#losses does not have"),
    ],
)
def test_a_row_of_the_benchmark_means_what_it_says(own, said, mine):
    mine.write_text(f"recipes: {own}")
    with pytest.raises(CallError, match=said):
        config_with(mine)
