"""A stage writes over nothing but its own, leaves nothing that no longer belongs, and works alone in its folder."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bundle.data.listing import list_photographs
from bundle.data.own_outputs import EVENTS, MARK, OUTPUTS, own_names
from bundle.errors import CallError
from bundle.io.output_folder import claim, forget_missing, release
from bundle.stages import run_stage
from tests.support.folders import files_in
from tests.support.images import photograph, save_png


@pytest.fixture(autouse=True)
def _released():
    yield
    release()


@pytest.mark.parametrize("stage", OUTPUTS)
def test_what_the_bundle_did_not_write_is_not_written_over(stage, tmp_path):
    for name in set(OUTPUTS[stage]) - {EVENTS}:
        folder = tmp_path / name.replace(".", "_")
        folder.mkdir()
        (folder / name).write_bytes(b"somebody's")
        with pytest.raises(CallError, match=f"{name} was there before"):
            claim(folder, stage)
        assert files_in(folder).keys() == {name}


def test_a_folder_with_other_files_and_the_bundle_s_own_are_taken(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    claim(tmp_path, "inference")
    (tmp_path / "report.csv").write_text("image")
    claim(tmp_path, "inference")
    claim(tmp_path, "evaluation")
    assert own_names(tmp_path) == {*OUTPUTS["inference"], *OUTPUTS["evaluation"]}


@pytest.mark.parametrize(
    ("table", "head", "stage"),
    [
        ("report.csv", "image,status,vcdr,hcdr", "inference"),
        ("metrics.csv", "image,optic_disc_dice,x", "evaluation"),
        ("refinement.csv", "image,area_share_disc,x", "refinement"),
    ],
)
def test_results_of_version_0_1_are_known_by_their_table(table, head, stage, tmp_path):
    assert own_names(tmp_path) == set()
    (tmp_path / table).write_text(head)
    assert set(OUTPUTS[stage]) <= own_names(tmp_path)
    (tmp_path / table).write_text("name,age")
    assert own_names(tmp_path) == set()


def test_a_second_run_into_the_same_folder_says_so(tmp_path):
    claim(tmp_path, "inference")
    code = f"from bundle.io.output_folder import claim; claim({str(tmp_path)!r}, 'inference')"
    second = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "another run is at work in" in second.stderr
    release()
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_broken_mark_owns_nothing(tmp_path):
    for text in ("{", "[]", '{"names": 3}', '{"names": [3]}'):
        (tmp_path / MARK).write_text(text)
        assert own_names(tmp_path) == set()


def test_files_of_an_earlier_run_go_and_others_stay(tmp_path):
    claim(tmp_path, "inference")
    (tmp_path / "masks").mkdir()
    for name in ("a.png", "b.png", "mine.png"):
        (tmp_path / "masks" / name).touch()
    forget_missing(tmp_path, "inference", ["masks/a.png", "masks/b.png"])
    forget_missing(tmp_path, "inference", ["masks/b.png"])
    assert sorted(path.name for path in (tmp_path / "masks").iterdir()) == ["b.png", "mine.png"]
    # A mark that somebody has changed reaches nothing outside the folder.
    mark = json.loads((tmp_path / MARK).read_text())
    outside = tmp_path.parent / "outside.png"
    outside.touch()
    (tmp_path / MARK).write_text(json.dumps(mark | {"files": {"inference": ["../outside.png"]}}))
    forget_missing(tmp_path, "inference", [])
    assert outside.exists()


@pytest.mark.parametrize(("first", "second"), [("", "results"), ("earlier", "later")])
def test_results_are_never_photographs(first, second, tmp_path):
    save_png(photograph(), tmp_path / "a.png")
    run_stage("inference", dataset_dir=tmp_path, output_dir=tmp_path / first, logging_file=False)
    before = files_in(tmp_path / first)
    run_stage("inference", dataset_dir=tmp_path, output_dir=tmp_path / second, logging_file=False)
    assert [Path(item["image"]).name for item in list_photographs(tmp_path)] == ["a.png"]
    assert len((tmp_path / second / "report.csv").read_text().splitlines()) == 2
    assert {name: files_in(tmp_path / first)[name] for name in before} == before


def test_results_of_photographs_that_are_gone_or_unreadable_now_do_not_stay(tmp_path):
    for name in ("a", "b", "c"):
        save_png(photograph(), tmp_path / "in" / f"{name}.png")
    assert run_stage("inference", dataset_dir=tmp_path / "in", output_dir=tmp_path / "out", logging_file=False) == 0
    (tmp_path / "in" / "a.png").unlink()
    (tmp_path / "in" / "b.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    assert run_stage("inference", dataset_dir=tmp_path / "in", output_dir=tmp_path / "out", logging_file=False) == 1
    for folder in ("masks", "overlays"):
        assert [path.name for path in (tmp_path / "out" / folder).iterdir()] == ["c.png"]
