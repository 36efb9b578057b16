"""How far the student agrees with what teaches it, teacher or pseudo-label."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bundle.handlers.teaching_agreement import TeachingAgreement
from tests.support.engines import one_batch
from tests.support.losses import output_of_logits


def dice(a, b):
    return 2 * np.sum(a & b) / (a.sum() + b.sum()) if a.any() or b.any() else 1.0


def test_agreement_with_what_teaches_is_the_dice_of_thresholded_structures():
    generator = torch.Generator().manual_seed(0)
    student, teacher = torch.randn(2, 3, 3, 12, 10, generator=generator) * 2
    label = (torch.rand(3, 2, 12, 10, generator=generator) > 0.4).float()
    # Neither side shows a cup in the last photograph, which counts as agreement.
    student[2, 2] = teacher[2, 2] = -50
    engine = one_batch(student, output_of_logits(teacher), {"label": label})
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
