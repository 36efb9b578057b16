"""What is watched while a stage runs: it tells the truth, names nobody where it may not, and changes nothing."""

from __future__ import annotations

import csv
import json
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from bundle.networks.weights import save_weights
from bundle.stages import STAGES, run_stage
from bundle.synthetic.phantoms.photographs import write_dataset
from tests.support.stages import TINY_CROPS, workflow

pytestmark = pytest.mark.usefixtures("_determinism")
PHOTOGRAPHS = 5


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("jane_doe")
    write_dataset(folder, PHOTOGRAPHS, kind="crop", size=72, seed=300)
    return folder


@pytest.fixture
def checkpoint(network, tmp_path):
    """Weights of a network that shows both structures here and there."""
    save_weights(network, tmp_path / "source.pt")
    return str(tmp_path / "source.pt")


def call(stage, photographs, output, checkpoint=None, **keys):
    keys = TINY_CROPS | {"dataset_dir": str(photographs), "output_dir": str(output)} | keys
    if stage == "training":
        keys |= {"pretrained": False, "batch_size": 2, "max_epochs": 2, "val_interval": 1, "warmup_epochs": 1}
    else:
        keys |= {"checkpoint": checkpoint}
    if stage == "adaptation":
        keys |= {"recipes#plus#max_epochs": 2, "recipes#plus#least_steps": 0, "batch_size": 3}
    assert run_stage(stage, **keys) == 0


def events(output):
    accumulator = EventAccumulator(str(output / "events"), {"images": 0, "scalars": 0})
    accumulator.Reload()
    return accumulator


def curve(accumulator, tag):
    return {event.step: event.value for event in accumulator.Scalars(tag)}


@pytest.mark.parametrize("recipe", ["grad_cl", "plus"])
def test_watching_an_adaptation_does_not_change_it(recipe, photographs, checkpoint, tmp_path):
    weights = {}
    keys = {"recipe": recipe, "recipes#plus#harm_tolerance": None}
    for count in (0, 3):
        call("adaptation", photographs, tmp_path / str(count), checkpoint, track_photographs=count, **keys)
        weights[count] = torch.load(tmp_path / str(count) / "model.pt", weights_only=True)
    assert all(torch.equal(value, weights[3][name]) for name, value in weights[0].items())
    source = torch.load(checkpoint, weights_only=True)
    assert any(not torch.equal(value, source[name]) for name, value in weights[3].items())

    unwatched, watched = (events(tmp_path / name) for name in "03")
    assert unwatched.Tags()["images"] == []
    assert watched.Tags()["images"] == ["contours"]
    assert [image.step for image in watched.Images("contours")] == [0, 1, 2]
    side = "teacher" if recipe == "plus" else "label"
    for accumulator in (unwatched, watched):
        assert set(curve(accumulator, f"{side}_agreement_optic_cup")) == {1, 2}
    tags = ("predicted_dice", "pass_agreement", "area_share")
    for tag in [f"{tag}_{name}" for tag in tags for name in ("optic_disc", "optic_cup")] + ["entropy"]:
        assert set(curve(watched, tag)) == {0, 1, 2}
        assert tag not in unwatched.Tags()["scalars"]


def test_watched_curves_start_and_end_where_the_record_does(photographs, checkpoint, tmp_path):
    """With every photograph watched, epoch 0 is the source and the last epoch is what adaptation.json calls after."""
    keys = {"track_photographs": PHOTOGRAPHS, "recipes#plus#harm_tolerance": None}
    call("adaptation", photographs, tmp_path / "out", checkpoint, **keys)
    record = json.loads((tmp_path / "out" / "adaptation.json").read_text())
    watched = events(tmp_path / "out")
    for step, when in ((0, "before"), (2, "after")):
        assert curve(watched, "entropy")[step] == pytest.approx(record[when]["entropy"], rel=1e-5)
        for tag in ("predicted_dice", "pass_agreement", "area_share"):
            for name, value in record[when][tag].items():
                assert curve(watched, f"{tag}_{name}")[step] == pytest.approx(value, rel=1e-5)
    assert record["before"]["entropy"] != record["after"]["entropy"]


def test_a_look_draws_nothing_random(photographs, checkpoint, tmp_path):
    places = {"dataset_dir": str(photographs), "output_dir": str(tmp_path), "checkpoint": checkpoint}
    stage = workflow("adapt", **TINY_CROPS | places)
    stage.initialize()
    validator = stage.parser.get_parsed_content("validate#evaluator")
    before = torch.get_rng_state(), np.random.get_state(legacy=False), random.getstate()  # noqa: NPY002
    validator.run(0)
    validator.run(1)
    after = torch.get_rng_state(), np.random.get_state(legacy=False), random.getstate()  # noqa: NPY002
    assert torch.equal(before[0], after[0])
    assert str(before[1]) == str(after[1])
    assert np.array_equal(before[1]["state"]["key"], after[1]["state"]["key"])
    assert before[2] == after[2]


def test_an_adaptation_is_looked_at_five_times_at_most(photographs, checkpoint, tmp_path):
    intervals = {}
    places = {"dataset_dir": str(photographs), "output_dir": str(tmp_path), "checkpoint": checkpoint}
    for epochs in (2, 10, 11, 40):
        keys = {"recipes#plus#max_epochs": epochs, "recipes#plus#least_steps": 0}
        stage = workflow("adapt", **TINY_CROPS | places | keys)
        stage.initialize()
        intervals[epochs] = stage.parser.get_parsed_content("track_interval")
    assert intervals == {2: 1, 10: 2, 11: 3, 40: 8}


def test_training_shows_validation_photographs_with_their_labels(photographs, tmp_path):
    call("training", photographs, tmp_path)
    watched = events(tmp_path)
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert set(curve(watched, "loss")) == {1, 2, 3, 4}
    for name in ("optic_disc", "optic_cup"):
        values = curve(watched, f"{name}_dice")
        assert set(values) == {1, 2}
        assert values[2] == pytest.approx(metrics[name]["dice"], abs=1e-6)
    assert {image.step for image in watched.Images("contours")} == {1, 2}
    assert watched.Images("contours")[0].width == 256 + 2 * 16


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """One store for all stages: making its tables takes seconds."""
    pytest.importorskip("mlflow")
    return tmp_path_factory.mktemp("store")


def runs_of(folder, experiment):
    import mlflow

    client = mlflow.MlflowClient(f"sqlite:///{folder}/mlruns.db")
    found_experiment = client.get_experiment_by_name(experiment)
    assert found_experiment is not None
    found = client.search_runs([found_experiment.experiment_id])
    return client, sorted(found, key=lambda run: run.info.start_time)


STRUCTURES = ("optic_disc", "optic_cup")
WATCHED = {f"{tag}_{name}" for tag in ("predicted_dice", "pass_agreement", "area_share") for name in STRUCTURES}
SCORES = {f"{name}_{score}" for name in STRUCTURES for score in ("dice", "assd_px", "hd95_px")}
TRACKED = {
    "training": [{"train_loss", "train_dice", "val_dice", "lr_group_0"} | SCORES],
    "refinement": [{f"{t}_{n}" for t in ("area_share", "reliable_share", "agreement") for n in STRUCTURES}],
    "adaptation": [
        {"train_loss", "loss_class_balanced", "lr_group_0", "entropy", "uncertainty", "photographs"}
        | {f"teacher_agreement_{name}" for name in STRUCTURES}
        | WATCHED,
        {"entropy", "uncertainty", "photographs"} | WATCHED,
    ],
    "evaluation": [SCORES],
    "inference": [{"photographs", "without_disc", "unreadable"} | {f"expected_dice_{name}" for name in STRUCTURES}],
}


@pytest.mark.parametrize("stage", STAGES)
def test_mlflow_gets_the_metrics_of_every_stage_and_no_photograph(stage, photographs, checkpoint, store, tmp_path):
    place = {"tracking_uri": f"sqlite:///{store}/mlruns.db", "experiment_name": stage}
    call(stage, photographs, tmp_path / "out", checkpoint, tracking="mlflow", **place)
    client, runs = runs_of(store, stage)
    assert [set(run.data.metrics) for run in runs] == TRACKED[stage]
    for run in runs:
        assert run.info.status == "FINISHED"
        assert run.data.params.keys() == {"max_epochs", "epoch_length"}
        # MONAI finds the config's copy only where output_dir is left as it is; nothing else may be there either way.
        assert all(file.path.startswith("config_") for file in client.list_artifacts(run.info.run_id))
    (config,) = (tmp_path / "out").glob("config_*.json")
    assert json.loads(config.read_text())["dataset_dir"] == str(photographs)
    assert "phantom_" not in config.read_text()
    assert b"phantom_" not in (store / "mlruns.db").read_bytes()

    metrics = runs[-1].data.metrics
    if stage in ("training", "evaluation"):
        written = json.loads((tmp_path / "out" / "metrics.json").read_text())
        for name in STRUCTURES:
            assert metrics[f"{name}_dice"] == pytest.approx(written[name]["dice"])
    elif stage == "adaptation":
        after = json.loads((tmp_path / "out" / "adaptation.json").read_text())["after"]
        assert metrics["entropy"] == pytest.approx(after["entropy"])
        steps = [point.step for point in client.get_metric_history(runs[0].info.run_id, "entropy")]
        assert sorted(steps) == [0, 1, 2]
    elif stage == "refinement":
        with (tmp_path / "out" / "refinement.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        for tag in ("area_share", "reliable_share", "agreement"):
            for name, short in zip(STRUCTURES, ("disc", "cup"), strict=True):
                mean = np.mean([float(row[f"{tag}_{short}"]) for row in rows])
                assert metrics[f"{tag}_{name}"] == pytest.approx(mean, abs=1e-4)
    else:
        assert metrics["photographs"] == PHOTOGRAPHS
        masks = [np.asarray(Image.open(path)) for path in (tmp_path / "out" / "masks").iterdir()]
        assert metrics["without_disc"] == sum(not mask.any() for mask in masks)


def test_mlflow_keeps_its_store_in_the_output_folder(photographs, checkpoint, tmp_path):
    pytest.importorskip("mlflow")
    call("adaptation", photographs, tmp_path / "out", checkpoint, tracking="mlflow", recipe="bn")
    _, runs = runs_of(tmp_path / "out", "monai_experiment")
    assert [set(run.data.metrics) for run in runs] == [{"entropy", "uncertainty", "photographs"} | WATCHED]
    assert runs[0].info.status == "FINISHED"
    assert Path(runs[0].info.artifact_uri.removeprefix("file://")).is_relative_to(tmp_path / "out" / "mlruns")
