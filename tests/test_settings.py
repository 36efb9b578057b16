"""Every setting is declared once, and what is not one is refused with the one that was meant."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from bundle.errors import CallError
from bundle.settings import SETTINGS, check_overrides, known_keys
from bundle.stages import BUNDLE_ROOT, STAGES

PATHS = {stage: BUNDLE_ROOT / "configs" / f"{name}.json" for stage, name in STAGES.items()}
CONFIGS = {stage: json.loads(path.read_text(encoding="utf-8")) for stage, path in PATHS.items()}
# What these hold is part of the programme: a component, a step, or the stage's other name.
STRUCTURE = {"network", "evaluator", "pending", *STAGES}


def plain_keys(stage: str) -> set[str]:
    return {key for key, value in CONFIGS[stage].items() if not isinstance(value, dict | list)} - STRUCTURE


def test_every_plain_key_of_every_stage_is_declared_and_none_besides():
    # uncertainty_scale is a component by default, and a number where a user sets it.
    of_many_cameras = {"epoch_size", "leave_out", "teacher_confidence"}
    assert set().union(*map(plain_keys, STAGES)) | {"uncertainty_scale", "source_cup_share"} | of_many_cameras == set(
        SETTINGS
    )


@pytest.mark.parametrize("stage", STAGES)
def test_every_default_is_allowed(stage):
    for key in plain_keys(stage):
        assert SETTINGS[key].admits(CONFIGS[stage][key]), key


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("seed", "abc"),
        ("seed", 1.5),
        ("seed", True),
        ("seed", -1),
        ("guess_eye", "false"),
        ("guess_eye", 0),
        ("image_size", -256),
        ("image_size", 250),
        ("disc_share", 0),
        ("disc_share", 1.0),
        ("max_uncertainty", "8%"),
        ("max_uncertainty", (0, 5)),
        ("view", "crops"),
        ("mask_format", "jpg"),
        ("batch_size", None),
        ("device", "gpu"),
        ("device", "cuda:99"),
        ("output_dir", True),
        ("output_dir", ""),
        ("view", 3),
        ("recipe", True),
        ("max_uncertainty", float("nan")),
    ],
)
def test_a_value_that_a_setting_cannot_have_is_refused(key, value):
    with pytest.raises(CallError, match=re.escape(f"{key} cannot be {value!r}. Pass {SETTINGS[key].allowed()}.")):
        check_overrides("inference", {key: value}, [key])


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("device", "cpu"),
        ("output_dir", Path("x")),
        ("dataset_dir", None),
        ("seed", 7),
        ("min_sharpness", 0),
        ("checkpoint", None),
        ("seed", "$1 + 1"),
        ("view", "@other"),
    ],
)
def test_a_value_that_a_setting_can_have_passes(key, value):
    check_overrides("inference", {key: value}, [key])


@pytest.mark.parametrize("stage", STAGES)
def test_a_misspelt_key_is_refused_with_the_one_that_was_meant(stage):
    with pytest.raises(CallError, match=f"{stage} has no key 'chekpoint' .did you mean checkpoint"):
        check_overrides(stage, {"chekpoint": "model.pt"}, known_keys([PATHS[stage]]))


def test_a_folder_that_is_no_bundle_is_called_so_and_no_checkpoint(tmp_path):
    check_overrides("inference", {"bundle_root": str(BUNDLE_ROOT)}, ["bundle_root"])
    with pytest.raises(CallError, match="bundle_root cannot be .* no folder models") as caught:
        check_overrides("inference", {"bundle_root": str(tmp_path)}, ["bundle_root"])
    assert "--checkpoint" not in str(caught.value)


def test_a_nested_key_counts_by_its_first_part():
    check_overrides("training", {"train#optimizer#lr": 1.0}, ["train"])
    with pytest.raises(CallError, match="did you mean train"):
        check_overrides("training", {"trian#optimizer#lr": 1.0}, ["train"])


def test_keys_of_an_overlay_are_known_too(tmp_path):
    (tmp_path / "a.json").write_text('{"one": 1}')
    (tmp_path / "b.json").write_text('{"+two": [], "three#four": 1}')
    assert known_keys([tmp_path / "a.json", tmp_path / "b.json"]) == ["one", "two", "three"]


@pytest.mark.parametrize("stage", STAGES)
def test_the_first_step_of_every_stage_checks_the_call(stage):
    assert CONFIGS[stage]["run"][0] == f"$bundle.monai_command.settle('{stage}')"
    # A recipe is checked before a photograph is looked for.
    checked = ["$@settings.check_names(@named)"] if stage == "adaptation" else []
    data = "@train#dataset#data" if stage == "training" else "@dataset#data"
    begin = f"$bundle.monai_command.begin('{stage}', @output_dir, {data})"
    assert CONFIGS[stage]["run"][1 : 2 + len(checked)] == [*checked, begin]


def test_the_command_refuses_a_misspelt_key_before_anything_else(tmp_path):
    call = [sys.executable, "-m", "monai.bundle", "run", "inference", "--config_file", str(PATHS["inference"])]
    call += ["--bundle_root", str(BUNDLE_ROOT), "--output_dri", str(tmp_path / "out")]
    ended = subprocess.run(call, cwd=BUNDLE_ROOT, capture_output=True, text=True)
    assert ended.returncode == 2, ended.stderr
    assert "Traceback" not in ended.stderr
    line = ended.stderr.strip().splitlines()[-1]
    assert line.startswith("error: inference has no key 'output_dri' (did you mean output_dir?).")
    assert not (tmp_path / "out").exists()
