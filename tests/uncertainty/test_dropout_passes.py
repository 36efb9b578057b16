"""Dropout masks belong to the photograph, and passes through the head are what masking F and running it would give."""

from __future__ import annotations

import pytest
import torch

from bundle.networks.head import HeadInput
from bundle.networks.nested_classes import log_odds
from bundle.uncertainty.dropout_passes import channel_masks, stochastic_log_odds, stochastic_logits


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
