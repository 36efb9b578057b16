"""A recipe's loss is the weighted sum of the losses that it names."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from bundle.losses.base import AdaptationLoss, masked_mean


class Constant(nn.Module):
    def __init__(self, value: float) -> None:
        super().__init__()
        self.value = nn.Parameter(torch.tensor(value))

    def forward(self, output, target):
        return self.value * 1


def test_adaptation_loss_is_the_weighted_sum_of_the_losses_that_are_named():
    losses = {"a": Constant(2.0), "b": Constant(3.0), "c": Constant(torch.nan)}
    loss = AdaptationLoss(losses, {"b": 0.5, "a": 2.0})
    total = loss(None, {})
    total.backward()
    assert total.item() == 5.5
    assert total.shape == ()
    assert loss.values == {"b": 3.0, "a": 2.0}
    assert (losses["a"].value.grad, losses["b"].value.grad) == (2.0, 0.5)


def test_adaptation_loss_refuses_an_unknown_name():
    with pytest.raises(ValueError, match="unknown losses z. Use some of a"):
        AdaptationLoss({"a": Constant(1.0)}, {"a": 1.0, "z": 1.0})


def test_the_mean_of_one_pixel_is_that_pixel():
    features = torch.arange(2.0 * 3 * 4 * 5).view(2, 3, 4, 5)
    mask = torch.zeros(2, 4, 5, dtype=torch.bool)
    mask[0, 1, 2] = True
    assert torch.equal(masked_mean(features, mask), torch.stack((features[0, :, 1, 2], torch.zeros(3))))
