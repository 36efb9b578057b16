"""What is watched while a run goes on: it tells the truth, names nobody where it may not, and changes nothing."""

from __future__ import annotations

import csv
import json
import random
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from ignite.engine import Engine, Events
from monai.bundle import ConfigWorkflow
from monai.engines import SupervisedEvaluator
from monai.engines.utils import IterationEvents
from monai.transforms import ScaleIntensityRanged
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from bundle.handlers.contour_images import ContourImages
from bundle.handlers.inference_measures import InferenceMeasures
from bundle.handlers.loss_values import KeepLoss
from bundle.handlers.teaching_agreement import TeachingAgreement
from bundle.handlers.validation import LookAtTarget, spread
from bundle.networks.outputs import AdaptationOutput
from bundle.networks.weights import save_weights
from bundle.stages import BUNDLE_ROOT, STAGES, run_stage
from bundle.synthetic.phantoms.photographs import write_dataset

pytestmark = pytest.mark.usefixtures("_determinism")

TINY = {
    "network_def#backbone": "efficientnet-lite0-small",
    "network_def#decoder_channels": [16, 16, 8, 8],
    "image_size": 64,
    "view": "crop",
}
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
    keys = TINY | {"dataset_dir": str(photographs), "output_dir": str(output)} | keys
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


# Pieces


def test_photographs_are_spread_over_the_folder():
    assert spread(100, 4) == [0, 25, 50, 75]
    assert spread(7, 3) == [0, 2, 4]
    assert spread(3, 3) == spread(3, 9) == [0, 1, 2]
    assert spread(3, 0) == spread(0, 3) == []


def dice(a, b):
    return 2 * np.sum(a & b) / (a.sum() + b.sum()) if a.any() or b.any() else 1.0


def one_batch(student, teacher, target):
    """An engine whose single iteration gives a batch as an adaptation does."""
    output = AdaptationOutput(None, None, None, student, teacher)

    def iterate(engine, _):
        engine.state.output = {"label": target, "pred": output, "loss": torch.tensor(0.25, requires_grad=True)}
        engine.fire_event(IterationEvents.MODEL_COMPLETED)
        return engine.state.output

    engine = Engine(iterate)
    engine.register_events(*IterationEvents)
    return engine


def test_agreement_with_what_teaches_is_the_dice_of_thresholded_structures():
    generator = torch.Generator().manual_seed(0)
    student, teacher = torch.randn(2, 3, 3, 12, 10, generator=generator) * 2
    label = (torch.rand(3, 2, 12, 10, generator=generator) > 0.4).float()
    # Of the last photograph neither side shows a cup, which agrees.
    student[2, 2] = teacher[2, 2] = -50
    engine = one_batch(student, AdaptationOutput(None, None, None, teacher), {"label": label})
    TeachingAgreement().attach(engine)
    engine.run([0], max_epochs=2)
    own, taught = (logits.softmax(1).numpy() for logits in (student, teacher))
    for i, name in enumerate(("optic_disc", "optic_cup")):
        found, expected = ((p[:, 1:].sum(1) if i == 0 else p[:, 2]) > 0.5 for p in (own, taught))
        by_teacher = np.mean([dice(a, b) for a, b in zip(found, expected, strict=True)])
        by_label = np.mean([dice(a, b) for a, b in zip(found, label[:, i].numpy() > 0.5, strict=True)])
        assert engine.state.metrics[f"teacher_agreement_{name}"] == pytest.approx(by_teacher, abs=1e-6)
        assert engine.state.metrics[f"label_agreement_{name}"] == pytest.approx(by_label, abs=1e-6)
    assert 0.05 < engine.state.metrics["teacher_agreement_optic_disc"] < 0.95


def test_a_recipe_without_teacher_or_labels_has_no_agreement():
    engine = one_batch(torch.zeros(1, 3, 8, 8), None, {"weak": torch.zeros(1)})
    TeachingAgreement().attach(engine)
    engine.run([0])
    assert engine.state.metrics == {}


def test_what_is_left_of_an_iteration_is_its_loss_as_stock_handlers_expect_it():
    engine = one_batch(torch.zeros(1, 3, 8, 8), None, {})
    KeepLoss().attach(engine)
    engine.run([0])
    assert engine.state.output == [{"loss": 0.25}]
    assert isinstance(engine.state.output[0]["loss"], float)


def evaluator(runs, network):
    found = SupervisedEvaluator(device="cpu", val_data_loader=[{"image": torch.zeros(1, 1)}], network=network)
    found.add_event_handler(Events.EPOCH_COMPLETED, lambda e: runs.append((e.state.epoch, e.network)))
    return found


def test_an_evaluator_that_is_asked_for_epoch_0_runs_once():
    runs, network = [], torch.nn.Linear(1, 1)
    validator = evaluator(runs, network)
    validator.run(0)
    assert runs == [(0, network)]
    validator.run(3)
    assert runs == [(0, network), (3, network)]


def test_looks_come_at_every_interval_and_after_the_last_epoch_at_the_kept_network():
    runs, before, kept = [], torch.nn.Linear(1, 1), torch.nn.Linear(1, 1)
    validator = evaluator(runs, before)
    trainer = Engine(lambda *_: None)
    LookAtTarget(kept, validator, interval=3).attach(trainer)
    trainer.run([0], max_epochs=7)
    assert [epoch for epoch, _ in runs] == [3, 6, 7]
    assert all(network is kept for _, network in runs)


class Pictures:
    """A stand-in for ``SummaryWriter``."""

    def __init__(self):
        self.images = []

    def add_image(self, tag, image, step, dataformats):
        assert dataformats == "HWC"
        self.images.append((tag, step, image))

    def flush(self):
        pass


def contours(count, label=True, size=64):
    """Run the handler over three photographs; returns the pictures of two runs."""
    scale = ScaleIntensityRanged("image", a_min=20, a_max=240, b_min=-0.9921875, b_max=1.0)
    writer = Pictures()
    handler = ContourImages(writer, scale, count=count, size=size)
    disc = torch.zeros(2, 64, 64, dtype=torch.uint8)
    # 40 columns from x = 4 and 30 rows from y = 10: x and y are told apart.
    disc[0, 4:44, 10:40] = 1
    logits = torch.zeros(3, 64, 64)
    logits[0] = 5
    logits[1, 30:60, 40:60] = 9

    def iterate(engine, name):
        image = scale({"image": torch.full((3, 64, 64), 100.0)})["image"]
        engine.state.batch = [{"name": name, "image": image}]
        return [{"pred": logits} | ({"label": disc} if label else {})]

    engine = Engine(iterate)
    handler.attach(engine)
    engine.run(["a", "b", "c"], max_epochs=2)
    return writer.images


def line(tile):
    """Columns and rows of the disc's solid line."""
    rows, columns = np.where((tile.astype(int) - (0, 229, 255)).__abs__().sum(axis=2) < 60)
    return columns.min(), columns.max(), rows.min(), rows.max()


def test_contours_lie_where_the_structures_do_and_the_label_above_the_prediction():
    pictures = contours(1)
    assert [(tag, step) for tag, step, _ in pictures] == [("contours", 1), ("contours", 2)]
    sheet = pictures[1][2]
    assert sheet.shape[1] == 64 + 2 * 16
    half = sheet.shape[0] // 2
    label, prediction = sheet[16:80, 16:80], sheet[half + 8 :][:64, 16:80]
    assert line(label) == pytest.approx((4, 43, 10, 39), abs=1)
    assert line(prediction) == pytest.approx((30, 59, 40, 59), abs=1)
    assert np.median(sheet[20:80, 60:78]) == 100


def test_without_labels_the_first_run_is_what_later_ones_are_compared_with():
    first, second = (picture[16:80, 16:80] for _, _, picture in contours(2, label=False))
    assert np.array_equal(first, second)
    assert line(first) == pytest.approx((30, 59, 40, 59), abs=1)


def test_as_many_photographs_are_drawn_as_were_asked_for():
    assert contours(0) == []
    assert contours(2)[0][2].shape[1] == 2 * 64 + 3 * 16
    assert contours(9)[0][2].shape[1] == 3 * 64 + 4 * 16


def test_an_inference_is_summed_up_without_names():
    outputs = [([0.9, 0.8], 1), ([0.7, 0.0], 2), ([0.0, 0.0], 0)]

    def iterate(engine, given):
        engine.state.batch = [{"name": "jane_doe"}]
        return [{"expected_dice": torch.tensor(given[0]), "pred": torch.full((4, 4), given[1], dtype=torch.uint8)}]

    engine = Engine(iterate)
    InferenceMeasures(SimpleNamespace(unreadable={"x": "cut short"})).attach(engine)
    engine.run(outputs)
    expected = {"photographs": 3, "without_disc": 1, "unreadable": 1}
    assert engine.state.metrics == pytest.approx(
        expected | {"expected_dice_optic_disc": 0.8, "expected_dice_optic_cup": 0.4}
    )
    engine.run(outputs[2:])
    assert engine.state.metrics["photographs"] == engine.state.metrics["without_disc"] == 1


# Stages


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
    stage = ConfigWorkflow(
        config_file=str(BUNDLE_ROOT / "configs" / "adapt.json"),
        run_id="adaptation",
        bundle_root=str(BUNDLE_ROOT),
        **TINY,
        dataset_dir=str(photographs),
        output_dir=str(tmp_path),
        checkpoint=checkpoint,
    )
    stage.initialize()
    validator = stage.parser.get_parsed_content("validate#evaluator")
    before = torch.get_rng_state(), np.random.get_state(), random.getstate()  # noqa: NPY002
    validator.run(0)
    validator.run(1)
    after = torch.get_rng_state(), np.random.get_state(), random.getstate()  # noqa: NPY002
    assert torch.equal(before[0], after[0])
    assert np.array_equal(before[1][1], after[1][1])
    assert before[1][2:] == after[1][2:]
    assert before[2] == after[2]


def test_an_adaptation_is_looked_at_five_times_at_most(photographs, checkpoint, tmp_path):
    intervals = {}
    for epochs in (2, 10, 11, 40):
        stage = ConfigWorkflow(
            config_file=str(BUNDLE_ROOT / "configs" / "adapt.json"),
            bundle_root=str(BUNDLE_ROOT),
            **TINY,
            **{"recipes#plus#max_epochs": epochs, "recipes#plus#least_steps": 0},
            dataset_dir=str(photographs),
            output_dir=str(tmp_path),
            checkpoint=checkpoint,
        )
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


# MLflow


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """One store for all stages: making its tables takes seconds."""
    pytest.importorskip("mlflow")
    return tmp_path_factory.mktemp("store")


def runs_of(folder, experiment):
    import mlflow

    client = mlflow.MlflowClient(f"sqlite:///{folder}/mlruns.db")
    found = client.search_runs(client.get_experiment_by_name(experiment).experiment_id)
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
