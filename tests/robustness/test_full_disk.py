"""A disk that is full, a folder that is closed: one line, nothing torn, and the same results once there is room."""

from __future__ import annotations

import resource
import subprocess
from pathlib import Path

import pytest

from bundle.errors import CallError
from bundle.stages import run_stage
from tests.robustness import kill_check
from tests.support.processes import forkserver

LIMIT = 20_000
"""Bytes a file: enough for a log, too few for weights, pseudo-labels and overlays."""
ROOM = {"training": "100k", "refinement": "60k", "adaptation": "120k", "inference": "40k"}
"""Of a disk that is full in the stage's midst."""


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("disk")
    return folder, kill_check.prepare(folder)


@pytest.fixture(scope="module")
def undisturbed(prepared):
    output, checkpoint = prepared
    found = {}
    for stage in kill_check.SETTINGS:
        kill_check.start(stage, output, output / f"{stage}-whole", checkpoint).join()
        found[stage] = kill_check.contents(output / f"{stage}-whole")
        assert found[stage]
    return found


def run_limited(stage, overrides, log):
    resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT, LIMIT))
    kill_check.run_logged(stage, overrides, log)


def ends_with_the_line(process, log: Path, problem: str) -> None:
    process.join()
    said = log.read_text(encoding="utf-8")
    assert process.exitcode == 2, said
    assert said.splitlines()[-1].startswith(f"error: {problem} "), said
    assert "Traceback" not in said, said


def goes_on(stage, output, folder, checkpoint, expected) -> None:
    """What the interrupted stage has written is whole, and with room it ends as it should."""
    found = kill_check.contents(folder)
    assert [name for name in found if name in expected and not kill_check.same(found[name], expected[name])] == []
    assert not expected.keys() <= found.keys()
    process = kill_check.start(stage, output, folder, checkpoint)
    process.join()
    assert process.exitcode == 0, Path(f"{folder}.log").read_text(encoding="utf-8")
    found = kill_check.contents(folder)
    assert [name for name in expected if not kill_check.same(found.get(name), expected[name])] == []
    hidden = [path.name for path in folder.rglob(".*") if path.is_file()]
    assert sorted(hidden) == [".fundus.json", ".fundus.lock"]


@pytest.mark.parametrize("stage", kill_check.SETTINGS)
def test_files_that_may_not_grow(stage, prepared, undisturbed):
    output, checkpoint = prepared
    folder = output / f"{stage}-limited"
    overrides = kill_check.overrides_of(stage, output, folder, checkpoint)
    process = forkserver().Process(target=run_limited, args=(stage, overrides, f"{folder}.log"))
    process.start()
    ends_with_the_line(process, Path(f"{folder}.log"), "no room is left in")
    goes_on(stage, output, folder, checkpoint, undisturbed[stage])


@pytest.fixture
def disk(tmp_path):
    """Mounts a disk of a given size, where that is allowed."""
    mounted = []

    def mount(options: str) -> Path:
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(tmp_path)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"no disk can be mounted here: {done.stderr.strip()}")
        mounted.append(tmp_path)
        return tmp_path

    yield mount
    for path in mounted:
        subprocess.run(["umount", "--lazy", str(path)], check=True)


@pytest.mark.parametrize("stage", kill_check.SETTINGS)
def test_a_full_disk(stage, prepared, undisturbed, disk):
    output, checkpoint = prepared
    mounted = disk(f"size={ROOM[stage]}")
    folder, log = mounted / "out", output / f"{stage}-full.log"
    overrides = kill_check.overrides_of(stage, output, folder, checkpoint)
    process = forkserver().Process(target=kill_check.run_logged, args=(stage, overrides, str(log)))
    process.start()
    ends_with_the_line(process, log, "no room is left in")
    subprocess.run(["mount", "-o", "remount,size=50m", str(mounted)], check=True)
    goes_on(stage, output, folder, checkpoint, undisturbed[stage])


@pytest.fixture(scope="module")
def unread(tmp_path_factory) -> str:
    """Photographs and labels that end a stage which opens them."""
    folder = tmp_path_factory.mktemp("unread")
    for name in ("image", "label"):
        (folder / name).mkdir()
        for stem in ("a", "b"):
            (folder / name / f"{stem}.png").write_bytes(b"broken")
    return str(folder)


@pytest.mark.parametrize("stage", ["training", "refinement", "adaptation", "evaluation", "inference"])
def test_a_folder_that_cannot_be_written_to_is_told_before_any_work(stage, disk, unread):
    folder = disk("ro") / "out"
    with pytest.raises(CallError, match=f"{folder} cannot be written to .* Pass another --output_dir"):
        run_stage(stage, dataset_dir=unread, output_dir=str(folder), logging_file=False)


@pytest.mark.parametrize("stage", ["training", "refinement", "adaptation", "evaluation", "inference"])
def test_an_output_folder_that_is_a_file(stage, unread, tmp_path):
    (tmp_path / "file").write_text("mine")
    for folder in (tmp_path / "file", tmp_path / "file" / "out"):
        with pytest.raises(CallError, match=f"{folder} cannot be written to"):
            run_stage(stage, dataset_dir=unread, output_dir=str(folder), logging_file=False)
    assert (tmp_path / "file").read_text() == "mine"
