"""The pseudo-label loss is its formula, and finite where nothing is trusted."""

from __future__ import annotations

import math

import pytest
import torch

from bundle.losses.pseudo_label import PseudoLabelLoss
from bundle.networks.outputs import AdaptationOutput
from tests.support.losses import HEIGHT, WIDTH, random
from tests.support.tensors import gradient_of


def test_the_anchor_holds_untrusted_pixels_to_their_probability(network):
    logits = random(2, 3, WIDTH, HEIGHT, seed=0)
    label = (random(2, 2, WIDTH, HEIGHT, seed=1) > 0).float()
    mask = (random(2, 2, WIDTH, HEIGHT, seed=2) > 0.5).float()
    probability = random(2, 2, WIDTH, HEIGHT, seed=3).sigmoid()
    output, target = AdaptationOutput(network, logits, logits, logits), {"label": label, "mask": mask}
    target["probability"] = probability
    p = torch.stack((logits.softmax(1)[:, 1:].sum(1), logits.softmax(1)[:, 2]), dim=1)
    cross_entropy = -(probability * p.log() + (1 - probability) * (1 - p).log()) * (1 - mask)
    extra = (cross_entropy.sum((0, 2, 3)) / mask.sum((0, 2, 3))).mean()
    found = PseudoLabelLoss(anchor=0.5)(output, target) - PseudoLabelLoss()(output, target)
    assert torch.allclose(found, 0.5 * extra, atol=1e-5)


def test_a_negative_anchor_is_refused():
    with pytest.raises(ValueError, match="-1"):
        PseudoLabelLoss(anchor=-1)


def test_pseudo_label_loss_is_the_masked_cross_entropy(network):
    logits = 3 * random(2, 3, WIDTH, HEIGHT)
    label = (random(2, 2, WIDTH, HEIGHT, seed=1) > 0).float()
    mask = (random(2, 2, WIDTH, HEIGHT, seed=2) > 0.5).float()
    mask[:, 1] *= random(2, WIDTH, HEIGHT, seed=3) > 0.5
    found = PseudoLabelLoss()(AdaptationOutput(network, logits, logits, logits), {"label": label, "mask": mask})
    p = logits.double().softmax(dim=1)
    means = []
    for c in range(2):
        total, count = 0.0, 0
        for b, x, y in torch.nonzero(mask[:, c]).tolist():
            q = p[b, 2, x, y] + (p[b, 1, x, y] if c == 0 else 0)
            total -= math.log(q if label[b, c, x, y] else 1 - q)
            count += 1
        means.append(total / count)
    assert found.item() == pytest.approx(sum(means) / 2, rel=1e-5)


def test_pseudo_label_loss_without_a_trusted_pixel_is_0_with_a_finite_gradient(network):
    logits = (1e3 * random(1, 3, WIDTH, HEIGHT)).requires_grad_()
    target = {"label": torch.ones(1, 2, WIDTH, HEIGHT), "mask": torch.zeros(1, 2, WIDTH, HEIGHT)}
    loss = PseudoLabelLoss()(AdaptationOutput(network, logits, logits, logits), target)
    loss.backward()
    assert loss.item() == 0
    assert (gradient_of(logits) == 0).all()
