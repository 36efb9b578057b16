"""Priors of the target, found without its labels."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from bundle.label_shift import cup_prior_shift, estimate_shift, expect_cups
from bundle.passes import classifier_of


def calibrated(share: float, source_share: float, count: int = 200_000, seed: int = 0) -> torch.Tensor:
    """Log-odds of a classifier that is calibrated on the source, for pixels of which ``share`` are cup."""
    rng = np.random.default_rng(seed)
    cup = rng.random(count) < share
    # Evidence x ~ N(+-1, 1) has log-likelihood ratio 2x.
    x = rng.normal(np.where(cup, 1.0, -1.0), 1.0)
    return torch.from_numpy(2 * x + math.log(source_share / (1 - source_share)))


@pytest.mark.parametrize(("share", "source_share"), [(0.45, 0.25), (0.15, 0.3), (0.25, 0.25)])
def test_the_shift_of_the_prior_is_found(share, source_share):
    z = calibrated(share, source_share)
    expected = math.log(share / (1 - share)) - math.log(source_share / (1 - source_share))
    assert estimate_shift(z, torch.ones_like(z), source_share) == pytest.approx(expected, abs=0.05)


def test_pixels_count_by_their_weight():
    z = torch.cat((calibrated(0.45, 0.25), calibrated(0.05, 0.25, seed=1)))
    weight = torch.cat((torch.ones(200_000), torch.zeros(200_000)))
    assert estimate_shift(z, weight.double(), 0.25) == pytest.approx(math.log(0.45 / 0.55) - math.log(1 / 3), abs=0.05)


def test_a_network_that_is_too_sure_is_cooled_down():
    z = calibrated(0.45, 0.25) * 2
    cooled = estimate_shift(z, torch.ones_like(z), 0.25, temperature=2.0)
    assert cooled == pytest.approx(math.log(0.45 / 0.55) - math.log(1 / 3), abs=0.05)


def test_an_estimate_that_runs_away_is_none(caplog):
    """All pixels alike: the likeliest target is one of nothing but cups, or of none."""
    for value in (-50.0, -1.0, 1.0, 50.0):
        caplog.clear()
        assert estimate_shift(torch.full((10,), value), torch.ones(10), 0.5) == 0
        assert "cannot be estimated" in caplog.text


def test_a_disc_of_little_weight_counts_as_much():
    z = calibrated(0.45, 0.25, count=20_000)
    little = estimate_shift(z, torch.full_like(z, 1e-6), 0.25)
    assert little == pytest.approx(estimate_shift(z, torch.ones_like(z), 0.25), abs=1e-4) != 0


def test_without_a_disc_there_is_no_shift():
    assert estimate_shift(torch.zeros(4), torch.zeros(4), 0.25) == 0


@pytest.mark.parametrize("arguments", [(0.0, 1.0), (1.0, 1.0), (0.3, 0.0)])
def test_impossible_arguments_are_refused(arguments):
    with pytest.raises(ValueError, match="source_share"):
        estimate_shift(torch.zeros(1), torch.ones(1), *arguments)


def test_the_networks_answers_are_pooled_over_batches(network, make_images):
    images = make_images(3, 64, 64)
    batches = [{"image": images[:2]}, {}, {"image": images[2:]}]
    whole = cup_prior_shift(network, [{"image": images}], "cpu", 0.3)
    assert cup_prior_shift(network, batches, "cpu", 0.3) == pytest.approx(whole, abs=1e-4)
    with torch.no_grad():
        p = network(images).softmax(dim=1)[..., ::2, ::2]
    z, weight = (p[:, 2] / p[:, 1]).log().flatten(), (p[:, 1] + p[:, 2]).flatten()
    assert whole == pytest.approx(estimate_shift(z, weight, 0.3), abs=1e-3)
    warm = 1.5 * estimate_shift(z, weight, 0.3, 1.5)
    assert cup_prior_shift(network, batches, "cpu", 0.3, 1.5) == pytest.approx(warm, abs=1e-3)
    assert abs(warm - whole) > 0.01
    assert cup_prior_shift(network, [{}], "cpu", 0.3) == 0
    assert cup_prior_shift(network, batches, "cpu", 0.3, least=abs(whole) - 1e-2) == pytest.approx(
        math.copysign(1e-2, whole), abs=1e-4
    )
    assert cup_prior_shift(network, batches, "cpu", 0.3, least=abs(whole) + 1e-3) == 0


@pytest.mark.parametrize("source_share", [0.2, 0.4])
def test_what_cameras_bring_about_is_taken_off_towards_zero(source_share, network, make_images):
    images = make_images(2)
    with torch.no_grad():
        p = network(images).softmax(dim=1)[..., ::2, ::2]
    whole = estimate_shift((p[:, 2] / p[:, 1]).log().flatten(), (p[:, 1] + p[:, 2]).flatten(), source_share)
    assert whole * (0.3 - source_share) > 0.03
    less = cup_prior_shift(network, [{"image": images}], "cpu", source_share, least=0.25)
    assert less == pytest.approx(whole - math.copysign(0.25, whole), abs=1e-3)


def test_asking_changes_nothing(network, make_images):
    network.train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    first = cup_prior_shift(network, [{"image": make_images()}], "cpu", 0.3)
    assert network.training
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name]), name
    assert cup_prior_shift(network, [{"image": make_images()}], "cpu", 0.3) == first


def test_the_head_expects_larger_cups_afterwards(network, make_images):
    images = make_images()
    with torch.no_grad():
        before = network(images)
        expect_cups(network, 0.7)
        after = network(images)
    torch.testing.assert_close(after[:, :2], before[:, :2])
    torch.testing.assert_close(after[:, 2], before[:, 2] + 0.7)
    classifier_of(network.segmentation_head).bias = None
    with pytest.raises(ValueError, match="no bias"):
        expect_cups(network, 0.1)


@pytest.mark.parametrize("share", [0.03, 0.5, 0.85])
@pytest.mark.parametrize("sure", [8.0, 12.0])
def test_a_share_that_a_clinic_may_have_is_found(share, sure):
    z = torch.where(torch.arange(1000) < 1000 * share, sure, -sure)
    expected = math.log(share / (1 - share)) - math.log(0.26 / 0.74)
    assert estimate_shift(z, torch.ones(1000), 0.26) == pytest.approx(expected, abs=0.02)


@pytest.mark.parametrize("share", [0.0, 0.005, 0.95, 1.0])
def test_a_share_that_no_clinic_has_counts_as_none(share):
    z = torch.where(torch.arange(1000) < 1000 * share, 12.0, -12.0)
    assert estimate_shift(z, torch.ones(1000), 0.26) == 0
