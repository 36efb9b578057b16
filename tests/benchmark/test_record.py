"""The record gives the page back without the runs, and the one that the project keeps can still be read."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import pytest

from bundle.benchmark.plan import ABLATED, CONFIG, PEERS, REAL, SOURCE, SUPERVISED, TARGETS, Run, plan, plan_ablation
from bundle.benchmark.record import read_record, same_request, write_record
from bundle.benchmark.request import asked_for
from bundle.benchmark.results import load
from bundle.benchmark.setup import Setup
from bundle.stages import BUNDLE_ROOT
from tests.benchmark.made_up import page_of


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

    assert write_record(output, record, "phantoms") == len(results.runs) + 1
    packed = record.read_bytes()
    assert read_record(record, elsewhere) == len(results.runs) + 1
    phantoms = {"result.json": b"{}", "inference/masks/a.png": b"mask"}
    assert files_below(elsewhere) == wanted | {
        f"runs/phantoms/source/0/{name}": text for name, text in phantoms.items()
    }
    again = load((Run(run.target, run.recipe, run.seed, run.row) for run in results.runs), elsewhere)
    assert page_of(again) == page_of(results)
    assert "in [record.tar.xz](record.tar.xz)" in page_of(again, record="record.tar.xz")
    # The same results make the same file, which the repository then need not keep twice.
    write_record(elsewhere, record, "phantoms")
    assert record.read_bytes() == packed


def test_the_record_leaves_what_is_there_alone(results, output, tmp_path):
    record = tmp_path / "record.tar.xz"
    write_record(output, record, "phantoms")
    newer, older = results.runs[0].folder, results.runs[1].folder
    (newer / "metrics.json").write_text("newer")
    (older / "result.json").unlink()
    (older / "metrics.json").write_text("of a run that was killed")
    assert read_record(record, output) == 1
    assert (newer / "metrics.json").read_text() == "newer"
    assert json.loads((older / "metrics.json").read_text()) == results.runs[1].metrics


@pytest.mark.parametrize("name", ["../result.json", "/tmp/result.json", "runs/../../result.json"])
def test_a_record_that_leads_out_of_the_folder_is_refused(name, tmp_path):
    record = tmp_path / "record.tar.xz"
    with tarfile.open(record, "w:xz") as archive:
        archive.addfile(tarfile.TarInfo(name), io.BytesIO())
    with pytest.raises(ValueError, match="no file of a run"):
        read_record(record, tmp_path / "output")
    assert not (tmp_path / "output").exists()


@pytest.fixture(scope="module")
def kept() -> dict[str, dict]:
    """The request of each run in the project's record, by its folder."""
    (record,) = (BUNDLE_ROOT / "docs").rglob("benchmark_runs.tar.xz")
    asked = {}
    with tarfile.open(record, "r:xz") as archive:
        for member in archive:
            if Path(member.name).name == "result.json":
                content = archive.extractfile(member)
                assert content is not None
                asked[str(Path(member.name).parent)] = json.load(content)["asked"]
    return asked


def test_the_project_s_record_holds_every_planned_run(kept):
    planned = plan(TARGETS, [SOURCE, *CONFIG["recipes"], SUPERVISED], [0, 1, 2]) + plan_ablation(ABLATED, [0, 1])
    assert {str(run.folder(Path())) for run in planned} == set(kept)


def test_the_published_recipes_are_still_what_the_project_s_record_has_run(kept):
    """Their settings are the literature's: neither moved code nor a rewritten config may change what is asked for."""
    setup = Setup(Path("data"), Path("output"))
    for run in plan((REAL, "severe", "phantoms"), (SOURCE, *PEERS, SUPERVISED), [0, 1, 2]):
        asked = asked_for(run, setup) | {"weights": kept[str(run.folder(Path()))]["weights"]}
        assert same_request(kept[str(run.folder(Path()))], asked), run
