"""The formulas that several losses share have their known values."""

from __future__ import annotations

import math

import pytest
import torch

from bundle.losses.functional import exponential_discrepancy, info_nce, transport_costs
from tests.support.losses import (
    K,
    random,
    slow_transport,
)
from tests.support.tensors import gradient_of


def test_transport_costs_by_a_slow_loop():
    features, prototypes = random(12, K), random(3, K, seed=1)
    proportions = torch.tensor([0.7, 0.2, 0.1])
    found = transport_costs(features, prototypes, proportions, 0.5)
    expected = slow_transport(features.double().numpy(), prototypes.double().numpy(), proportions.tolist(), 0.5)
    assert [value.item() for value in found] == pytest.approx(expected, rel=1e-4)
    assert abs(expected[0] - expected[1]) > 0.01


def test_features_on_their_prototypes_cost_nothing_and_opposite_ones_most():
    prototypes = 3 * torch.eye(3)
    there, back = transport_costs(5 * prototypes, prototypes, torch.full((3,), 1 / 3), 0.1)
    assert (there.item(), back.item()) == pytest.approx((0, 0), abs=1e-6)
    there, back = transport_costs(-prototypes[:1], prototypes[:1], torch.ones(1), 0.1)
    assert (there.item(), back.item()) == pytest.approx((2, 2))


@pytest.mark.parametrize(
    ("positive", "negatives", "temperature", "loss"),
    [
        (1.0, [1.0, 1.0, 1.0], 0.1, math.log(4)),
        (1.0, [0.0, 0.0], 0.5, math.log(1 + 2 * math.exp(-2))),
        (0.0, [1.0], 0.5, math.log(1 + math.exp(2))),
        (0.3, [-math.inf, 0.3], 0.1, math.log(2)),
        (0.3, [-math.inf, -math.inf], 0.1, 0.0),
    ],
)
def test_info_nce_has_its_known_values(positive, negatives, temperature, loss):
    p, n = torch.tensor([positive], requires_grad=True), torch.tensor([negatives], requires_grad=True)
    found = info_nce(p, n, temperature)
    found.sum().backward()
    assert found.tolist() == pytest.approx([loss], abs=1e-6)
    assert gradient_of(p).isfinite().all()
    assert gradient_of(n).isfinite().all()


def test_the_discrepancy_of_equal_groups_is_log_2_and_pulls_nowhere():
    anchors, mean = random(5, K).requires_grad_(), random(1, K, seed=1).expand(5, K)
    found = exponential_discrepancy(anchors, mean, mean, 0.1)
    (gradient,) = torch.autograd.grad(found.sum(), anchors)
    assert found.tolist() == pytest.approx([math.log(2)] * 5)
    assert (gradient == 0).all()


def test_the_discrepancy_by_hand_and_what_lowers_it():
    own, other = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]])
    anchor = torch.tensor([[0.8, 0.6]], requires_grad=True)
    found = exponential_discrepancy(anchor, own, other, 0.5)
    expected = -math.log(math.exp(0.6 / 0.5) / (math.exp(0.6 / 0.5) + math.exp(0.8 / 0.5)))
    assert found.tolist() == pytest.approx([expected])
    (gradient,) = torch.autograd.grad(found.sum(), anchor)
    assert (gradient[0, 0] > 0, gradient[0, 1] < 0) == (True, True)
