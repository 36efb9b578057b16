"""Photographs that worker processes prepare: what is unreadable is told, and the results are those of one process."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bundle.networks.weights import save_weights
from bundle.stages import BUNDLE_ROOT
from bundle.synthetic.phantoms.photographs import write_dataset
from tests.support.folders import files_in
from tests.support.stages import TINY_CROPS, rows, run

WORKERS: dict[str, Any] = {"dataloader#num_workers": 2}


@pytest.fixture
def checkpoint(network, tmp_path) -> str:
    save_weights(network, tmp_path / "source.pt")
    return str(tmp_path / "source.pt")


@pytest.fixture
def photographs(tmp_path) -> Path:
    """Five labelled photographs, the first of which cannot be read."""
    folder = tmp_path / "in"
    write_dataset(folder, 5, kind="crop", size=96, seed=3)
    broken = min((folder / "image").iterdir())
    broken.write_bytes(broken.read_bytes()[:500])
    return folder


def broken(folder: Path) -> str:
    return min((folder / "image").iterdir()).stem


def test_inference_with_workers_writes_the_files_of_one_process(photographs, checkpoint, tmp_path):
    for name, settings in (("one", {}), ("many", WORKERS)):
        assert run("inference", photographs, tmp_path / name, checkpoint=checkpoint, **settings) == 1
    assert files_in(tmp_path / "one") == files_in(tmp_path / "many")
    assert [row["status"] for row in rows(tmp_path / "many" / "report.csv")].count("unreadable") == 1


def test_evaluation_with_workers_tells_what_is_unreadable(photographs, checkpoint, tmp_path):
    assert run("evaluate", photographs, tmp_path / "out", checkpoint=checkpoint, **WORKERS) == 1
    assert json.loads((tmp_path / "out" / "metrics.json").read_text())["images"] == 4
    assert len(rows(tmp_path / "out" / "metrics.csv")) == 4


@pytest.mark.parametrize("recipe", ["bn", "grad_cl"])
def test_adaptation_with_workers_tells_what_is_unreadable(recipe, photographs, checkpoint, tmp_path):
    settings = WORKERS | {"refine#dataloader#num_workers": 2, "checkpoint": checkpoint, "recipe": recipe}
    assert run("adapt", photographs, tmp_path / "out", **settings) == 1
    record = json.loads((tmp_path / "out" / "adaptation.json").read_text())
    assert list(record["unreadable"]) == [broken(photographs)]
    assert (tmp_path / "out" / "model.pt").is_file()


def test_refinement_with_workers_tells_what_is_unreadable(photographs, checkpoint, tmp_path):
    settings = WORKERS | {"refine#dataloader#num_workers": 2, "checkpoint": checkpoint}
    assert run("refine", photographs, tmp_path / "out", **settings) == 1
    assert len(rows(tmp_path / "out" / "refinement.csv")) == 4


@pytest.mark.parametrize("config", ["inference", "adapt"])
def test_each_of_several_processes_may_have_workers(config, photographs, checkpoint, tmp_path):
    stage = {"inference": "inference", "adapt": "adaptation"}[config]
    given = (
        TINY_CROPS | WORKERS | {"checkpoint": checkpoint, "dataset_dir": photographs, "output_dir": tmp_path / "out"}
    )
    given |= {"recipe": "bn"} if config == "adapt" else {}
    call = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    call += ["-m", "monai.bundle", "run", stage]
    call += ["--config_file", f"['configs/{config}.json','configs/multi_gpu_{config}.json']"]
    call += [word for key, value in given.items() for word in (f"--{key}", str(value))]
    done = subprocess.run(call, cwd=BUNDLE_ROOT, capture_output=True, text=True, check=False, timeout=200)
    assert done.returncode == 1, done.stderr
    if config == "inference":
        assert [row["status"] for row in rows(tmp_path / "out" / "report.csv")].count("unreadable") == 1
    else:
        record = json.loads((tmp_path / "out" / "adaptation.json").read_text())
        assert list(record["unreadable"]) == [broken(photographs)]
        assert record["after"]["photographs"] == 4
