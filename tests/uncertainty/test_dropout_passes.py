"""Dropout masks belong to the photograph, and passes through the head are what masking F and running it would give."""

from __future__ import annotations

import pytest
import torch

from bundle.networks.head import HeadInput, classifier_of, dropout_of
from bundle.networks.nested_classes import log_odds
from bundle.uncertainty.agreement import agreement, expected_dice
from bundle.uncertainty.dropout_passes import channel_masks, stochastic_log_odds, stochastic_logits


def test_a_head_is_dropout_and_a_pointwise_convolution(network):
    assert dropout_of(network.segmentation_head) == 0.25
    assert classifier_of(network.segmentation_head) is list(network.segmentation_head)[1]


def test_masks_depend_on_name_and_seed_only():
    alone = channel_masks(["b"], 4, 24, 0.3, seed=5)
    together = channel_masks(["a", "b", "c"], 4, 24, 0.3, seed=5)
    turned = channel_masks(["c", "b", "a"], 4, 24, 0.3, seed=5)
    assert torch.equal(alone[0], together[1])
    assert torch.equal(together.flip(0), turned)
    assert not torch.equal(together[0], together[1])
    assert not torch.equal(alone, channel_masks(["b"], 4, 24, 0.3, seed=6))


def test_masks_leave_the_global_random_state_alone():
    before = torch.get_rng_state()
    channel_masks(["a", "\udce4.png"], 2, 3, 0.5)
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("dropout", [0.0, 0.3, 0.5])
def test_masks_are_unbiased(dropout):
    masks = channel_masks(["a", "b"], 200, 64, dropout)
    assert masks.shape == (2, 200, 64)
    assert masks.unique().tolist() == pytest.approx([1.0] if dropout == 0 else [0.0, 1 / (1 - dropout)])
    assert masks.mean().item() == pytest.approx(1, abs=0.02)
    passes_differ = bool((masks[:, 0] != masks[:, 1]).any())
    assert passes_differ == (dropout > 0)


def test_stochastic_logits_are_those_of_masked_features(network, make_images):
    features = network.features(make_images(2, 32, 64)).detach()
    masks = channel_masks(["a", "b"], 3, 8, 0.5, seed=1)
    head = network.segmentation_head
    found = stochastic_logits(head, features, masks)
    assert found.shape == (2, 3, 3, 32, 64)
    for t in range(3):
        expected = head[-1](features * masks[:, t, :, None, None])
        torch.testing.assert_close(found[:, t], expected, rtol=1e-5, atol=1e-5)
    z = stochastic_log_odds(found)
    for t in range(3):
        torch.testing.assert_close(z[:, t], log_odds(found[:, t]))


def test_without_dropout_a_pass_is_the_plain_prediction(network, make_images):
    images = make_images()
    with HeadInput(network) as head_input, torch.no_grad():
        logits = network(images)
        assert torch.equal(head_input.features, network.features(images))
    found = stochastic_logits(network.segmentation_head, head_input.features, torch.ones(2, 1, 8))
    torch.testing.assert_close(found[:, 0], logits, rtol=1e-5, atol=1e-5)


def test_head_input_lets_go_of_the_network(network, make_images):
    with HeadInput(network) as head_input, torch.no_grad():
        network(make_images(1))
    kept = head_input.features
    network(make_images(2))
    assert head_input.features is kept


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
