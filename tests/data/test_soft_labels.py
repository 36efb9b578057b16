"""What several readers drew becomes the share of them at each pixel."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import numpy as np
import pytest
import torch

from bundle.data.partial_labels import NOT_CUP, RIM_OR_CUP, PartialLabeld, hard_label
from bundle.data.soft_labels import is_soft, pooled, shares_of
from bundle.transforms.cup_size import RandCupSized
from bundle.transforms.labelled_view import labelled_disc

Y, X = np.mgrid[:40, :40] - 20


def drawn(disc, cup, shift=0):
    inside = np.hypot(X - shift, Y)
    return (inside < disc).astype(np.uint8) + (inside < cup)


def all_shares(label):
    """Background, rim and cup of hard and soft values."""
    label = torch.from_numpy(label)
    found = shares_of(label)
    for value in (0, 1, 2):
        found[value] += (label == value).float()
    return found


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 6])
def test_the_shares_are_those_of_the_readers(count):
    labels = [drawn(15 + n % 3, 6 + n, shift=n % 2) for n in range(count)]
    label = pooled(labels)
    found = all_shares(label)
    for value in (0, 1, 2):
        expected = np.mean([each == value for each in labels], axis=0)
        np.testing.assert_allclose(found[value], expected, atol=1e-6)
    assert bool(is_soft(torch.from_numpy(label)).any()) == (count > 1)
    # Float32, in which MONAI loads labels, holds every value.
    assert np.array_equal(label.astype(np.float32).astype(int), label)


@pytest.mark.parametrize(
    ("labels", "shown", "disc", "cup"),
    [
        ([drawn(15, 7), np.minimum(drawn(17, 0), 1)], "both", [15, 17], [7]),
        ([drawn(15, 7), drawn(20, 9) // 2 * 2], "both", [15], [7, 9]),
        ([np.minimum(drawn(15, 0), 1), np.minimum(drawn(17, 0), 1)], "disc", [15, 17], None),
        ([drawn(20, 7) // 2 * 2, drawn(20, 9) // 2 * 2], "cup", None, [7, 9]),
    ],
)
def test_each_reader_counts_for_what_they_drew(labels, shown, disc, cup):
    label = pooled(labels)
    item: dict[Hashable, Any] = {
        "image": torch.zeros(3, 40, 40),
        "label": torch.from_numpy(label)[None].float(),
        "structures": shown,
    }
    told = PartialLabeld()(item)["label"][0]
    shares = shares_of(told)
    if disc:
        expected = np.mean([np.hypot(X, Y) < radius for radius in disc], axis=0)
        inside = {"both": shares[1] + shares[2], "disc": shares[3]}[shown]
        certain = (told > 0) & ~is_soft(told)
        np.testing.assert_allclose(inside + certain.float(), np.maximum(expected, 0), atol=1e-6)
    if cup:
        expected = np.mean([np.hypot(X, Y) < radius for radius in cup], axis=0)
        np.testing.assert_allclose(shares[2] + (told == 2).float(), expected, atol=1e-6)
    if shown != "both":
        wanted = {0, RIM_OR_CUP} if shown == "disc" else {2, NOT_CUP}
        assert set(hard_label(told).unique().tolist()) == wanted


def test_the_hard_label_is_what_more_than_half_drew():
    labels = [drawn(15, 6), drawn(17, 8), drawn(17, 9)]
    label = torch.from_numpy(pooled(labels))
    assert np.array_equal(hard_label(label), drawn(17, 8))
    assert hard_label(hard_label(label)) is not None
    plain = torch.from_numpy(drawn(15, 6))
    assert hard_label(plain) is plain


def test_the_view_and_the_cup_s_size_take_what_more_than_half_drew():
    label = torch.from_numpy(pooled([drawn(15, 6), drawn(17, 8), drawn(17, 9)]))[None].float()
    found, expected = labelled_disc(label), labelled_disc(torch.from_numpy(drawn(17, 8))[None])
    assert found == expected
    resize = RandCupSized(("image", "label"), ratio_range=(0.69, 0.7), prob=1.0)
    larger = resize({"image": torch.rand(3, 40, 40), "label": label})["label"]
    assert (hard_label(larger) == 2).sum() > (hard_label(label) == 2).sum()
    assert set(larger.unique().tolist()) <= set(label.unique().tolist())
