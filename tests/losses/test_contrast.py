"""The losses of ``pfa`` and ``dac`` are their formulas, remember what they must, and the recipes run on phantoms."""

from __future__ import annotations

import math
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from monai.bundle import ConfigWorkflow

from bundle.handlers.checkpoint import ResumableCheckpoint
from bundle.losses.base import AdaptationLoss
from bundle.losses.contrast import ContrastLoss
from bundle.losses.divide_and_contrast import DivideAndContrastLoss
from bundle.losses.functional import exponential_discrepancy, info_nce, transport_costs
from bundle.losses.transport import TransportLoss
from bundle.networks.head import classifier_of
from bundle.networks.outputs import AdaptationOutput
from bundle.stages import BUNDLE_ROOT
from bundle.synthetic.phantoms.photographs import write_dataset

ROOT = BUNDLE_ROOT
WIDTH, HEIGHT, K = 8, 6, 8


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def unit(v) -> np.ndarray:
    v = np.asarray(v, dtype=float)
    return v / max(np.linalg.norm(v), 1e-12)


def output_of(network, features: torch.Tensor, teacher: AdaptationOutput | None = None) -> AdaptationOutput:
    logits = classifier_of(network.segmentation_head)(features)
    return AdaptationOutput(network, torch.zeros(len(features), 3, *features.shape[2:]), features, logits, teacher)


def names(count: int = 2) -> dict[str, list[str]]:
    return {"name": [f"photograph {i}" for i in range(count)]}


@pytest.fixture
def reader(network):
    """A network whose logits are three times the first three channels of F."""
    classifier = classifier_of(network.segmentation_head)
    with torch.no_grad():
        classifier.weight.zero_()
        classifier.bias.zero_()
        for c in range(3):
            classifier.weight[c, c] = 3
    return network


def slow_transport(features, prototypes, proportions, temperature):
    """Both costs, pair by pair."""
    n, c = len(features), len(prototypes)
    s = np.array([[math.fsum(m * f) / temperature for m in prototypes] for f in features])
    d = np.array([[1 - unit(m) @ unit(f) for m in prototypes] for f in features])
    there = back = 0.0
    for i in range(n):
        weights = [proportions[j] * math.exp(s[i, j]) for j in range(c)]
        there += sum(w * d[i, j] for j, w in enumerate(weights)) / sum(weights) / n
    for j in range(c):
        weights = [math.exp(s[i, j]) for i in range(n)]
        back += proportions[j] * sum(w * d[i, j] for i, w in enumerate(weights)) / sum(weights)
    return there, back


def test_transport_costs_by_a_slow_loop():
    features, prototypes = random(12, K), random(3, K, seed=1)
    proportions = torch.tensor([0.7, 0.2, 0.1])
    found = transport_costs(features, prototypes, proportions, 0.5)
    expected = slow_transport(features.double().numpy(), prototypes.double().numpy(), proportions.tolist(), 0.5)
    assert [value.item() for value in found] == pytest.approx(expected, rel=1e-4)
    assert abs(expected[0] - expected[1]) > 0.01


def test_features_on_their_prototypes_cost_nothing_and_opposite_ones_most():
    prototypes = 3 * torch.eye(3)
    there, back = transport_costs(5 * prototypes, prototypes, torch.full((3,), 1 / 3), 0.1)
    assert (there.item(), back.item()) == pytest.approx((0, 0), abs=1e-6)
    there, back = transport_costs(-prototypes[:1], prototypes[:1], torch.ones(1), 0.1)
    assert (there.item(), back.item()) == pytest.approx((2, 2))


def test_transport_loss_estimates_the_proportions_and_leaves_the_prototypes_alone(network):
    loss = TransportLoss(temperature=2.0, rate=0.25, stride=1)
    prototypes = classifier_of(network.segmentation_head).weight.detach()[:, :, 0, 0].double().numpy()
    p = np.full(3, 1 / 3)
    for step in range(2):
        # Nearer to one prototype than to the others, so that there is something to estimate.
        features = (
            random(2, K, WIDTH, HEIGHT, seed=step) + torch.tensor(prototypes[2], dtype=torch.float32)[:, None, None] / 4
        )
        found = loss(output_of(network, features.requires_grad_()), names())
        rows = np.moveaxis(features.detach().double().numpy(), 1, 3).reshape(-1, K)
        share = np.zeros(3)
        for f in rows:
            weights = np.array([p[c] * math.exp(prototypes[c] @ f / 2) for c in range(3)])
            share += weights / weights.sum() / len(rows)
        p = 0.75 * p + 0.25 * share
        assert found.item() == pytest.approx(sum(slow_transport(rows, prototypes, p, 2.0)) / 2, rel=1e-4)
        assert loss.proportions.tolist() == pytest.approx(p.tolist(), rel=1e-4)
    assert abs(p - 1 / 3).max() > 0.02
    found.backward()
    assert classifier_of(network.segmentation_head).weight.grad is None
    assert features.grad.abs().max() > 0


def test_transport_uses_one_pixel_of_each_cell_of_the_grid_another_each_time(network):
    loss, places = TransportLoss(temperature=1.0, stride=2), set()
    torch.manual_seed(0)
    for _ in range(20):
        features = random(1, K, WIDTH, HEIGHT).requires_grad_()
        (gradient,) = torch.autograd.grad(loss(output_of(network, features), names(1)), features)
        used = (gradient != 0).any(dim=1)[0]
        assert used.unfold(0, 2, 2).unfold(1, 2, 2).sum(dim=(2, 3)).eq(1).all()
        places |= {tuple(used.nonzero()[0].tolist())}
    assert places == {(0, 0), (0, 1), (1, 0), (1, 1)}


@pytest.mark.parametrize(
    ("loss", "epochs"),
    [
        (TransportLoss(last_epoch=1), [True, False, False]),
        (ContrastLoss(first_epoch=2, stride=1), [False, True, True]),
        (TransportLoss(), [True, True, True]),
        (ContrastLoss(stride=1), [True, True, True]),
    ],
)
def test_a_photograph_that_returns_begins_the_next_epoch(network, loss, epochs):
    for number, on in enumerate(epochs):
        for batch in (["a", "b"], ["c"]) if number % 2 == 0 else (["c", "a"], ["b"]):
            features = random(len(batch), K, WIDTH, HEIGHT, seed=number).requires_grad_()
            value = loss(output_of(network, features), {"name": batch})
            value.backward()
            assert (value.item() != 0) == on
            assert features.grad.isfinite().all()


@pytest.mark.parametrize(
    ("positive", "negatives", "temperature", "loss"),
    [
        (1.0, [1.0, 1.0, 1.0], 0.1, math.log(4)),
        (1.0, [0.0, 0.0], 0.5, math.log(1 + 2 * math.exp(-2))),
        (0.0, [1.0], 0.5, math.log(1 + math.exp(2))),
        (0.3, [-math.inf, 0.3], 0.1, math.log(2)),
        (0.3, [-math.inf, -math.inf], 0.1, 0.0),
    ],
)
def test_info_nce_has_its_known_values(positive, negatives, temperature, loss):
    p, n = torch.tensor([positive], requires_grad=True), torch.tensor([negatives], requires_grad=True)
    found = info_nce(p, n, temperature)
    found.sum().backward()
    assert found.tolist() == pytest.approx([loss], abs=1e-6)
    assert p.grad.isfinite().all()
    assert n.grad.isfinite().all()


def columns(*pixels: list[float]) -> torch.Tensor:
    """1 x K x len(pixels) x 1 of the pixels' first channels."""
    features = torch.zeros(1, K, len(pixels), 1)
    for x, pixel in enumerate(pixels):
        features[0, : len(pixel), x, 0] = torch.tensor(pixel)
    return features


SURE, UNSURE, CUP = [3.0, 0.0, -1.0], [1.0, 0.9, -1.0], [-1.0, 0.0, 3.0]


def test_contrast_of_cup_pixels_with_an_unreliable_pixel_that_is_least_of_all_cup(reader):
    # The background has nothing to be told from: no unreliable pixel finds it the least probable.
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
    assert (pupil.grad[0, :, :10] == 0).all()
    assert (pupil.grad[0, :, 10:] != 0).any()


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


@pytest.mark.parametrize("teacher", [False, True])
@pytest.mark.parametrize(
    "loss",
    [TransportLoss(stride=1), ContrastLoss(stride=1), DivideAndContrastLoss(first_epoch=1)],
    ids=["transport", "contrast", "divide"],
)
@pytest.mark.parametrize("case", ["no cup", "background only", "no confident pixel", "all zero", "huge"])
def test_the_losses_are_finite_whatever_the_photograph_shows(reader, loss, case, teacher):
    features = random(2, K, WIDTH, HEIGHT).abs()
    if case == "no cup":
        features[0, 2] = -9
    elif case == "background only":
        features[:, 1:3] = -9
    elif case == "no confident pixel":
        features[:, :3] = 1
    elif case == "all zero":
        features.zero_()
    else:
        features *= 1e4
    features.requires_grad_()
    taught = output_of(reader, features.detach()) if teacher else None
    for _ in range(2):
        value = loss(output_of(reader, features, taught), {"name": [case, f"{case} {teacher}"]})
        (gradient,) = torch.autograd.grad(value, features)
        assert value.isfinite()
        assert value.shape == ()
        assert gradient.isfinite().all()


def test_the_discrepancy_of_equal_groups_is_log_2_and_pulls_nowhere():
    anchors, mean = random(5, K).requires_grad_(), random(1, K, seed=1).expand(5, K)
    found = exponential_discrepancy(anchors, mean, mean, 0.1)
    (gradient,) = torch.autograd.grad(found.sum(), anchors)
    assert found.tolist() == pytest.approx([math.log(2)] * 5)
    assert (gradient == 0).all()


def test_the_discrepancy_by_hand_and_what_lowers_it():
    own, other = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]])
    anchor = torch.tensor([[0.8, 0.6]], requires_grad=True)
    found = exponential_discrepancy(anchor, own, other, 0.5)
    expected = -math.log(math.exp(0.6 / 0.5) / (math.exp(0.6 / 0.5) + math.exp(0.8 / 0.5)))
    assert found.tolist() == pytest.approx([expected])
    (gradient,) = torch.autograd.grad(found.sum(), anchor)
    assert (gradient[0, 0] > 0, gradient[0, 1] < 0) == (True, True)


def test_memory_holds_mean_features_and_confidences_of_the_regions():
    loss, expected = DivideAndContrastLoss(momentum=0.2), {}
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


def slow_contrast(anchors, view, row, category, regions, source_like, target_specific, temperature, neighbours):
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


def slow_discrepancy(anchors, row, category, regions, source_like, target_specific, temperature):
    values = []
    for f, r, c in zip(anchors, row, category, strict=True):
        group = {True: [], False: []}
        for q in range(len(regions)):
            if source_like[q, c] or target_specific[q, c]:
                group[bool(source_like[q, c])].append(regions[q, c])
        if group[True] and group[False]:
            s, t = (math.exp(f @ (sum(group[k]) / len(group[k])) / temperature) for k in (True, False))
            values.append(-math.log((t if source_like[r, c] else s) / (s + t)))
    return sum(values) / len(values) if values else 0.0


def as_numpy(arguments):
    return [a.double().numpy() if a.is_floating_point() else a.numpy() for a in arguments]


@pytest.mark.parametrize("neighbours", [0, 3, 50])
@pytest.mark.parametrize("without_source_like", [False, True])
def test_adaptive_contrast_by_a_slow_loop(neighbours, without_source_like):
    arguments = groups()
    if without_source_like:
        arguments[5][:, 1], arguments[6][:, 1] = False, True
    loss = DivideAndContrastLoss(temperature=0.3, neighbours=neighbours)
    found = loss.contrast_of(*arguments)
    assert found.item() == pytest.approx(slow_contrast(*as_numpy(arguments), 0.3, neighbours), rel=1e-4)


@pytest.mark.parametrize("one_sided", [False, True])
def test_discrepancy_of_the_regions_by_a_slow_loop(one_sided):
    anchors, _, row, category, regions, source_like, target_specific = groups()
    if one_sided:
        source_like[:, 1], target_specific[:, 1] = True, False
    arguments = anchors, row, category, regions, source_like, target_specific
    found = DivideAndContrastLoss(temperature=0.3).discrepancy_of(*arguments)
    assert found.item() == pytest.approx(slow_discrepancy(*as_numpy(arguments), 0.3), rel=1e-4)


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
def test_divide_and_contrast_as_a_whole_by_a_slow_loop(reader, taught):
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

    loss.draw = draw_other_regions
    source_like = np.array(
        [[confidence[b, c] >= np.sort(confidence[:, c])[(3 - (c == 2) - 1) // 2] for c in range(3)] for b in range(3)]
    )
    target_specific = ~source_like & ~np.isnan(confidence)
    assert target_specific.any()
    contrast = slow_contrast(anchors, view, row, category, regions, source_like, target_specific, 0.3, 2)
    discrepancy = slow_discrepancy(anchors, row, category, regions, source_like, target_specific, 0.3)
    expected = 0.7 * cross_entropy + 0.9 * contrast + 0.4 * discrepancy
    assert step([2, 0, 1]) == pytest.approx(expected, rel=1e-4)


def test_divide_and_contrast_waits_for_the_memory(network):
    features = random(2, K, WIDTH, HEIGHT)
    loss = DivideAndContrastLoss()
    values = [loss(output_of(network, features), names()).item() for _ in range(2)]
    assert values[1] > values[0] + 0.01


@pytest.mark.parametrize(
    "make",
    [
        lambda: {"transport": TransportLoss(stride=1, last_epoch=2)},
        lambda: {"contrast": ContrastLoss(stride=1, first_epoch=2)},
        lambda: {"divide_and_contrast": DivideAndContrastLoss()},
    ],
)
def test_what_a_loss_remembers_survives_a_checkpoint(network, make, tmp_path):
    def step(loss, seed):
        torch.manual_seed(seed)
        return loss(output_of(network, random(2, K, WIDTH, HEIGHT, seed=seed)), names()).item()

    first, second = (AdaptationLoss(make(), dict.fromkeys(make(), 1.0)) for _ in range(2))
    for seed in range(2):
        step(first, seed)
    torch.save({"loss": first.state_dict()}, tmp_path / "resume.pt")
    later = [step(first, seed) for seed in (2, 3)]
    second.load_state_dict(torch.load(tmp_path / "resume.pt", weights_only=True)["loss"])
    assert [step(second, seed) for seed in (2, 3)] == later
    fresh = AdaptationLoss(make(), dict.fromkeys(make(), 1.0))
    assert [step(fresh, seed) for seed in (2, 3)] != later


# The recipes, through the real config.


@pytest.fixture(scope="module")
def target(tmp_path_factory):
    folder = tmp_path_factory.mktemp("target")
    write_dataset(folder, 5, kind="crop", cameras=("tight_red",), size=96, seed=200)
    return folder


@pytest.fixture
def checkpoint(network, tmp_path):
    torch.save(network.state_dict(), tmp_path / "model.pt")
    return tmp_path / "model.pt"


def adapt(recipe, dataset_dir, output_dir, checkpoint):
    """The adapted weights, from the real config."""
    stage = ConfigWorkflow(
        config_file=str(ROOT / "configs" / "adapt.json"),
        meta_file=str(ROOT / "configs" / "metadata.json"),
        logging_file=str(ROOT / "configs" / "logging.conf"),
        workflow_type="inference",
        run_id="adaptation",
        bundle_root=str(ROOT),
        dataset_dir=str(dataset_dir),
        output_dir=str(output_dir),
        checkpoint=str(checkpoint),
        recipe=recipe,
        view="crop",
        image_size=64,
        batch_size=2,
        **{"network_def#backbone": "efficientnet-lite0-small", "network_def#decoder_channels": [16, 16, 8, 8]},
    )
    stage.initialize()
    stage.run()
    return torch.load(Path(output_dir) / "model.pt", weights_only=True)


def same_weights(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


@pytest.mark.usefixtures("_determinism")
@pytest.mark.parametrize("recipe", ["pfa", "dac"])
def test_a_recipe_trains_all_but_the_head_and_sees_no_labels(recipe, target, checkpoint, tmp_path):
    adapted = adapt(recipe, target, tmp_path / "a", checkpoint)
    before = torch.load(checkpoint, weights_only=True)
    assert all(value.isfinite().all() for value in adapted.values())
    changed = {key for key in before if not torch.equal(before[key], adapted[key])}
    assert not any(key.startswith("segmentation_head") for key in changed)
    assert {"encoder._conv_stem.weight", "decoder.blocks.0.convs.conv_0.conv.weight"} <= changed
    assert same_weights(adapted, adapt(recipe, target, tmp_path / "again", checkpoint))
    shutil.copytree(target / "image", tmp_path / "unlabelled" / "image", copy_function=shutil.copy2)
    assert (target / "label").is_dir()
    assert same_weights(adapted, adapt(recipe, tmp_path / "unlabelled", tmp_path / "b", checkpoint))


@pytest.mark.usefixtures("_determinism")
@pytest.mark.parametrize("recipe", ["pfa", "dac"])
def test_a_recipe_resumes_exactly(recipe, target, checkpoint, tmp_path, monkeypatch):
    whole = adapt(recipe, target, tmp_path / "whole", checkpoint)
    save = ResumableCheckpoint.save

    def save_and_die(self, engine):
        save(self, engine)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(ResumableCheckpoint, "save", save_and_die)
        with pytest.raises(KeyboardInterrupt):
            adapt(recipe, target, tmp_path / "cut", checkpoint)
    assert not (tmp_path / "cut" / "model.pt").exists()
    assert same_weights(whole, adapt(recipe, target, tmp_path / "cut", checkpoint))
