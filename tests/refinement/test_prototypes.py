"""Prototypes are weighted means over everything, in any order, and the nearer one is found as by measuring both."""

from __future__ import annotations

import itertools

import pytest
import torch

from bundle.refinement.prototypes import Prototypes, PrototypeSums

K, WIDTH, HEIGHT = 3, 7, 5


def photograph(seed: int) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    probability = torch.rand(2, WIDTH, HEIGHT, generator=generator)
    features = torch.rand(2, K, WIDTH, HEIGHT, generator=generator)
    features[1] += 0.5
    return {
        "features": features,
        "reliable": torch.rand(2, WIDTH, HEIGHT, generator=generator) > 0.4,
        "label": probability > 0.6,
        "probability": probability,
    }


PHOTOGRAPHS = [photograph(seed) for seed in range(4)]


def slow_prototype(photographs: list[dict[str, torch.Tensor]], c: int, background: bool) -> list[float]:
    total, weight = [0.0] * K, 0.0
    for one in photographs:
        for x, y in itertools.product(range(WIDTH), range(HEIGHT)):
            p = one["probability"][c, x, y].item()
            if not one["reliable"][c, x, y] or bool(one["label"][c, x, y]) == background:
                continue
            w = 1 - p if background else p
            weight += w
            total = [t + w * f for t, f in zip(total, one["features"][c, :, x, y].tolist(), strict=True)]
    return [t / weight for t in total]


def summed(photographs) -> PrototypeSums:
    return sum((PrototypeSums.of(**one) for one in photographs), PrototypeSums())


@pytest.mark.parametrize("c", [0, 1])
def test_prototypes_are_the_weighted_means_over_all_photographs(c):
    found = summed(PHOTOGRAPHS).prototypes()
    assert found.objects[c].tolist() == pytest.approx(slow_prototype(PHOTOGRAPHS, c, background=False), rel=1e-5)
    assert found.background[c].tolist() == pytest.approx(slow_prototype(PHOTOGRAPHS, c, background=True), rel=1e-5)


def test_neither_order_nor_grouping_changes_the_sums():
    reference = summed(PHOTOGRAPHS)
    for order in itertools.permutations(PHOTOGRAPHS):
        left = summed(order[:2]) + summed(order[2:])
        torch.testing.assert_close(left.sums, reference.sums, rtol=1e-12, atol=0)
        torch.testing.assert_close(left.weights, reference.weights, rtol=1e-12, atol=0)
    assert reference.sums.dtype == reference.weights.dtype == torch.float64


def test_nearer_is_what_the_two_distances_say():
    prototypes = summed(PHOTOGRAPHS).prototypes()
    a = PHOTOGRAPHS[2]["features"]
    found = prototypes.nearer_to_object(a)
    assert found.dtype == torch.bool
    near = torch.zeros(2, WIDTH, HEIGHT)
    for c in range(2):
        to_object = (a[c] - prototypes.objects[c][:, None, None]).square().sum(dim=0)
        to_background = (a[c] - prototypes.background[c][:, None, None]).square().sum(dim=0)
        near[c] = to_background - to_object
    clear = near.abs() > 1e-5
    assert clear.float().mean() > 0.9
    assert torch.equal(found[clear], (near > 0)[clear])
    assert 0 < found[0].float().mean() < 1


def test_each_class_is_compared_with_its_own_prototypes():
    objects, background = torch.tensor([[1.0, 0.0], [0.0, 1.0]]), torch.tensor([[0.0, 0.0], [1.0, 0.0]])
    a = torch.tensor([[0.9, 0.0], [0.4, 5.0]]).T[None, :, :, None].repeat(2, 1, 1, 1)
    found = Prototypes(objects, background).nearer_to_object(a)
    assert found[:, :, 0].tolist() == [[True, False], [False, True]]


def test_a_class_never_seen_is_nowhere_and_one_without_background_everywhere():
    no_cup = [{**one, "label": one["label"] & torch.tensor([True, False])[:, None, None]} for one in PHOTOGRAPHS]
    prototypes = summed(no_cup).prototypes()
    assert prototypes.objects[1].isnan().all()
    found = prototypes.nearer_to_object(PHOTOGRAPHS[0]["features"])
    assert not found[1].any()
    assert found[0].any()

    all_disc = [{**one, "label": one["label"] | torch.tensor([True, False])[:, None, None]} for one in PHOTOGRAPHS]
    prototypes = summed(all_disc).prototypes()
    assert prototypes.background[0].isnan().all()
    found = prototypes.nearer_to_object(PHOTOGRAPHS[0]["features"])
    assert found[0].all()
    assert not found[1].all()


def test_nothing_reliable_anywhere_gives_no_prototype_at_all():
    nothing = [{**one, "reliable": torch.zeros_like(one["reliable"])} for one in PHOTOGRAPHS]
    prototypes = summed(nothing).prototypes()
    assert prototypes.objects.isnan().all()
    assert prototypes.background.isnan().all()
    assert not prototypes.nearer_to_object(PHOTOGRAPHS[0]["features"]).any()
