"""Two processes do what one does in training, refinement, adaptation and inference, also where shares are unequal."""

from __future__ import annotations

import json
import logging
import math
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import ignite.distributed as idist
import numpy as np
import pytest
import torch

from bundle.errors import SomeUnreadableError, bare_call_errors
from bundle.handlers.divergence import DivergenceGuard
from bundle.io.records import Records
from bundle.losses.base import AdaptationLoss
from bundle.stages import BUNDLE_ROOT
from bundle.synthetic.phantoms.photographs import write_dataset
from tests.support.stages import TINY_CROPS, rows, weights, workflow

SCHOOL: dict[str, Any] = {"pretrained": False, "batch_size": 4, "warmup_epochs": 1}
DOUBLES = {
    "network": "$@network_def.double()",
    "train#trainer#to_kwargs": {"dtype": "$torch.float64"},
    "validate#evaluator#to_kwargs": {"dtype": "$torch.float64"},
}
ONE_LOOK: dict[str, Any] = {
    "train#preprocessing#transforms": "$@load + [@train#view, @scale_intensity]",
    "train#view#size": 64,
}


def run_stage(config: str, dataset_dir: Any, output_dir: Any, overlay: bool = True, **overrides: Any) -> dict:
    """Run a stage; its exit status and, in training, the loss of every step."""
    overlays = [f"multi_gpu_{config}"] if overlay else []
    folders = {"dataset_dir": str(dataset_dir), "output_dir": str(output_dir)}
    stage = workflow(config, *overlays, **TINY_CROPS | folders | overrides)
    losses: list[float] = []
    steps: list[int] = []
    status = 0
    forward = AdaptationLoss.forward

    def count(*arguments: Any) -> torch.Tensor:
        steps.append(1)
        return forward(*arguments)

    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(AdaptationLoss, "forward", count)
            with bare_call_errors():
                stage.initialize()
                if config == "train":
                    trainer = stage.parser.get_parsed_content("train#trainer")
                    trainer.add_event_handler("ITERATION_COMPLETED", lambda e: losses.append(_loss(e.state.output)))
                stage.run()
                stage.finalize()
    except SomeUnreadableError:
        status = 1
    finally:
        idist.finalize()
        logging.disable(logging.NOTSET)
    return {"status": status, "losses": losses, "steps": len(steps)}


def run_and_die(photographs: int, *args: Any, **overrides: Any) -> dict:
    """As ``run_stage``, but the second process is killed when it has written that many photographs."""
    save = Records.save
    written: list[str] = []

    def save_and_die(self: Records, item: Any, *rest: Any) -> None:
        save(self, item, *rest)
        written.append(item["name"])
        if os.environ["RANK"] == "1" and len(written) == photographs:
            os.kill(os.getpid(), signal.SIGKILL)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Records, "save", save_and_die)
        return run_stage(*args, **overrides)


def run_and_spoil(step: int, *args: Any, **overrides: Any) -> dict:
    """As ``run_stage``, but at one step the loss of the second process, and of it alone, is not a number."""
    check = DivergenceGuard.check_loss

    def check_spoilt(self: DivergenceGuard, engine: Any) -> None:
        if engine.state.iteration == step and os.environ["RANK"] == "1":
            engine.state.output[0]["loss"] = torch.tensor(math.nan)
        check(self, engine)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DivergenceGuard, "check_loss", check_spoilt)
        return run_stage(*args, **overrides)


def _loss(output: Any) -> float:
    return float((output[0] if isinstance(output, list) else output)["loss"])


def distance(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> float:
    """Euclidean distance of two models' weights and statistics."""
    assert one.keys() == other.keys()
    return float(sum((one[key].double() - other[key].double()).square().sum() for key in one)) ** 0.5


def flat(record: dict, path: str = "") -> dict[str, Any]:
    """The entries of nested dicts by their paths."""
    inner = [
        flat(value, f"{path}/{key}") if isinstance(value, dict) else {f"{path}/{key}": value}
        for key, value in record.items()
    ]
    return {key: value for part in inner for key, value in part.items()}


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("source")
    write_dataset(folder, 12, kind="crop", size=96, seed=100)
    return folder


@pytest.fixture(scope="module")
def target(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("target")
    write_dataset(folder, 7, kind="crop", cameras=("tight_red",), size=96, seed=200)
    shutil.rmtree(folder / "label")
    return folder


@pytest.fixture(scope="module")
def checkpoint(source, processes, tmp_path_factory) -> str:
    """Trained just enough that it shows discs and cups."""
    output = tmp_path_factory.mktemp("trained")
    settings = SCHOOL | {"max_epochs": 25, "val_interval": 25, "learning_rate": 0.01}
    processes(run_stage, "train", source, output, overlay=False, count=1, **settings)
    return str(output / "model.pt")


def test_training_has_the_loss_curve_of_one_process(source, processes, tmp_path):
    """With all augmentation. In double precision only the order of sums differs, which Adam magnifies."""
    settings = SCHOOL | {"max_epochs": 2, "val_interval": 2, "learning_rate": 0.003} | DOUBLES
    (one,) = processes(run_stage, "train", source, tmp_path / "1", count=1, **settings)
    two, second = processes(run_stage, "train", source, tmp_path / "2", **settings)
    assert len(one["losses"]) == 4
    assert len(set(one["losses"])) == 4
    assert two == second
    assert two["losses"] == pytest.approx(one["losses"], rel=1e-9)
    assert distance(weights(tmp_path / "1"), weights(tmp_path / "2")) < 1e-6
    metrics = [json.loads((tmp_path / count / "metrics.json").read_text()) for count in "12"]
    assert metrics[0] == metrics[1]
    assert len(list((tmp_path / "2" / "events").iterdir())) == 1
    settings |= ONE_LOOK | {"max_epochs": 1, "val_interval": 2}
    # Without augmentation there is nothing that the overlay draws otherwise than the plain config does.
    (plain,) = processes(run_stage, "train", source, tmp_path / "0", overlay=False, count=1, **settings)
    two, _ = processes(run_stage, "train", source, tmp_path / "3", **settings)
    assert two["losses"] == pytest.approx(plain["losses"], rel=1e-9)
    assert two["losses"][0] != pytest.approx(one["losses"][0], rel=1e-2)


def test_refinement_writes_the_files_of_one_process(target, checkpoint, processes, tmp_path):
    """Seven photographs in batches of two: four batches, the last one short; bit for bit, the prototypes too."""
    settings = {"checkpoint": checkpoint, "batch_size": 2, "statistics": 0, "label_threshold": 0.3}
    settings |= {"uncertainty_threshold": 0.2}
    processes(run_stage, "refine", target, tmp_path / "1", overlay=False, count=1, **settings)
    processes(run_stage, "refine", target, tmp_path / "2", **settings)
    files = sorted(path.relative_to(tmp_path / "1") for path in (tmp_path / "1").rglob("*") if path.is_file())
    assert files == sorted(path.relative_to(tmp_path / "2") for path in (tmp_path / "2").rglob("*") if path.is_file())
    assert len(files) == 7 + 2 + 2
    for name in files:
        if name.suffix == ".npz":
            with np.load(tmp_path / "1" / name) as one, np.load(tmp_path / "2" / name) as two:
                assert one["label"].any()
                for key in one.files:
                    np.testing.assert_array_equal(one[key], two[key])
        elif name.suffix == ".pt":
            one, two = (torch.load(tmp_path / count / name, weights_only=True) for count in "12")
            assert one["fingerprint"] == two["fingerprint"]
            for key in ("objects", "background"):
                assert one[key].isfinite().all()
                assert torch.equal(one[key], two[key])
        else:
            assert (tmp_path / "1" / name).read_bytes() == (tmp_path / "2" / name).read_bytes()


@pytest.mark.parametrize("recipe", ["grad_cl", "plus"])
def test_adaptation_gives_the_weights_of_one_process(recipe, target, checkpoint, processes, tmp_path):
    """Seven of eight photographs can be read; batches of 3, 3 and 1: the last has a row for one process only."""
    shutil.copytree(target / "image", tmp_path / "in")
    (tmp_path / "in" / "a_broken.png").write_bytes(b"broken")
    settings = {"checkpoint": checkpoint, "recipe": recipe, "batch_size": 3, "recipes#plus#least_steps": 0}
    settings |= {f"recipes#{recipe}#max_epochs": 2, f"recipes#{recipe}#harm_tolerance": None}
    (one,) = processes(run_stage, "adapt", tmp_path / "in", tmp_path / "1", count=1, **settings)
    results = processes(run_stage, "adapt", tmp_path / "in", tmp_path / "2", **settings)
    assert [(result["status"], result["steps"]) for result in (one, *results)] == [(1, 6)] * 3
    source = torch.load(checkpoint, weights_only=True)
    first, second = weights(tmp_path / "1"), weights(tmp_path / "2")
    assert distance(first, source) > 0.01
    assert distance(first, second) < 1e-3 * distance(first, source)
    records = [json.loads((tmp_path / count / "adaptation.json").read_text()) for count in "12"]
    assert records[0]["before"] == records[1]["before"]
    assert records[1]["after"]["photographs"] == 7
    assert list(records[1]["unreadable"]) == ["a_broken"]
    # It holds the hash of weights that differ in their last digits.
    assert {record.pop("model").partition(" ")[0] for record in records} == {"model.pt"}
    for key, value in flat(records[0]).items():
        assert flat(records[1])[key] == (pytest.approx(value, rel=1e-3) if isinstance(value, float) else value)
    assert not list((tmp_path / "2").glob("resume.pt"))
    assert len(list((tmp_path / "2" / "events").iterdir())) == 1


def test_a_loss_that_diverges_in_one_process_stops_all_with_the_last_good_weights(
    target, checkpoint, processes, tmp_path
):
    """Eight photographs in batches of four: the third step is the first of the second epoch."""
    settings = {"checkpoint": checkpoint, "recipe": "grad_cl", "batch_size": 4, "recipes#grad_cl#max_epochs": 3}
    results = processes(run_and_spoil, 3, "adapt", target / "image", tmp_path / "out", **settings)
    assert [(result["status"], result["steps"]) for result in results] == [(0, 3)] * 2
    record = json.loads((tmp_path / "out" / "adaptation.json").read_text())
    assert record["kept"] == "epoch 1"
    assert "the loss became inf in epoch 2" in record["reason"]
    kept = weights(tmp_path / "out")
    assert all(value.isfinite().all() for value in kept.values())
    assert distance(kept, torch.load(checkpoint, weights_only=True)) > 0


def test_inference_writes_the_files_of_one_process(target, checkpoint, processes, tmp_path):
    """Eight photographs, the second unreadable: in the share of one process, and in the exit status of both."""
    shutil.copytree(target / "image", tmp_path / "in")
    names = sorted(path.name for path in (tmp_path / "in").iterdir())
    (tmp_path / "in" / f"{names[0][:-4]}_broken.png").write_bytes(b"broken")
    (one,) = processes(
        run_stage, "inference", tmp_path / "in", tmp_path / "1", overlay=False, count=1, **{"checkpoint": checkpoint}
    )
    results = processes(run_stage, "inference", tmp_path / "in", tmp_path / "2", checkpoint=checkpoint)
    assert [result["status"] for result in (one, *results)] == [1, 1, 1]
    files = sorted(path.relative_to(tmp_path / "1") for path in (tmp_path / "1").rglob("*") if path.is_file())
    assert files == sorted(path.relative_to(tmp_path / "2") for path in (tmp_path / "2").rglob("*") if path.is_file())
    assert len(files) == 2 * 7 + 4 + 2
    for name in files:
        assert (tmp_path / "1" / name).read_bytes() == (tmp_path / "2" / name).read_bytes(), name
    assert [row["image"] for row in rows(tmp_path / "2" / "report.csv")] == sorted(
        path.name for path in (tmp_path / "in").iterdir()
    )


def test_a_killed_process_ends_inference_and_the_next_run_finishes_it(target, checkpoint, processes, tmp_path):
    common = {"checkpoint": checkpoint}
    processes(run_stage, "inference", target, tmp_path / "whole", **common)
    with pytest.raises(AssertionError, match="a process was killed"):
        processes(run_and_die, 2, "inference", target, tmp_path / "cut", **common)
    processes.restart(1)
    assert not (tmp_path / "cut" / "report.csv").exists()
    done = {path: path.stat().st_mtime_ns for path in (tmp_path / "cut" / "masks").iterdir()}
    assert 2 <= len(done) < 7
    processes(run_stage, "inference", target, tmp_path / "cut", **common)
    assert all(path.stat().st_mtime_ns == time for path, time in done.items())
    for name in ("report.csv", "measurements.csv", "selection.csv", "report.html"):
        assert (tmp_path / "cut" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="finds the processes by what Linux says of them")
def test_a_killed_process_ends_adaptation_and_the_next_run_finishes_it(target, checkpoint, processes, tmp_path):
    """``torchrun`` says which process was killed, nothing hangs, and the result is that of an undisturbed run."""
    settings = {"checkpoint": checkpoint, "recipe": "plus", "batch_size": 3, "recipes#plus#least_steps": 0}
    settings |= {"recipes#plus#max_epochs": 8, "recipes#plus#harm_tolerance": 9.0, "track_photographs": 0}
    # Otherwise the source's weights are kept, and all that is compared is theirs.
    settings |= {"collapse": 0.0}
    given = TINY_CROPS | settings | {"dataset_dir": str(target), "output_dir": str(tmp_path / "cut")}
    call = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    call += ["-m", "monai.bundle", "run", "adaptation"]
    call += ["--config_file", "['configs/adapt.json','configs/multi_gpu_adapt.json']"]
    call += [word for key, value in given.items() for word in (f"--{key}", str(value))]
    # As many threads as the run that goes on: sums over several threads round differently.
    env = os.environ | {"OMP_NUM_THREADS": "1"}
    with subprocess.Popen(call, cwd=BUNDLE_ROOT, stderr=subprocess.PIPE, text=True, env=env) as job:
        deadline = time.monotonic() + 200
        while not (tmp_path / "cut" / "resume.pt").exists():
            assert job.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.01)
        started = children(job.pid)
        (second,) = [pid for pid in started if b"\0RANK=1\0" in Path(f"/proc/{pid}/environ").read_bytes()]
        os.kill(second, signal.SIGKILL)
        said = job.communicate(timeout=60)[1]
    assert job.returncode == 1
    assert "SIGKILL" in said
    assert not any(Path(f"/proc/{pid}").exists() for pid in started)
    assert not (tmp_path / "cut" / "model.pt").exists()
    resumed, _ = processes(run_stage, "adapt", target, tmp_path / "cut", **settings)
    whole, _ = processes(run_stage, "adapt", target, tmp_path / "whole", **settings)
    assert 0 < resumed["steps"] < whole["steps"] == 8 * 3
    assert distance(weights(tmp_path / "cut"), weights(tmp_path / "whole")) == 0
    cut, undisturbed = ((tmp_path / name / "adaptation.json").read_text() for name in ("cut", "whole"))
    assert json.loads(cut)["kept"] == "adapted"
    assert cut == undisturbed
