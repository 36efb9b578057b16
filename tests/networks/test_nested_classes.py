"""Disc and cup nest by construction, and class scores are exact log-odds that never overflow."""

from __future__ import annotations

import pytest
import torch

from bundle.networks.nested_classes import CLASSES, log_odds, nested_probabilities

LOGITS = 4 * torch.randn(2, 3, 7, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def test_disc_is_rim_and_cup_together():
    p = nested_probabilities(LOGITS)
    e = LOGITS.exp()
    total = e.sum(dim=1)
    assert CLASSES == ("optic_disc", "optic_cup")
    torch.testing.assert_close(p[:, 0], (e[:, 1] + e[:, 2]) / total)
    torch.testing.assert_close(p[:, 1], e[:, 2] / total)
    assert (p[:, 1] <= p[:, 0]).all()


def test_log_odds_are_those_of_the_nested_probabilities():
    p = nested_probabilities(LOGITS)
    torch.testing.assert_close(log_odds(LOGITS), p.log() - (1 - p).log())
    assert (log_odds(LOGITS)[:, 1] < log_odds(LOGITS)[:, 0]).all()


def test_huge_logits_overflow_nowhere():
    logits = torch.tensor([[-1e4, 1e4, 0.0], [1e4, -1e4, -1e4], [0.0, 0.0, 1e4]]).T[None, :, :, None].clone()
    logits.requires_grad_()
    z, p = log_odds(logits), nested_probabilities(logits)
    # log 2 where the two other logits are equal.
    assert z[0, 0, :, 0].tolist() == pytest.approx([2e4, -2e4 + 0.6931, 1e4], abs=1e-3)
    assert z[0, 1, :, 0].tolist() == pytest.approx([-1e4, -2e4, 1e4 - 0.6931], abs=1e-3)
    assert p.isfinite().all()
    gradient = torch.autograd.grad(z.sum(), logits)[0]
    assert gradient.isfinite().all()
