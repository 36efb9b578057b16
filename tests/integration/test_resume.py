"""Inference that was killed continues, and ends with the very files of a run that was not."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from monai.bundle import ConfigParser
from PIL import Image

from bundle.errors import CallError
from bundle.io.records import Records
from bundle.stages import BUNDLE_ROOT, run_stage
from bundle.synthetic.phantoms.photographs import make_crop
from bundle.uncertainty.evaluator import AgreementEvaluator
from tests.support.folders import files_in
from tests.support.processes import forkserver
from tests.support.stages import TINY_CROPS


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Seven photographs, one of which cannot be read."""
    folder = tmp_path_factory.mktemp("photographs")
    for i in range(6):
        Image.fromarray(make_crop(i, size=(96, 80)).image).save(folder / f"{i}.png")
    (folder / "2_broken.png").write_bytes(b"")
    return folder


@pytest.fixture
def checkpoint(network, tmp_path) -> str:
    path = tmp_path / "model.pt"
    torch.save(network.state_dict(), path)
    return str(path)


@pytest.fixture
def seen(monkeypatch) -> list[str]:
    """Names of the photographs that go through the network."""
    names: list[str] = []
    iteration = AgreementEvaluator._iteration

    def noted(self, engine, batchdata):
        names.extend(batchdata.get("name", []))
        return iteration(self, engine, batchdata)

    monkeypatch.setattr(AgreementEvaluator, "_iteration", noted)
    return names


def run_and_die(count: int, stage: str, settings: dict[str, Any]) -> None:
    """In a process of its own: run a stage, and be killed when ``count`` records are written."""
    torch.set_num_threads(1)
    save = Records.save
    saved: list[Any] = []

    def save_and_die(self: Records, item: Any, *rest: Any) -> None:
        if len(saved) == count:
            os.kill(os.getpid(), signal.SIGKILL)
        saved.append(item)
        save(self, item, *rest)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Records, "save", save_and_die)
        run_stage(stage, **settings)


def kill_after(count: int, stage: str = "inference", **settings: Any) -> None:
    process = forkserver().Process(target=run_and_die, args=(count, stage, settings))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL


def test_a_killed_run_continues_to_the_same_files(folder, checkpoint, seen, tmp_path):
    settings = TINY_CROPS | {"dataset_dir": str(folder), "checkpoint": checkpoint}
    assert run_stage("inference", output_dir=str(tmp_path / "whole"), **settings) == 1
    assert seen == [*"012345"]
    whole = files_in(tmp_path / "whole")
    assert len(whole) == 6 + 6 + 4
    cut = tmp_path / "cut"
    kill_after(3, output_dir=str(cut), **settings)
    assert len(list((cut / ".inference").iterdir())) == 3
    assert not (cut / "report.csv").exists()
    # What the kill may leave at any other moment.
    (cut / "masks" / ".0123456789abcdef.png").write_bytes(b"half")
    seen.clear()
    assert run_stage("inference", output_dir=str(cut), **settings) == 1
    assert seen == [*"345"]
    assert files_in(cut) == whole


def test_a_run_that_lacks_but_the_report_does_no_photograph_again(folder, checkpoint, seen, tmp_path, monkeypatch):
    settings = TINY_CROPS | {"dataset_dir": str(folder), "checkpoint": checkpoint}
    run_stage("inference", output_dir=str(tmp_path / "whole"), **settings)
    (tmp_path / "in").mkdir()
    with monkeypatch.context() as patch:
        patch.setattr("bundle.report.report.write_page", lambda *_: 1 / 0)
        with pytest.raises(RuntimeError):
            run_stage("inference", output_dir=str(tmp_path / "cut"), **settings)
    seen.clear()
    # The broken photograph is tried again, because it may have been mended, and gives the same status.
    assert run_stage("inference", output_dir=str(tmp_path / "cut"), **settings) == 1
    assert seen == []
    assert files_in(tmp_path / "cut") == files_in(tmp_path / "whole")
    # A finished run leaves nothing to continue: the same command does everything anew.
    assert run_stage("inference", output_dir=str(tmp_path / "cut"), **settings) == 1
    assert seen == [*"012345"]
    assert files_in(tmp_path / "cut") == files_in(tmp_path / "whole")


@pytest.fixture(scope="module")
def interrupted(folder, _tiny_network, tmp_path_factory) -> dict:
    """The settings of a run that has done everything but write its report."""
    output = tmp_path_factory.mktemp("interrupted")
    torch.save(_tiny_network.state_dict(), output / "model.pt")
    settings = TINY_CROPS | {
        "dataset_dir": str(folder),
        "checkpoint": str(output / "model.pt"),
        "output_dir": str(output),
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bundle.report.report.Report.write", lambda _: None)
        run_stage("inference", **settings)
    assert len(list((output / ".inference").iterdir())) == 7
    return settings


@pytest.mark.parametrize(
    ("change", "count"),
    [
        ({}, 1),
        ({"rim_sector": 20}, 7),
        ({"mask_format": "nifti"}, 7),
        ({"report_format": "dicom_sr"}, 7),
        ({"keep_study": True}, 7),
        ({"max_uncertainty": 0.5}, 7),
        ({"uncertainty_scale": 0.5}, 7),
        ({"min_sharpness": 0.1}, 7),
        ({"max_distance": 2}, 7),
        ({"image_size": 96}, 7),
        ({"postprocessing#transforms#2#min_disc_px": 1}, 7),
        ({"preprocessing#transforms#3#disc_share": 0.5}, 7),
        ({"checkpoint": "other.pt"}, 7),
    ],
)
def test_records_of_other_settings_or_weights_are_not_used(change, count, interrupted, network, tmp_path):
    settings = interrupted | {"output_dir": str(tmp_path)}
    shutil.copytree(interrupted["output_dir"], tmp_path, dirs_exist_ok=True)
    if "checkpoint" in change:
        with torch.no_grad():
            network.segmentation_head[-1].bias.add_(1e-6)
        change = {"checkpoint": str(tmp_path / "other.pt")}
        torch.save(network.state_dict(), change["checkpoint"])
    parser = ConfigParser()
    parser.read_config(BUNDLE_ROOT / "configs" / "inference.json")
    parser.update({"bundle_root": str(BUNDLE_ROOT)} | settings | change)
    assert len(parser.get_parsed_content("pending")) == count


@pytest.fixture
def labelled(tmp_path) -> Path:
    """Five photographs with labels, one of which cannot be read."""
    for part in ("image", "label"):
        (tmp_path / "labelled" / part).mkdir(parents=True)
    for i in range(5):
        phantom = make_crop(i, size=(96, 80))
        Image.fromarray(phantom.image).save(tmp_path / "labelled" / "image" / f"{i}.png")
        Image.fromarray(phantom.label).save(tmp_path / "labelled" / "label" / f"{i}.png")
    (tmp_path / "labelled" / "image" / "1.png").write_bytes(b"")
    return tmp_path / "labelled"


def test_a_killed_evaluation_continues_to_the_same_files(labelled, checkpoint, seen, tmp_path, monkeypatch):
    settings = TINY_CROPS | {"dataset_dir": str(labelled), "checkpoint": checkpoint}
    assert run_stage("evaluation", output_dir=str(tmp_path / "whole"), **settings) == 1
    assert seen == [*"0234"]
    whole = files_in(tmp_path / "whole")
    assert sorted(whole) == ["metrics.csv", "metrics.json"]
    cut = tmp_path / "cut"
    kill_after(2, "evaluation", output_dir=str(cut), **settings)
    assert sorted(path.name for path in cut.iterdir()) == [".evaluation", ".fundus.json", ".fundus.lock"]
    # A label that was mended meanwhile is scored anew, here with the same result.
    (labelled / "label" / "2.png").touch()
    seen.clear()
    with monkeypatch.context() as patch:
        # Interrupted once more, with nothing left to do but to write.
        patch.setattr("bundle.evaluation.scores.summarise", lambda *_: 1 / 0)
        with pytest.raises(RuntimeError):
            run_stage("evaluation", output_dir=str(cut), **settings)
    assert seen == [*"234"]
    seen.clear()
    assert run_stage("evaluation", output_dir=str(cut), **settings) == 1
    assert seen == []
    assert files_in(cut) == whole
    # Nothing is left to continue: the same command scores all anew.
    assert run_stage("evaluation", output_dir=str(cut), **settings) == 1
    assert seen == [*"0234"]


def test_the_report_is_refused_where_a_photograph_has_no_record(folder, checkpoint, tmp_path, monkeypatch):
    """As when another process that shared the work was killed."""
    pending = Records.pending
    monkeypatch.setattr(Records, "pending", lambda self, items: pending(self, items)[::2])
    with pytest.raises(CallError, match=r"1\.png has no result.*Run the same command again"):
        run_stage("inference", dataset_dir=str(folder), output_dir=str(tmp_path), checkpoint=checkpoint, **TINY_CROPS)
    assert not (tmp_path / "report.csv").exists()
    monkeypatch.setattr(Records, "pending", pending)
    assert (
        run_stage("inference", dataset_dir=str(folder), output_dir=str(tmp_path), checkpoint=checkpoint, **TINY_CROPS)
        == 1
    )
