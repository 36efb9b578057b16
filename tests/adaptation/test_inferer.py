"""The forward pass of adaptation keeps what the losses need, and asks the teacher."""

from __future__ import annotations

import copy

import pytest
import torch
from monai.data import MetaTensor
from monai.engines import SupervisedTrainer

from bundle.adaptation.inferer import AdaptationInferer, prepare_batch
from bundle.handlers.loss_values import LossValues
from bundle.losses.base import AdaptationLoss
from bundle.losses.pseudo_label import PseudoLabelLoss
from bundle.uncertainty.view_consensus import ViewConsensus


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
    assert output.teacher is not None
    assert not teacher.training
    assert output.teacher.images is weak
    assert torch.equal(output.teacher.logits, network(weak))
    assert output.logits.requires_grad
    assert not output.teacher.logits.requires_grad


def test_the_teacher_is_asked_for_several_views(network, make_images):
    weak = make_images(seed=5)
    views = ViewConsensus(((), (2,)))
    output = AdaptationInferer(network, views)(make_images(), network, {"weak": weak})
    assert output.teacher is not None
    with torch.no_grad():
        torch.testing.assert_close(output.teacher.logits, views(weak, network))
    assert output.teacher.features.shape == (2, 0, 64, 32)
