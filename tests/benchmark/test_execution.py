"""What a run consists of, and what becomes of runs that fail or lose their parent."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bundle.benchmark import plan as planning
from bundle.benchmark.execution import perform, run_all
from bundle.benchmark.plan import Run
from bundle.benchmark.record import is_done
from bundle.benchmark.setup import CHECKPOINT, Setup
from bundle.stages import BUNDLE_ROOT


@pytest.mark.parametrize(
    ("run", "stages", "keeps_weights"),
    [
        (Run("drishti_gs", "source", 0), ["evaluation", "evaluation", "inference"], False),
        (Run("drishti_gs", "bn", 0), ["adaptation", "evaluation", "evaluation"], True),
        (Run("drishti_gs", "plus", 0), ["adaptation", "evaluation", "evaluation", "inference"], True),
        (Run("drishti_gs", "plus", 1), ["adaptation", "evaluation"], False),
        (Run("none", "plus", 0), ["adaptation", "evaluation", "inference"], False),
        (Run("none", "plus", 0, "no teacher"), ["adaptation", "evaluation"], False),
        (Run("none", "supervised", 2), ["training", "evaluation"], False),
    ],
)
def test_a_run_does_what_the_page_needs_and_leaves_little(run, stages, keeps_weights, output, calls, monkeypatch):
    monkeypatch.setattr(planning, "ABLATIONS", {"no teacher": {"teacher": None}})
    setup = Setup(Path("/data"), output, provenance={"commit": "abc"})
    result = perform(run, setup)
    assert [name for name, _ in calls] == stages
    folder = run.folder(output)
    assert (folder / "model.pt").exists() == keeps_weights
    assert not (folder / "pseudo_labels").exists()
    assert not (folder / "events").exists()
    assert result["mean_dice"] == pytest.approx(0.8)
    assert (result["commit"], result["seed"]) == ("abc", run.seed)
    assert is_done(run, setup)
    for name, overrides in calls:
        if name in ("adaptation", "training"):
            assert overrides["seed"] == run.seed
        if name == "adaptation":
            # From inside the image folder, no label is within reach.
            assert Path(overrides["dataset_dir"]) == setup.adaptation_set(run.target) / "image"
            assert overrides["items"]["labels"] == "none"
            assert ("recipes#plus" in overrides) == bool(run.row)
        if name == "training":
            assert overrides["checkpoint"] == str(CHECKPOINT)
            assert Path(overrides["dataset_dir"]) == setup.adaptation_set(run.target)
        if name in ("evaluation", "inference"):
            expected = CHECKPOINT if run.recipe == "source" else folder / "model.pt"
            assert overrides["checkpoint"] == str(expected)
        if name != "training":
            assert overrides["view"] == "crop"
        assert overrides["image_size"] == 256
    evaluated = [overrides for name, overrides in calls if name == "evaluation"]
    scored = [Path(overrides["dataset_dir"]) for overrides in evaluated]
    assert scored[0] == setup.scored_set(run.target)
    assert scored[1:] == [Path("/data/refuge/train")] * (stages.count("evaluation") - 1)
    assert [overrides["items"]["held_out"] for overrides in evaluated] == [False, True][: len(evaluated)]


@pytest.mark.parametrize("recipe", ["source", "plus", "supervised"])
def test_another_source_model_and_size_reach_every_stage(recipe, output, calls, tmp_path):
    model = tmp_path / "model_512.pt"
    model.write_bytes(b"weights")
    setup = Setup(Path("/data"), output, checkpoint=model, image_size=512)
    run = Run("none", recipe, 0)
    perform(run, setup)
    assert is_done(run, setup)
    assert not is_done(run, Setup(Path("/data"), output, checkpoint=model))
    assert not is_done(run, Setup(Path("/data"), output, image_size=512))
    assert {overrides["image_size"] for _, overrides in calls} == {512}
    assert calls[0][1]["checkpoint"] == str(model)


def test_failing_runs_are_reported_and_the_others_go_on(output, capsys, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    setup = Setup(output / "nowhere", output)
    runs = [Run("drishti_gs", "bn", 0), Run("drishti_gs", "source", 0)]
    assert run_all(runs, setup, workers=1) == 2
    assert os.environ["OMP_NUM_THREADS"] == "7"
    printed = capsys.readouterr().out
    assert printed.count("FAILED") == 2
    assert "2/2" in printed
    for run in runs:
        assert "does not exist" in (run.folder(output) / "log.txt").read_text()
        assert not is_done(run, setup)


def test_a_worker_ends_with_the_process_that_started_it():
    """The parent is killed while its worker sleeps; the worker must not outlive it."""
    code = (
        "import multiprocessing, os, time\n"
        "from bundle.benchmark.execution import end_with_parent\n"
        "from concurrent.futures import ProcessPoolExecutor\n"
        "if __name__ == '__main__':\n"
        "    context = multiprocessing.get_context('spawn')\n"
        "    pool = ProcessPoolExecutor(1, mp_context=context, initializer=end_with_parent)\n"
        "    print(pool.submit(os.getpid).result(), flush=True)\n"
        "    pool.submit(time.sleep, 600)\n"
        "    time.sleep(600)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], cwd=BUNDLE_ROOT, stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    worker = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    for _ in range(100):
        try:
            os.kill(worker, 0)
        except ProcessLookupError:
            return
        time.sleep(0.1)
    os.kill(worker, 9)
    pytest.fail("the worker outlived its parent by 10 s")
