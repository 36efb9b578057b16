"""Priors of the target, found without its labels."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from bundle.adaptation.label_shift import (
    CUP_NOTE,
    cup_prior_shift,
    estimate_shift,
    expect_cups,
    sampling_error,
    source_cup_share,
)
from bundle.networks.head import classifier_of
from bundle.networks.weights import save_weights


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
    whole = cup_prior_shift(network, [{"image": images}], "cpu", 0.3, errors=0.0)
    assert cup_prior_shift(network, batches, "cpu", 0.3, errors=0.0) == pytest.approx(whole, abs=1e-4)
    with torch.no_grad():
        p = network(images).softmax(dim=1)[..., ::2, ::2]
    z, weight = (p[:, 2] / p[:, 1]).log().flatten(), (p[:, 1] + p[:, 2]).flatten()
    assert whole == pytest.approx(estimate_shift(z, weight, 0.3), abs=1e-3)
    warm = 1.5 * estimate_shift(z, weight, 0.3, 1.5)
    assert cup_prior_shift(network, batches, "cpu", 0.3, 1.5, errors=0.0) == pytest.approx(warm, abs=1e-3)
    assert abs(warm - whole) > 0.01
    assert cup_prior_shift(network, [{}], "cpu", 0.3) == 0


@pytest.mark.parametrize("source_share", [0.2, 0.4])
def test_what_chance_and_cameras_bring_about_is_none_and_more_is_shrunk(source_share, network, make_images):
    images = make_images(3)
    with torch.no_grad():
        p = network(images).softmax(dim=1)[..., ::2, ::2]
    z, weight = (p[:, 2] / p[:, 1]).log().flatten(1), (p[:, 1] + p[:, 2]).flatten(1)
    whole = 1.2 * estimate_shift(z, weight, source_share, 1.2)
    error = 1.2 * sampling_error(z, weight, whole / 1.2, 1.2)
    assert whole * (0.3 - source_share) > 0.03
    assert error > 1e-3

    def left(least: float, errors: float) -> float:
        return cup_prior_shift(network, [{"image": images}], "cpu", source_share, 1.2, least, errors)

    assert left(0.0, 0.0) == pytest.approx(whole, abs=1e-3)
    assert left(0.25, 0.0) == pytest.approx(whole - 0.25**2 / whole, abs=1e-3)
    assert left(0.25, 0.5 * abs(whole) / error) == pytest.approx(0.75 * whole - 0.25**2 / whole, rel=1e-2)
    assert left(abs(whole) + 1e-3, 0.0) == 0
    assert left(0.0, 1.01 * abs(whole) / error) == 0


def test_the_error_is_that_of_drawing_other_photographs():
    rng = np.random.default_rng(0)
    photographs = 40

    def draw() -> tuple[torch.Tensor, torch.Tensor]:
        shares = rng.beta(4, 8, photographs)
        z = torch.stack([calibrated(share, 0.25, 400, int(rng.integers(2**31))) for share in shares])
        return z, torch.from_numpy(rng.uniform(0.2, 1.0, (photographs, 1))).expand_as(z)

    found, told = [], []
    for _ in range(150):
        z, weight = draw()
        found.append(estimate_shift(z, weight, 0.25))
        told.append(sampling_error(z, weight, found[-1]))
    assert np.mean(told) == pytest.approx(np.std(found), rel=0.15)
    # A photograph that comes twice counts as two; a pixel that comes twice in its photograph does not.
    twice = sampling_error(torch.cat((z, z)), torch.cat((weight, weight)), found[-1])
    assert twice == pytest.approx(told[-1] * math.sqrt(0.5 * (80 / 79) / (40 / 39)), rel=1e-4)
    wide = sampling_error(torch.cat((z, z), dim=1), torch.cat((weight, weight), dim=1), found[-1])
    assert wide == pytest.approx(told[-1], rel=1e-6)


def test_one_photograph_tells_nothing_of_a_clinic(network, make_images):
    z = calibrated(0.45, 0.25)[None]
    assert sampling_error(z, torch.ones_like(z), 0.9) == math.inf
    assert sampling_error(torch.zeros(3, 5), torch.zeros(3, 5), 0.0) == math.inf
    for alike in (-1e3, 0.0, 1e3):
        assert sampling_error(torch.full((3, 5), alike), torch.ones(3, 5), 0.0) == math.inf
    assert cup_prior_shift(network, [{"image": make_images(1)}], "cpu", 0.9) == 0


def test_asking_changes_nothing(network, make_images):
    network.train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    first = cup_prior_shift(network, [{"image": make_images()}], "cpu", 0.3, errors=0.0)
    assert first != 0
    assert network.training
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name]), name
    assert cup_prior_shift(network, [{"image": make_images()}], "cpu", 0.3, errors=0.0) == first


def test_the_head_expects_larger_cups_afterwards(network, make_images):
    images = make_images()
    with torch.no_grad():
        before = network(images)
        expect_cups(network, 0.7)
        after = network(images)
    torch.testing.assert_close(after[:, :2], before[:, :2])
    torch.testing.assert_close(after[:, 2], before[:, 2] + 0.7)
    classifier_of(network.segmentation_head).bias = None
    with pytest.raises(ValueError, match="needs a last convolution with a bias"):
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


def test_weights_say_how_much_cup_they_have_learned(tmp_path):
    save_weights(torch.nn.Linear(1, 1), tmp_path / "noted.pt", {CUP_NOTE: 0.4})
    save_weights(torch.nn.Linear(1, 1), tmp_path / "odd.pt", {CUP_NOTE: 4.0})
    assert source_cup_share(tmp_path / "noted.pt") == 0.4
    assert source_cup_share(tmp_path / "odd.pt") == source_cup_share(tmp_path / "none.pt") == 0.264
