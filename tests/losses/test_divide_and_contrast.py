"""Divide and contrast is its formulas, by slow loops, and remembers the regions that it has seen."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest
import torch

from bundle.losses.divide_and_contrast import DivideAndContrastLoss
from tests.support.losses import HEIGHT, WIDTH, K, names, output_of, random, unit


def test_memory_holds_mean_features_and_confidences_of_the_regions():
    loss = DivideAndContrastLoss(momentum=0.2)
    expected: dict[tuple[str, int], tuple[np.ndarray, float]] = {}
    for step in range(3):
        features, confidence = random(2, K, WIDTH, HEIGHT, seed=step), random(2, WIDTH, HEIGHT, seed=9 + step).sigmoid()
        label = torch.randint(3, (2, WIDTH, HEIGHT), generator=torch.Generator().manual_seed(step))
        if step == 1:
            label[0][label[0] == 2] = 1
        batch = ["a", "b"] if step < 2 else ["b", "a"]
        loss.remember(batch, features, label, confidence)
        for b, name in enumerate(batch):
            for c in range(3):
                where = [(x, y) for x in range(WIDTH) for y in range(HEIGHT) if label[b, x, y] == c]
                if not where:
                    expected.pop((name, c), None)
                    continue
                mean = unit(sum(features[b, :, x, y].double().numpy() for x, y in where))
                if (name, c) in expected:
                    mean = unit(0.2 * expected[name, c][0] + 0.8 * mean)
                expected[name, c] = (mean, sum(confidence[b, x, y].item() for x, y in where) / len(where))
        for name in ("a", "b"):
            for c in range(3):
                if (name, c) in expected:
                    assert loss.memory[name][c, :-1].tolist() == pytest.approx(list(expected[name, c][0]), abs=1e-5)
                    assert loss.memory[name][c, -1].item() == pytest.approx(expected[name, c][1], rel=1e-5)
                else:
                    assert loss.memory[name][c, -1].isnan()
        assert (("a", 2) in expected) == (step != 1)


def test_regions_are_divided_at_the_median_confidence_of_their_class():
    loss = DivideAndContrastLoss()
    confidence = [[0.9, 0.5, 0.3], [0.8, 0.7, math.nan], [0.7, 0.6, 0.2], [0.6, 0.6, math.nan]]
    for i, row in enumerate(confidence):
        loss.memory[str(i)] = torch.cat((random(3, K, seed=i), torch.tensor(row)[:, None]), dim=1)
    regions, source_like, target_specific = loss.divide(torch.zeros(1, K))
    assert torch.equal(regions[2], random(3, K, seed=2))
    assert source_like.int().tolist() == [[1, 0, 1], [1, 1, 0], [1, 1, 1], [0, 1, 0]]
    assert target_specific.int().tolist() == [[0, 1, 0], [0, 0, 0], [0, 0, 0], [1, 0, 0]]


def test_anchors_are_drawn_from_every_region_alike():
    label = torch.randint(3, (2, WIDTH, HEIGHT), generator=torch.Generator().manual_seed(0))
    label[1][label[1] == 2] = 0
    index, photograph, category = DivideAndContrastLoss(pixels=200).draw(label)
    for b, c in ((0, 0), (0, 1), (0, 2), (1, 0), (1, 1)):
        drawn = index[(photograph == b) & (category == c)]
        assert len(drawn) == 200
        assert set(drawn.tolist()) == set((label.flatten() == c).nonzero()[:, 0].tolist()) & set(
            range(b * WIDTH * HEIGHT, (b + 1) * WIDTH * HEIGHT)
        )
    assert len(index) == 1000


def groups(seed: int = 0):
    """Regions of four photographs, and anchors in them; class 2 is missing in the last photograph."""
    generator = torch.Generator().manual_seed(seed)
    regions = torch.nn.functional.normalize(torch.randn(4, 3, K, generator=generator), dim=2)
    source_like = torch.tensor([[1, 0, 1], [1, 1, 0], [0, 1, 1], [0, 0, 0]]).bool()
    target_specific = ~source_like & torch.tensor([[1, 1, 1]] * 3 + [[1, 1, 0]]).bool()
    anchors, view = (torch.nn.functional.normalize(torch.randn(11, K, generator=generator), dim=1) for _ in range(2))
    row, category = torch.tensor([(r, c) for r in range(4) for c in range(3) if (r, c) != (3, 2)]).T
    return anchors, view, row, category, regions, source_like, target_specific


def slow_contrast(arguments, temperature, neighbours):
    anchors, view, row, category, regions, source_like, target_specific = arguments
    known = [(r, c) for r in range(len(regions)) for c in range(3) if source_like[r, c] or target_specific[r, c]]
    centroids = {}
    for c in range(3):
        members = [regions[r, c] for r, k in known if k == c and source_like[r, c]]
        if members:
            centroids[c] = sum(members) / len(members)
    values = []
    for f, v, r, c in zip(anchors, view, row, category, strict=True):
        nearest = sorted(known, key=lambda rc: -(v @ regions[rc]))[:neighbours]
        if source_like[r, c]:
            positive = f @ centroids[c]
        else:
            positive = (f @ v + f @ regions[r, c] + sum(f @ regions[rc] for rc in nearest)) / (2 + len(nearest))
        negatives = [f @ m for k, m in centroids.items() if k != c]
        negatives += [f @ regions[rc] for rc in known if rc[1] != c and target_specific[rc]]
        total = sum(math.exp(s / temperature) for s in [positive, *negatives])
        values.append(math.log(total) - positive / temperature)
    return sum(values) / len(values)


def slow_discrepancy(arguments, temperature):
    anchors, row, category, regions, source_like, target_specific = arguments
    values = []
    for f, r, c in zip(anchors, row, category, strict=True):
        group: dict[bool, list[np.ndarray]] = {True: [], False: []}
        for q in range(len(regions)):
            if source_like[q, c] or target_specific[q, c]:
                group[bool(source_like[q, c])].append(regions[q, c])
        if group[True] and group[False]:
            s, t = (math.exp(f @ (sum(group[k]) / len(group[k])) / temperature) for k in (True, False))
            values.append(-math.log((t if source_like[r, c] else s) / (s + t)))
    return sum(values) / len(values) if values else 0.0


def as_numpy(arguments: Iterable[torch.Tensor]) -> list[Any]:
    return [a.double().numpy() if a.is_floating_point() else a.numpy() for a in arguments]


@pytest.mark.parametrize("neighbours", [0, 3, 50])
@pytest.mark.parametrize("without_source_like", [False, True])
def test_adaptive_contrast_by_a_slow_loop(neighbours, without_source_like):
    arguments = groups()
    if without_source_like:
        arguments[5][:, 1], arguments[6][:, 1] = False, True
    loss = DivideAndContrastLoss(temperature=0.3, neighbours=neighbours)
    found = loss.contrast_of(*arguments)
    assert found.item() == pytest.approx(slow_contrast(as_numpy(arguments), 0.3, neighbours), rel=1e-4)


@pytest.mark.parametrize("one_sided", [False, True])
def test_discrepancy_of_the_regions_by_a_slow_loop(one_sided):
    anchors, _, row, category, regions, source_like, target_specific = groups()
    if one_sided:
        source_like[:, 1], target_specific[:, 1] = True, False
    arguments = anchors, row, category, regions, source_like, target_specific
    found = DivideAndContrastLoss(temperature=0.3).discrepancy_of(*arguments)
    assert found.item() == pytest.approx(slow_discrepancy(as_numpy(arguments), 0.3), rel=1e-4)


def regions_of(seed: int, cup: bool = True) -> torch.Tensor:
    """1 x K x 6 x 4: two columns of each class, all pixels of a class alike."""
    features = torch.zeros(1, K, 6, 4)
    for c, values in enumerate(random(3, K, seed=seed).abs() / 2):
        values[c] += 1
        if c == 2 and not cup:
            values[:3] = torch.tensor([1.0, 0.0, 0.0])
        features[0, :, 2 * c : 2 * c + 2] = values[:, None, None]
    return features


@pytest.mark.parametrize("taught", [False, True])
def test_divide_and_contrast_as_a_whole_by_a_slow_loop(reader, taught, monkeypatch):
    """Three photographs come twice, in another order, one of them without a cup; every draw gives the same anchors."""
    loss = DivideAndContrastLoss(0.7, 0.9, 0.4, temperature=0.3, neighbours=2, pixels=3)
    weak = torch.cat([regions_of(i, cup=i != 2) for i in range(3)])
    strong = (weak + 0.2 * random(3, K, 1, 1, seed=8).abs()) if taught else weak

    def step(order):
        teacher = output_of(reader, weak[order]) if taught else None
        return loss(output_of(reader, strong[order], teacher), {"name": [f"photograph {i}" for i in order]}).item()

    p = (3 * weak[:, :3]).softmax(dim=1)
    label = p.argmax(dim=1)
    q = (3 * strong[:, :3]).double().log_softmax(dim=1).numpy()
    cross_entropy = -np.mean([q[b, label[b, x, y], x, y] for b in range(3) for x in range(6) for y in range(4)])
    assert step([0, 1, 2]) == pytest.approx(0.7 * cross_entropy, rel=1e-4)

    regions, confidence = np.zeros((3, 3, K)), np.full((3, 3), np.nan)
    anchors, view, row, category = [], [], [], []
    for b in range(3):
        for c in range(3):
            where = (label[b] == c).nonzero().tolist()
            if where:
                regions[b, c] = unit(sum(weak[b, :, x, y].double().numpy() for x, y in where))
                confidence[b, c] = np.mean([p[b, c, x, y].item() for x, y in where])
    for b, c in ((b, c) for b in range(3) for c in range(3) if not np.isnan(confidence[b, c])):
        if (b, c) != (2, 0):
            x, y = (label[b] == c).nonzero()[0].tolist()
            anchors.append(unit(strong[b, :, x, y]))
            view.append(unit(weak[b, :, x, y]))
            row.append(b)
            category.append(c)
    # The background of the third photograph has pixels of two kinds; leave it out of the drawn ones.
    draw = loss.draw

    def draw_other_regions(labels):
        index, photograph, classes = draw(labels)
        keep = ~((photograph == labels[:, 5, 0].eq(0).nonzero()[0, 0]) & (classes == 0))
        return index[keep], photograph[keep], classes[keep]

    monkeypatch.setattr(loss, "draw", draw_other_regions)
    source_like = np.array(
        [[confidence[b, c] >= np.sort(confidence[:, c])[(3 - (c == 2) - 1) // 2] for c in range(3)] for b in range(3)]
    )
    target_specific = ~source_like & ~np.isnan(confidence)
    assert target_specific.any()
    contrast = slow_contrast((anchors, view, row, category, regions, source_like, target_specific), 0.3, 2)
    discrepancy = slow_discrepancy((anchors, row, category, regions, source_like, target_specific), 0.3)
    expected = 0.7 * cross_entropy + 0.9 * contrast + 0.4 * discrepancy
    assert step([2, 0, 1]) == pytest.approx(expected, rel=1e-4)


def test_divide_and_contrast_waits_for_the_memory(network):
    features = random(2, K, WIDTH, HEIGHT)
    loss = DivideAndContrastLoss()
    values = [loss(output_of(network, features), names()).item() for _ in range(2)]
    assert values[1] > values[0] + 0.01
