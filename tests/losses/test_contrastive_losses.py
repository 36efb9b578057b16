"""What transport, contrast and divide-and-contrast all do: stay finite, and remember across a checkpoint."""

from __future__ import annotations

import pytest
import torch

from bundle.losses.base import AdaptationLoss
from bundle.losses.contrast import ContrastLoss
from bundle.losses.divide_and_contrast import DivideAndContrastLoss
from bundle.losses.transport import TransportLoss
from tests.support.losses import HEIGHT, WIDTH, K, names, output_of, random


@pytest.mark.parametrize("teacher", [False, True])
@pytest.mark.parametrize(
    "loss",
    [TransportLoss(stride=1), ContrastLoss(stride=1), DivideAndContrastLoss(first_epoch=1)],
    ids=["transport", "contrast", "divide"],
)
@pytest.mark.parametrize("case", ["no cup", "background only", "no confident pixel", "all zero", "huge"])
def test_the_losses_are_finite_whatever_the_photograph_shows(reader, loss, case, teacher):
    features = random(2, K, WIDTH, HEIGHT).abs()
    if case == "no cup":
        features[0, 2] = -9
    elif case == "background only":
        features[:, 1:3] = -9
    elif case == "no confident pixel":
        features[:, :3] = 1
    elif case == "all zero":
        features.zero_()
    else:
        features *= 1e4
    features.requires_grad_()
    taught = output_of(reader, features.detach()) if teacher else None
    for _ in range(2):
        value = loss(output_of(reader, features, taught), {"name": [case, f"{case} {teacher}"]})
        (gradient,) = torch.autograd.grad(value, features)
        assert value.isfinite()
        assert value.shape == ()
        assert gradient.isfinite().all()


@pytest.mark.parametrize(
    "make",
    [
        lambda: {"transport": TransportLoss(stride=1, last_epoch=2)},
        lambda: {"contrast": ContrastLoss(stride=1, first_epoch=2)},
        lambda: {"divide_and_contrast": DivideAndContrastLoss()},
    ],
)
def test_what_a_loss_remembers_survives_a_checkpoint(network, make, tmp_path):
    def step(loss, seed):
        torch.manual_seed(seed)
        return loss(output_of(network, random(2, K, WIDTH, HEIGHT, seed=seed)), names()).item()

    first, second = (AdaptationLoss(make(), dict.fromkeys(make(), 1.0)) for _ in range(2))
    for seed in range(2):
        step(first, seed)
    torch.save({"loss": first.state_dict()}, tmp_path / "resume.pt")
    later = [step(first, seed) for seed in (2, 3)]
    second.load_state_dict(torch.load(tmp_path / "resume.pt", weights_only=True)["loss"])
    assert [step(second, seed) for seed in (2, 3)] == later
    fresh = AdaptationLoss(make(), dict.fromkeys(make(), 1.0))
    assert [step(fresh, seed) for seed in (2, 3)] != later
