"""Recipes, what they may train, and what is measured without labels."""

from __future__ import annotations

import copy
import json
import math
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from ignite.engine import Engine
from monai.data import MetaTensor
from monai.engines import SupervisedTrainer
from monai.inferers import SimpleInferer
from monai.transforms import Activationsd
from torch import nn

from bundle.adaptation.inferer import AdaptationInferer, prepare_batch
from bundle.adaptation.measures import MeasuresWithoutLabels
from bundle.adaptation.recipes import trainable_parameters
from bundle.adaptation.result import AdaptationResult
from bundle.handlers.divergence import DivergenceGuard
from bundle.handlers.loss_values import LossValues
from bundle.losses.base import AdaptationLoss
from bundle.losses.pseudo_label import PseudoLabelLoss
from bundle.networks.weights import load_weights, save_weights
from bundle.transforms.pseudo_labels import LoadPseudoLabeld
from bundle.uncertainty.agreement import agreement, expected_dice
from bundle.uncertainty.dropout_passes import channel_masks, stochastic_log_odds, stochastic_logits
from bundle.uncertainty.evaluator import AgreementEvaluator
from bundle.uncertainty.scale import uncertainty_scale
from bundle.uncertainty.view_consensus import ViewConsensus


def test_norm_trains_scale_and_shift_of_the_norm_layers_only(network):
    chosen = trainable_parameters(network, "norm")
    expected = [p for m in network.modules() if isinstance(m, nn.BatchNorm2d) for p in (m.weight, m.bias)]
    assert {id(p) for p in chosen} == {id(p) for p in expected}
    assert len(chosen) == len(expected)
    for parameter in network.parameters():
        assert parameter.requires_grad == any(parameter is p for p in expected)


def test_all_trains_everything_also_after_norm(network):
    trainable_parameters(network, "norm")
    chosen = trainable_parameters(network, "all")
    assert [id(p) for p in chosen] == [id(p) for p in network.parameters()]
    assert all(p.requires_grad for p in network.parameters())


def test_all_but_head_leaves_the_head(network):
    chosen = trainable_parameters(network, "all_but_head")
    head = list(network.segmentation_head.parameters())
    assert not any(p.requires_grad for p in head)
    assert len(chosen) + len(head) == len(list(network.parameters()))


def test_unknown_choice_of_parameters_is_refused(network):
    with pytest.raises(ValueError, match="trainable must be one of"):
        trainable_parameters(network, "head")


def test_pseudo_labels_take_the_place_of_their_path(tmp_path):
    rng = np.random.default_rng(0)
    arrays = {key: rng.random((2, 4, 6)) > 0.5 for key in ("label", "mask", "probability", "uncertainty")}
    np.savez(tmp_path / "a.npz", **arrays)
    d = LoadPseudoLabeld("pseudo_label")({"pseudo_label": str(tmp_path / "a.npz"), "name": "a"})
    assert set(d) == {"label", "mask", "probability", "name"}
    for key in ("label", "mask", "probability"):
        np.testing.assert_array_equal(d[key].numpy(), arrays[key].transpose(0, 2, 1))


def adaptation_batch(make_images) -> dict:
    generator = torch.Generator().manual_seed(0)
    label, mask = (torch.rand(2, 2, 64, 32, generator=generator) > 0.5 for _ in range(2))
    targets = {"label": label.float(), "mask": mask.float(), "probability": torch.full((2, 2, 64, 32), 0.5)}
    return {"image": MetaTensor(make_images()), **targets, "name": ["a", "b"]}


def test_prepare_batch_gives_plain_image_and_target(make_images):
    batch = adaptation_batch(make_images)
    image, target, _, passed_on = prepare_batch(batch, torch.device("cpu"))
    assert type(image) is torch.Tensor
    assert passed_on == {"targets": target}
    assert set(target) == {"label", "mask", "probability", "name"}
    assert target["name"] == ["a", "b"]
    assert torch.equal(target["mask"], batch["mask"])


def test_one_epoch_trains_on_the_losses_and_reports_their_means(network, make_images):
    batch = adaptation_batch(make_images)
    network.freeze_statistics()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    loss = AdaptationLoss({"pseudo_label": PseudoLabelLoss()}, {"pseudo_label": 2.0})
    values = []
    trainer = SupervisedTrainer(
        device="cpu",
        max_epochs=1,
        train_data_loader=[batch, batch],
        epoch_length=2,
        network=network,
        optimizer=torch.optim.Adam(network.parameters(), lr=1e-3),
        loss_function=loss,
        inferer=AdaptationInferer(),
        prepare_batch=prepare_batch,
        decollate=False,
        train_handlers=[LossValues(loss)],
    )
    trainer.add_event_handler("ITERATION_COMPLETED", lambda engine: values.append(engine.state.output["loss"].item()))
    trainer.run()
    assert trainer.state.metrics["loss_pseudo_label"] == pytest.approx(sum(values) / 4)
    after = network.state_dict()
    assert any(not torch.equal(after[name], value) for name, value in before.items() if name.endswith("weight"))
    assert all(torch.equal(after[name], value) for name, value in before.items() if "running" in name)


def test_the_inferer_keeps_what_enters_the_head(network, make_images):
    images = make_images()
    output = AdaptationInferer()(images, network)
    assert output.network is network
    assert torch.equal(output.features, network.features(images))
    assert torch.equal(output.logits, network(images))


def test_a_teacher_sees_the_photograph_before_its_colours_were_changed(network, make_images):
    images, weak = make_images(), make_images(seed=5)
    teacher = copy.deepcopy(network).train()
    output = AdaptationInferer(teacher)(images, network, {"weak": weak})
    assert not teacher.training
    assert output.teacher.images is weak
    assert torch.equal(output.teacher.logits, network(weak))
    assert output.logits.requires_grad
    assert not output.teacher.logits.requires_grad


def evaluate(network, batches, **more) -> tuple[AgreementEvaluator, MeasuresWithoutLabels, list]:
    measures, outputs = MeasuresWithoutLabels(), []
    settings: dict = {"passes": 4, "val_handlers": [measures]} | more
    evaluator = AgreementEvaluator(
        seed=3, device="cpu", val_data_loader=batches, epoch_length=len(batches), network=network, **settings
    )
    evaluator.add_event_handler("ITERATION_COMPLETED", lambda engine: outputs.extend(engine.state.output))
    evaluator.run()
    return evaluator, measures, outputs


@pytest.fixture
def batches(make_images) -> list[dict]:
    images = make_images(3, 64, 32)
    return [{"image": images[:2], "name": ["a", "b"]}, {}, {"image": images[2:], "name": ["c"]}]


def test_agreement_is_added_and_empty_batches_are_passed_over(network, batches):
    evaluator, _, outputs = evaluate(network, batches)
    assert len(outputs) == 3
    images = torch.cat([batches[0]["image"], batches[2]["image"]])
    with torch.no_grad():
        logits, features = network(images), network.features(images)
        masks = channel_masks(["a", "b", "c"], 4, 8, 0.25, seed=3)
        expected = agreement(stochastic_log_odds(stochastic_logits(network.segmentation_head, features, masks)))
    for i, output in enumerate(outputs):
        torch.testing.assert_close(torch.as_tensor(output["pred"]), logits[i], rtol=1e-4, atol=1e-4)
        assert output["agreement"].tolist() == pytest.approx(expected[i].tolist(), abs=2e-3)
    assert not network.segmentation_head._forward_pre_hooks
    assert isinstance(evaluator.inferer, SimpleInferer)
    assert (expected < 1).any()


def test_without_passes_the_expected_dice_is_all(network, batches):
    processing = Activationsd("pred", softmax=True)
    outputs = evaluate(network, batches, passes=0, val_handlers=[], postprocessing=processing)[2]
    with torch.no_grad():
        expected = expected_dice(network(torch.cat([batches[0]["image"], batches[2]["image"]])))
    for i, output in enumerate(outputs):
        assert "agreement" not in output
        assert output["expected_dice"].tolist() == pytest.approx(expected[i].tolist(), abs=1e-4)


def test_postprocessing_does_not_change_the_agreement(network, batches):
    plain = evaluate(network, batches)[2]
    processed = evaluate(network, batches, postprocessing=Activationsd("pred", softmax=True))[2]
    assert torch.as_tensor(processed[0]["pred"]).sum(dim=0).allclose(torch.ones(64, 32))
    for one, other in zip(plain, processed, strict=True):
        assert torch.equal(one["agreement"], other["agreement"])


def test_measures_without_labels_are_those_that_numpy_finds(network, batches):
    _, measures, outputs = evaluate(network, batches)
    rows = []
    for output in outputs:
        logits = output["pred"].numpy().astype(np.float64)
        p = np.exp(logits) / np.exp(logits).sum(axis=0)
        entropy = -(p * np.log(p)).sum(axis=0).mean()
        rows.append([*output["agreement"].tolist(), entropy, (p[1] + p[2] > 0.5).mean(), (p[2] > 0.5).mean()])
    means = np.mean(rows, axis=0)
    found = measures.summary
    assert found["photographs"] == 3
    assert found["predicted_dice"] == pytest.approx({"optic_disc": means[0], "optic_cup": means[1]})
    assert found["pass_agreement"] == found["predicted_dice"]
    assert found["entropy"] == pytest.approx(means[2], rel=1e-4)
    assert found["area_share"] == pytest.approx({"optic_disc": means[3], "optic_cup": means[4]}, abs=1e-6)
    assert 0 < means[4] < means[3] < 1
    assert found["uncertainty"] == pytest.approx(np.median([1 - min(output["expected_dice"]) for output in outputs]))


def test_views_predict_the_dice_where_there_are_views(network, batches):
    views = ViewConsensus(((), (2,), (3,)))
    _, measures, outputs = evaluate(network, batches, views=views)
    images = torch.cat([batches[0]["image"], batches[2]["image"]])
    with torch.no_grad():
        expected = views.agreement(images, network)
    for i, output in enumerate(outputs):
        assert output["view_agreement"].tolist() == pytest.approx(expected[i].tolist(), abs=2e-3)
    means = expected.mean(dim=0).tolist()
    assert list(measures.summary["predicted_dice"].values()) == pytest.approx(means, abs=2e-3)
    assert measures.summary["pass_agreement"] != measures.summary["predicted_dice"]


def test_the_teacher_is_asked_for_several_views(network, make_images):
    weak = make_images(seed=5)
    views = ViewConsensus(((), (2,)))
    output = AdaptationInferer(network, views)(make_images(), network, {"weak": weak})
    with torch.no_grad():
        torch.testing.assert_close(output.teacher.logits, views(weak, network))
    assert output.teacher.features.shape == (2, 0, 64, 32)


def test_a_second_run_forgets_the_first(network, batches):
    evaluator, measures, _ = evaluate(network, batches)
    evaluator.run()
    assert measures.summary["photographs"] == 3


def test_nothing_measured_is_not_a_number():
    measures = MeasuresWithoutLabels()
    measures.summarise(Engine(lambda *_: None))
    assert measures.summary["photographs"] == 0
    assert math.isnan(measures.summary["entropy"])


def measured(
    disc: float, cup: float | None = None, areas: tuple[float, float] = (0.3, 0.1), uncertainty: float = 0.1
) -> SimpleNamespace:
    dice = {"optic_disc": disc, "optic_cup": disc if cup is None else cup}
    area_share = {"optic_disc": areas[0], "optic_cup": areas[1]}
    return SimpleNamespace(summary={"predicted_dice": dice, "area_share": area_share, "uncertainty": uncertainty})


@pytest.fixture
def source(network, tmp_path):
    """Checkpoint of other weights than the network has afterwards."""
    path = tmp_path / "source" / "model.pt"
    save_weights(network, path)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(1)
    return path


NOTHING_LEFT_OUT = SimpleNamespace(unreadable={}, without_disc=set())


def test_the_result_holds_weights_facts_and_measures(network, source, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "resume.pt").write_bytes(b"")
    network.to(memory_format=torch.channels_last)
    result = AdaptationResult(out, network, {"recipe": "plus", "seed": 7}, source)
    dataset = SimpleNamespace(unreadable={"b\u00e9": "is empty"}, without_disc={"z", "a"})
    result(measured(0.5), measured(0.75), dataset)
    found = json.loads((out / "adaptation.json").read_text(encoding="utf-8"))
    assert (found["recipe"], found["seed"], found["unreadable"]) == ("plus", 7, {"b\u00e9": "is empty"})
    assert found["without_disc"] == ["a", "z"]
    assert found["before"]["predicted_dice"]["optic_cup"] == 0.5
    assert found["after"]["predicted_dice"]["optic_cup"] == 0.75
    assert (found["kept"], found["reason"]) == ("adapted", "")
    assert sorted(path.name for path in out.iterdir()) == ["adaptation.json", "model.pt"]
    stored = torch.load(out / "model.pt", weights_only=True)
    assert all(torch.equal(value, network.state_dict()[name]) for name, value in stored.items())
    load_weights(network, out / "model.pt")


@pytest.mark.parametrize(
    ("after", "tolerance", "kept"),
    [
        ((0.89, 0.7), 0.02, "adapted"),
        ((0.95, 0.66), 0.02, "source"),
        ((0.95, 0.75), 0.02, "adapted"),
        ((0.8, 0.6), 0.02, "source"),
        ((0.85, 0.75), 0.02, "source"),
        ((0.2, 0.2), None, "adapted"),
        ((math.nan, 0.9), None, "source"),
    ],
)
def test_what_is_predicted_to_harm_leaves_the_source(network, source, tmp_path, caplog, after, tolerance, kept):
    adapted = copy.deepcopy(network.state_dict())
    result = AdaptationResult(tmp_path / "out", network, {}, source, tolerance)
    with caplog.at_level("WARNING"):
        result(measured(0.9, 0.7), measured(*after), NOTHING_LEFT_OUT)
    assert json.loads((tmp_path / "out" / "adaptation.json").read_text())["kept"] == kept
    expected = torch.load(source, weights_only=True) if kept == "source" else adapted
    stored = torch.load(tmp_path / "out" / "model.pt", weights_only=True)
    assert all(torch.equal(value, expected[name]) for name, value in stored.items())
    assert ("predicted to harm" in caplog.text) == (kept == "source")


@pytest.mark.parametrize(
    ("before", "after", "collapse", "named"),
    [
        ((0.3, 0.1), (0.031, 0.0101), 0.1, ""),
        ((0.3, 0.1), (0.029, 0.0101), 0.1, "optic_disc"),
        ((0.3, 0.1), (0.3, 0.0099), 0.1, "optic_cup"),
        ((0.3, 0.1), (0.94, 0.1), 0.1, "background"),
        ((0.3, 0.1), (0.92, 0.1), 0.1, ""),
        ((0.3, 0.0), (0.3, 0.0), 0.1, ""),
        ((0.009, 0.0), (0.009, 0.0), 0.1, "no optic disc"),
        ((0.011, 0.0), (0.011, 0.0), 0.1, ""),
        ((0.3, 0.1), (0.0, 0.0), 0.0, ""),
    ],
)
def test_a_structure_that_all_but_vanishes_leaves_the_source(
    network, source, tmp_path, caplog, before, after, collapse, named
):
    """Views that show nothing agree perfectly, so the predicted Dice rises while the disc is lost."""
    result = AdaptationResult(tmp_path / "out", network, {}, source, None, collapse)
    with caplog.at_level("WARNING"):
        result(measured(0.9, areas=before), measured(1.0, areas=after), NOTHING_LEFT_OUT)
    record = json.loads((tmp_path / "out" / "adaptation.json").read_text())
    assert record["kept"] == ("source" if named else "adapted")
    assert named in record["reason"]
    assert bool(record["reason"]) == bool(named)
    assert record["reason"] in caplog.text


@pytest.mark.parametrize(
    ("before", "after", "dice", "scale"),
    [
        (0.06, 0.03, 0.9, 0.5),
        (0.06, 0.09, 0.9, 1.0),
        (0.06, 0.001, 0.9, 0.1),
        (0.0, 0.0, 0.9, 1.0),
        (0.06, math.nan, 0.9, 1.0),
        # The source is kept, and it is as sure as ever.
        (0.06, 0.03, 0.5, 1.0),
    ],
)
def test_how_much_surer_adapting_made_the_model_goes_with_its_weights(
    network, source, tmp_path, before, after, dice, scale
):
    out = tmp_path / "out"
    result = AdaptationResult(out, network, {}, source, tolerance=0.01)
    result(measured(0.8, uncertainty=before), measured(dice, uncertainty=after), NOTHING_LEFT_OUT)
    assert uncertainty_scale(out / "model.pt") == pytest.approx(scale)
    shutil.copyfile(out / "model.pt", out / "renamed.pt")
    assert uncertainty_scale(out / "renamed.pt") == pytest.approx(scale)


def test_weights_without_a_record_of_their_own_are_taken_at_their_word(network, source, tmp_path):
    out = tmp_path / "out"
    result = AdaptationResult(out, network, {}, source)
    result(measured(0.9, uncertainty=0.06), measured(0.9, uncertainty=0.03), NOTHING_LEFT_OUT)
    record = out / "adaptation.json"
    content = json.loads(record.read_text())
    shutil.copyfile(source, out / "other.pt")
    for other in (source, out / "other.pt", out / "none.pt"):
        assert uncertainty_scale(other) == 1
    for text in ("", "[]", "{}", json.dumps(content | {"uncertainty_scale": "x"}), json.dumps(content | {"model": 1})):
        record.write_text(text)
        assert uncertainty_scale(out / "model.pt") == 1
    record.write_text(json.dumps(content | {"uncertainty_scale": 0}))
    assert uncertainty_scale(out / "model.pt") == 0.1


def test_weights_that_are_no_numbers_are_never_written(network, source, tmp_path):
    """Answers that are not a number show no structure, in which all views agree: the measures look perfect."""
    with torch.no_grad():
        network.segmentation_head[-1].bias[1] = math.nan
    AdaptationResult(tmp_path, network, {}, source)(measured(0.5), measured(1.0), NOTHING_LEFT_OUT)
    assert json.loads((tmp_path / "adaptation.json").read_text())["kept"] == "source"
    expected = torch.load(source, weights_only=True)
    stored = torch.load(tmp_path / "model.pt", weights_only=True)
    assert all(torch.equal(value, expected[name]) for name, value in stored.items())


@pytest.mark.parametrize(("epoch", "kept"), [(0, "source"), (3, "epoch 3")])
def test_what_is_kept_of_a_run_that_diverged_is_named(network, source, tmp_path, caplog, epoch, kept):
    adapted = copy.deepcopy(network.state_dict())
    guard = DivergenceGuard(network)
    guard.stopped, guard.epoch = "the loss became nan in epoch 4", epoch
    result = AdaptationResult(tmp_path, network, {}, source, guard=guard)
    with caplog.at_level("WARNING"):
        result(measured(0.9), measured(0.9), NOTHING_LEFT_OUT)
    record = json.loads((tmp_path / "adaptation.json").read_text())
    assert record["kept"] == kept
    assert guard.stopped in record["reason"]
    assert guard.stopped in caplog.text
    expected = torch.load(source, weights_only=True) if epoch == 0 else adapted
    stored = torch.load(tmp_path / "model.pt", weights_only=True)
    assert all(torch.equal(value, expected[name]) for name, value in stored.items())
