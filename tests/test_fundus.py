"""The command ``fundus`` works from any folder and ends with one line where it cannot."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bundle import fundus
from bundle.errors import CallError
from bundle.stages import BUNDLE_ROOT, STAGES
from bundle.terminal import Terminal
from tests.support.images import photograph, save_png

Calls = list[tuple[str, list[str], dict[str, object]]]


@pytest.fixture
def calls(monkeypatch) -> Calls:
    """The stages that a command runs, which then do nothing."""
    made: Calls = []

    def run_stage(stage, config_file=(), **settings):
        made.append((stage, [Path(path).name for path in config_file], settings))
        return int(stage == "adaptation")

    monkeypatch.setattr(fundus, "run_stage", run_stage)
    monkeypatch.setattr(fundus, "end_in_one_line", lambda *_: None)
    monkeypatch.setattr(Terminal, "sum_up", lambda self: None)
    return made


@pytest.mark.parametrize(("command", "stage"), fundus.COMMANDS.items())
def test_each_command_runs_its_stage_in_the_folders_that_it_names(command, stage, calls):
    assert fundus.main([command, "a,b", "2024"]) == 0
    name, configs, settings = calls[0]
    assert (name, configs) == (stage, [f"{STAGES[stage]}.json"])
    assert settings["dataset_dir"] == "a,b"
    assert settings["output_dir"] == "2024"


def test_adapt_segments_with_the_model_that_it_wrote_and_each_stage_gets_its_own_settings(calls):
    options = ["--recipe", "bn", "--mask_format", "nifti", "--view", "crop", "--checkpoint", "start.pt"]
    assert fundus.main(["adapt", "in", "out", *options]) == 0
    (adaptation, _, its), (inference, _, other) = calls
    assert (adaptation, inference) == ("adaptation", "inference")
    assert {"recipe": "bn", "view": "crop", "checkpoint": "start.pt"}.items() <= its.items()
    assert "mask_format" not in its
    assert {"mask_format": "nifti", "view": "crop", "checkpoint": str(Path("out/model.pt"))}.items() <= other.items()
    assert "recipe" not in other


def test_segment_names_its_own_output_folder(calls, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    fundus.main(["segment", "photos/camera B"])
    assert calls[0][2]["output_dir"] == "camera B_segmented"


def test_files_of_settings(calls, tmp_path):
    (tmp_path / "arguments.yaml").write_text("view: crop\nguess_eye: false\n")
    (tmp_path / "mine.json").write_text("{}")
    files = ["--args_file", str(tmp_path / "arguments.yaml"), "--config", str(tmp_path / "mine.json")]
    fundus.main(["segment", "in", "out", *files, "--view", "photograph"])
    _, configs, settings = calls[0]
    assert configs == ["inference.json", "mine.json"]
    assert {"view": "photograph", "guess_eye": False}.items() <= settings.items()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["segmnt", "in"], "did you mean segment"),
        (["segment"], "dataset_dir is missing"),
        (["adapt", "in"], "output_dir is missing. Say fundus adapt DIR OUT"),
        (["segment", "in", "out", "2"], "'2' belongs to no option"),
        (["segment", "in", "--dataset_dir", "other"], "dataset_dir is given twice"),
        (["segment", "in", "out", "--config_file", "x.json"], "Pass --config"),
        (["segment", "in", "out", "--config", "nowhere.json"], "nowhere.json does not exist"),
        (["adapt", "in", "out", "--recipie", "bn"], "did you mean recipe"),
    ],
)
def test_a_wrong_call_is_refused_before_anything_is_run(arguments, said, calls):
    with pytest.raises(CallError, match=said):
        fundus.main(arguments)
    assert calls == []


@pytest.mark.parametrize("command", fundus.COMMANDS)
def test_help_lists_every_option_with_its_default(command, calls, capsys):
    assert fundus.main([command, "--help"]) == 0
    shown = capsys.readouterr().out
    assert "--view: " in shown
    assert "; by default " in shown
    assert calls == []


def test_the_command_itself_from_another_folder(tmp_path):
    save_png(photograph(), tmp_path / "scan #2" / "a.png")
    command = [sys.executable, "-m", "bundle"]
    env = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(BUNDLE_ROOT)}
    done = subprocess.run([*command, "segment", "scan #2"], cwd=tmp_path, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "scan #2_segmented" / "report.html").is_file()
    wrong = subprocess.run([*command, "segment", "nowhere"], cwd=tmp_path, env=env, capture_output=True, text=True)
    assert wrong.returncode == 2
    assert "Traceback" not in wrong.stderr
    assert wrong.stderr.strip().splitlines()[-1].startswith(f"error: the folder {tmp_path / 'nowhere'} does not exist.")


def test_a_wheel_holds_all_that_the_command_needs(tmp_path):
    pytest.importorskip("hatchling")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path / "dist")]
    subprocess.run(build, cwd=BUNDLE_ROOT, check=True, capture_output=True)
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    place = tmp_path / "installed"
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", str(place)]
    subprocess.run([*install, str(wheel)], check=True, capture_output=True)
    for folder, pattern in (("configs", "*"), ("models", "*.pt"), ("bundle", "**/*.py")):
        below = place / "bundle" / (folder if folder != "bundle" else "")
        names = {path.relative_to(BUNDLE_ROOT / folder) for path in (BUNDLE_ROOT / folder).glob(pattern)}
        assert names <= {path.relative_to(below) for path in below.glob("**/*")}, folder
    save_png(photograph(), tmp_path / "in" / "a.png")
    env = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(place)}
    command = [sys.executable, "-m", "bundle", "segment", "in", "out"]
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out" / "masks" / "a.png").is_file()
    assert json.loads((tmp_path / "out" / ".fundus.json").read_text())["names"]
