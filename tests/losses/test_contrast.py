"""The contrast of reliable pixels with unreliable ones of another class is its formula."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from bundle.losses.contrast import ContrastLoss
from tests.support.losses import K, names, output_of, random, unit
from tests.support.tensors import gradient_of


def columns(*pixels: list[float]) -> torch.Tensor:
    """1 x K x len(pixels) x 1 of the pixels' first channels."""
    features = torch.zeros(1, K, len(pixels), 1)
    for x, pixel in enumerate(pixels):
        features[0, : len(pixel), x, 0] = torch.tensor(pixel)
    return features


SURE, UNSURE, CUP = [3.0, 0.0, -1.0], [1.0, 0.9, -1.0], [-1.0, 0.0, 3.0]


def test_contrast_of_cup_pixels_with_an_unreliable_pixel_that_is_least_of_all_cup(reader):
    # The background has no negatives: for no unreliable pixel is it the least probable class.
    features = columns(*[SURE] * 9, UNSURE, *[CUP] * 10)
    found = ContrastLoss(stride=1, temperature=0.5, queries=5, negatives=7)(output_of(reader, features), names(1))
    cosine = unit(CUP) @ unit(UNSURE)
    assert found.item() == pytest.approx(math.log(1 + 7 * math.exp((cosine - 1) / 0.5)), rel=1e-4)


def test_the_mean_of_the_reliable_pixels_is_what_anchors_are_drawn_to(reader):
    first, second = [-1.0, 0.0, 3.0, 1.0], [-1.0, 0.0, 3.0, -1.0]
    features = columns(*[SURE] * 9, UNSURE, *[first] * 5, *[second] * 5)
    found = ContrastLoss(stride=1, temperature=0.5, queries=5, negatives=7)(output_of(reader, features), names(1))
    positive, negative = (unit(first) @ unit([*other, 0.0]) for other in (CUP, UNSURE))
    assert found.item() == pytest.approx(math.log(1 + 7 * math.exp((negative - positive) / 0.5)), rel=1e-4)


def test_the_mean_teacher_labels_the_pixels_and_gives_the_other_side_of_the_contrast(reader):
    pupil = columns(*[[0.0, 0.0, 0.0, 1.0]] * 20).requires_grad_()
    teacher = output_of(reader, columns(*[SURE] * 9, UNSURE, *[CUP] * 10))
    found = ContrastLoss(stride=1, temperature=0.5, queries=5, negatives=7)(output_of(reader, pupil, teacher), names(1))
    assert found.item() == pytest.approx(math.log(1 + 7), rel=1e-4)
    found.backward()
    assert (gradient_of(pupil)[0, :, :10] == 0).all()
    assert (gradient_of(pupil)[0, :, 10:] != 0).any()


def test_pixels_are_reliable_or_not_among_those_of_their_class():
    probability = random(60, 3, seed=3).mul(2).softmax(dim=1)
    label = probability.argmax(dim=1)
    reliable, unreliable = ContrastLoss(unreliable=0.25, reliable=0.5).divide(probability, label)
    p = probability.double().numpy()
    entropy = [-sum(q * math.log(q) for q in row) for row in p]
    for c in range(3):
        own = [i for i in range(60) if label[i] == c]
        low, high = np.quantile([entropy[i] for i in own], [0.5, 0.75])
        for i in own:
            assert bool(reliable[i]) == (entropy[i] <= low + 1e-9)
            assert bool(unreliable[i]) == (entropy[i] > high + 1e-9)
        assert 0 < sum(unreliable[own]) < sum(reliable[own])


def test_the_queue_keeps_the_latest_unreliable_keys_of_the_least_probable_class():
    loss = ContrastLoss(queue=3)
    for start in (0, 10):
        keys = torch.arange(start, start + 8.0)[:, None]
        loss.remember(keys, torch.tensor([1, 1, 0, 1, 1, 1, 0, 1]).bool(), torch.tensor([0, 2, 2, 2, 1, 2, 0, 0]))
    assert [queue[:, 0].tolist() for queue in loss.remembered] == [[7, 10, 17], [4, 14], [11, 13, 15]]
