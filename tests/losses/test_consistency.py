"""The consistency loss is its formula, and teaches the student alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bundle.losses.consistency import ConsistencyLoss
from tests.support.losses import output_of_logits
from tests.support.tensors import gradient_of


def test_consistency_is_the_cross_entropy_by_the_size_of_each_structure():
    generator = torch.Generator().manual_seed(0)
    logits, teacher = (torch.randn(2, 3, 6, 4, generator=generator) for _ in range(2))
    found = ConsistencyLoss(dice=0.5)(output_of_logits(logits, teacher), {})
    p, q = (np.exp(z.numpy().astype(np.float64)) for z in (logits, teacher))
    p, q = p / p.sum(axis=1, keepdims=True), q / q.sum(axis=1, keepdims=True)
    terms = []
    for a, b in ((p[:, 1] + p[:, 2], q[:, 1] + q[:, 2]), (p[:, 2], q[:, 2])):
        entropy = -(b * np.log(a) + (1 - b) * np.log(1 - a)).sum() / b.sum()
        terms.append(entropy + 0.5 * (1 - 2 * (a * b).sum() / (a.sum() + b.sum())))
    assert found.item() == pytest.approx(np.mean(terms), rel=1e-5)


def test_consistency_teaches_the_student_alone_and_survives_a_teacher_who_sees_nothing():
    logits = torch.randn(1, 3, 6, 4, requires_grad=True)
    nothing = torch.zeros(1, 3, 6, 4)
    nothing[:, 0] = 60.0
    loss = ConsistencyLoss(dice=1.0)(output_of_logits(logits, nothing), {})
    loss.backward()
    assert loss.isfinite()
    assert gradient_of(logits).isfinite().all()
    assert gradient_of(logits).abs().sum() > 0


def test_consistency_needs_a_teacher():
    output = output_of_logits(torch.zeros(1, 3, 2, 2))
    with pytest.raises(ValueError, match="teacher"):
        ConsistencyLoss()(output, {})
    with pytest.raises(ValueError, match="dice"):
        ConsistencyLoss(dice=-1)
