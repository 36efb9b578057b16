"""The transport loss is its formula, and estimates the classes' shares."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from bundle.losses.transport import TransportLoss
from bundle.networks.head import classifier_of
from tests.support.losses import (
    HEIGHT,
    WIDTH,
    K,
    names,
    output_of,
    random,
    slow_transport,
)
from tests.support.tensors import gradient_of


def test_transport_loss_estimates_the_proportions_and_leaves_the_prototypes_alone(network):
    loss = TransportLoss(temperature=2.0, rate=0.25, stride=1)
    prototypes = classifier_of(network.segmentation_head).weight.detach()[:, :, 0, 0].double().numpy()
    p = np.full(3, 1 / 3)
    for step in range(2):
        # Nearer to one prototype than to the others, so that there is something to estimate.
        features = (
            random(2, K, WIDTH, HEIGHT, seed=step) + torch.tensor(prototypes[2], dtype=torch.float32)[:, None, None] / 4
        )
        found = loss(output_of(network, features.requires_grad_()), names())
        rows = np.moveaxis(features.detach().double().numpy(), 1, 3).reshape(-1, K)
        share = np.zeros(3)
        for f in rows:
            weights = np.array([p[c] * math.exp(prototypes[c] @ f / 2) for c in range(3)])
            share += weights / weights.sum() / len(rows)
        p = 0.75 * p + 0.25 * share
        assert found.item() == pytest.approx(sum(slow_transport(rows, prototypes, p, 2.0)) / 2, rel=1e-4)
        assert loss.proportions.tolist() == pytest.approx(p.tolist(), rel=1e-4)
    assert abs(p - 1 / 3).max() > 0.02
    found.backward()
    assert classifier_of(network.segmentation_head).weight.grad is None
    assert gradient_of(features).abs().max() > 0


def test_transport_uses_one_pixel_of_each_cell_of_the_grid_another_each_time(network):
    loss, places = TransportLoss(temperature=1.0, stride=2), set()
    torch.manual_seed(0)
    for _ in range(20):
        features = random(1, K, WIDTH, HEIGHT).requires_grad_()
        (gradient,) = torch.autograd.grad(loss(output_of(network, features), names(1)), features)
        used = (gradient != 0).any(dim=1)[0]
        assert used.unfold(0, 2, 2).unfold(1, 2, 2).sum(dim=(2, 3)).eq(1).all()
        places |= {tuple(used.nonzero()[0].tolist())}
    assert places == {(0, 0), (0, 1), (1, 0), (1, 1)}
