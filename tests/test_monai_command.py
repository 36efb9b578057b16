"""``python -m monai.bundle run`` does what was typed, or says in one line why not."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bundle.stages import BUNDLE_ROOT
from tests.support.images import photograph, save_png

CONFIG = BUNDLE_ROOT / "configs" / "inference.json"


def monai(*arguments: object, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    call = [sys.executable, "-m", "monai.bundle", *map(str, arguments)]
    env = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(BUNDLE_ROOT)} | environment
    return subprocess.run(call, cwd=cwd, capture_output=True, text=True, check=False, env=env)


@pytest.mark.parametrize(("name", "other"), [("scan #2", "scan"), ("@home", ""), ("True", "")])
def test_the_folder_that_was_typed_is_segmented_from_any_folder(name, other, tmp_path):
    for folder in filter(None, (name, other)):
        save_png(photograph(), tmp_path / folder / f"of {folder}.png")
    ended = monai(
        "run", "inference", "--config_file", CONFIG, "--dataset_dir", name, "--output_dir", "2024", cwd=tmp_path
    )
    assert ended.returncode == 0, ended.stderr
    rows = (tmp_path / "2024" / "report.csv").read_text(encoding="utf-8").splitlines()[1:]
    assert [row.split(",")[0] for row in rows] == [f"of {name}.png"]


def test_home_is_expanded_in_arguments_and_in_the_user_s_own_config(tmp_path):
    save_png(photograph(), tmp_path / "in" / "a.png")
    (tmp_path / "mine.yaml").write_text("output_dir: ~/out\nguess_eye: false\n")
    files = f"['{CONFIG}','{tmp_path / 'mine.yaml'}']"
    ended = monai("run", "--config_file", files, "--dataset_dir", "~/in", cwd=tmp_path, HOME=str(tmp_path))
    assert ended.returncode == 0, ended.stderr
    assert (tmp_path / "out" / "report.csv").is_file()
    assert not (tmp_path / "~").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["inference", "--dataset_dir", BUNDLE_ROOT / "docs" / "images", "2"], "'2' belongs to no key"),
        (["inference", "--output_dir"], "output_dir cannot be True"),
        (["inference", "--max_uncertainty", "0,05"], "max_uncertainty cannot be '0,05'"),
        (["inference", "--image_size", "-256"], "image_size cannot be -256"),
        (["inference", "--guess_eye", "maybe"], "guess_eye cannot be 'maybe'. Pass True or False."),
        (["inference", "--chekpoint", "x"], "did you mean checkpoint?"),
        (["inference"], "no folder of photographs was given"),
    ],
)
def test_a_wrong_call_is_one_line_and_costs_nothing(arguments, said, tmp_path):
    default = BUNDLE_ROOT / "output" / "inference"
    before = default.exists()
    ended = monai("run", *arguments, "--config_file", CONFIG, cwd=tmp_path)
    assert ended.returncode == 2, ended.stderr
    assert said in ended.stderr.strip().splitlines()[-1]
    assert "Traceback" not in ended.stderr
    assert list(tmp_path.iterdir()) == []
    assert default.exists() == before
