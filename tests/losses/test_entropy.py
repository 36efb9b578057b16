"""The entropy is that of the three classes, and a step down it makes the network surer."""

from __future__ import annotations

import math

import pytest
import torch

from bundle.losses.entropy import EntropyLoss
from tests.support.losses import HEIGHT, WIDTH, output_of_logits, random, softmax
from tests.support.tensors import gradient_of


def test_entropy_is_that_of_the_three_classes():
    logits = 3 * random(2, 3, WIDTH, HEIGHT)
    p = softmax(logits)
    pixels = [-sum(v * math.log(v) for v in p[b, :, x, y]) for b in range(2) for x in range(8) for y in range(6)]
    assert EntropyLoss()(output_of_logits(logits), {}).item() == pytest.approx(sum(pixels) / len(pixels), rel=1e-5)


def test_entropy_of_equal_logits_is_log_3():
    assert EntropyLoss()(output_of_logits(torch.zeros(1, 3, 4, 4)), {}).item() == pytest.approx(math.log(3), rel=1e-6)


def test_entropy_of_certain_pixels_is_0_with_a_finite_gradient():
    logits = (1e4 * random(1, 3, WIDTH, HEIGHT)).requires_grad_()
    loss = EntropyLoss()(output_of_logits(logits), {})
    loss.backward()
    assert loss.item() == pytest.approx(0, abs=1e-6)
    assert gradient_of(logits).isfinite().all()


def test_a_step_down_the_entropy_makes_surer():
    logits = random(1, 3, WIDTH, HEIGHT).requires_grad_()
    before = EntropyLoss()(output_of_logits(logits), {})
    before.backward()
    assert EntropyLoss()(output_of_logits(logits - 10 * gradient_of(logits)), {}) < before
