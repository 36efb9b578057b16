"""Agreement is the mean Dice of each pass with all of them; the expected Dice is that of the probabilities."""

from __future__ import annotations

import pytest
import torch

from bundle.uncertainty.agreement import agreement, expected_dice


def slow_agreement(z: torch.Tensor) -> list[float]:
    result = []
    for c in range(2):
        mean = z[:, c].sigmoid().mean(dim=0) > 0.5
        dice = []
        for one in z[:, c] > 0:
            total = int(one.sum() + mean.sum())
            dice.append(2 * int((one & mean).sum()) / total if total else 1.0)
        result.append(sum(dice) / len(dice))
    return result


def test_agreement_is_the_mean_dice_of_each_pass_with_the_mean():
    z = 3 * torch.randn(3, 5, 2, 8, 6, generator=torch.Generator().manual_seed(0))
    found = agreement(z)
    assert found.shape == (3, 2)
    for i in range(3):
        assert found[i].tolist() == pytest.approx(slow_agreement(z[i]), abs=1e-6)
    assert ((found >= 0) & (found <= 1)).all()
    assert (found < 0.95).all()


def test_identical_passes_agree_and_an_empty_cup_does_too():
    one = torch.randn(1, 1, 2, 8, 6, generator=torch.Generator().manual_seed(1))
    assert agreement(one.repeat(1, 5, 1, 1, 1)).tolist() == [[1, 1]]
    z = one.repeat(1, 5, 1, 1, 1)
    z[:, :, 1] = -4
    z[:, 2, 0] *= -1
    found = agreement(z)
    assert found[0, 1] == 1
    assert found[0, 0] == pytest.approx(4 / 5)


def test_a_pass_that_misses_the_structure_counts_zero():
    z = torch.full((1, 4, 2, 4, 4), -3.0)
    z[:, 0] = 1.0
    assert agreement(z).tolist() == [[0.75, 0.75]]


def logits_of(disc: torch.Tensor, cup: torch.Tensor) -> torch.Tensor:
    """Logits of 1 x 3 x W x H whose nested probabilities are ``disc`` and ``cup`` (W x H)."""
    return torch.stack((1 - disc, disc - cup, cup))[None].clamp(min=1e-12).log()


def test_the_expected_dice_is_that_of_the_mean_over_all_labels_that_the_probabilities_allow():
    disc, cup = torch.tensor([[0.9, 0.8, 0.3]]), torch.tensor([[0.6, 0.1, 0.0]])
    found = expected_dice(logits_of(disc, cup))
    assert found.shape == (1, 2)
    assert found[0].tolist() == pytest.approx([2 * 1.7 / (2.0 + 2), 2 * 0.6 / (0.7 + 1)], abs=1e-5)


def test_what_is_beyond_doubt_has_dice_one_and_what_is_not_predicted_has_none():
    sure = torch.zeros(8, 8)
    sure[2:6, 2:6] = 1.0
    doubtful = torch.full((8, 8), 0.4)
    assert expected_dice(logits_of(sure, torch.zeros(8, 8)))[0].tolist() == pytest.approx([1.0, 0.0], abs=1e-5)
    assert expected_dice(logits_of(doubtful, doubtful))[0].tolist() == [0.0, 0.0]


def test_more_doubt_lowers_the_expected_dice():
    shape = torch.zeros(8, 8)
    shape[2:6, 2:6] = 1.0
    values = [float(expected_dice(logits_of(p, p))[0, 1]) for p in (shape * 0.99, shape * 0.8, shape * 0.6)]
    assert values == sorted(values, reverse=True)
    assert values[0] - values[-1] > 0.2
