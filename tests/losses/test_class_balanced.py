"""The class-balanced loss is its formula, by NumPy and slow loops, and remembers each photograph once."""

from __future__ import annotations

import copy
import io
import math

import pytest
import torch

from bundle.losses.base import AdaptationLoss
from bundle.losses.class_balanced import ClassBalancedLoss
from tests.support.losses import HEIGHT, WIDTH, output_of_logits, random, softmax
from tests.support.tensors import gradient_of


def logits_of(disc: torch.Tensor, cup: torch.Tensor) -> torch.Tensor:
    """Three logits whose softmax gives these probabilities of disc and cup (cup below disc)."""
    return torch.stack((1 - disc, disc - cup, cup), dim=1).log()


def expected(logits, taught, known, calibrated=("cup",), threshold=0.75, ratio=0.2):
    """The loss of a batch by a loop over pixels, where ``known`` are the teacher's logits of all that has been seen."""
    lower, upper = threshold * ratio, 1 - (1 - threshold) * ratio
    student, teacher, everything = softmax(logits), softmax(taught), softmax(known)
    total, weight_sum = 0.0, 0.0
    for name, first in (("disc", 1), ("cup", 2)):
        p, q, bank = (values[:, first:].sum(axis=1).ravel() for values in (student, teacher, everything))
        foreground = [-math.log(v) for v in bank if threshold < v < upper]
        background = [-math.log(1 - v) for v in bank if lower < v <= threshold]
        eta = 1.0
        if name in calibrated and foreground and background:
            eta = sum(foreground) / len(foreground) / (sum(background) / len(background))
        for v, t in zip(p, q, strict=True):
            weight = 1.0 if t > threshold else eta
            total -= weight * math.log(v if t > threshold else 1 - v)
            weight_sum += weight
    return total / weight_sum


@pytest.mark.parametrize("calibrated", [("cup",), ("disc", "cup"), ("disc",), ()])
@pytest.mark.parametrize(("threshold", "ratio"), [(0.75, 0.2), (0.5, 0.4)])
def test_class_balanced_loss_by_a_slow_loop(calibrated, threshold, ratio):
    loss = ClassBalancedLoss(threshold, ratio, [f"optic_{name}" for name in calibrated])
    first, second = (2 * random(2, 3, WIDTH, HEIGHT, seed=s) for s in (1, 2))
    for names, taught, known in (("ab", first, first), ("cd", second, torch.cat((first, second)))):
        logits = 2 * random(2, 3, WIDTH, HEIGHT, seed=3)
        found = loss(output_of_logits(logits, taught), {"name": list(names)})
        assert found.shape == ()
        assert found.item() == pytest.approx(expected(logits, taught, known, calibrated, threshold, ratio), rel=1e-5)


def test_the_defaults_are_the_published_ones():
    logits, taught = 2 * random(2, 3, WIDTH, HEIGHT), 2 * random(2, 3, WIDTH, HEIGHT, seed=1)
    found = ClassBalancedLoss()(output_of_logits(logits, taught), {"name": ["a", "b"]})
    assert found.item() == pytest.approx(expected(logits, taught, taught), rel=1e-5)


def test_background_weight_by_hand():
    """Pixels beyond doubt, which are most, must not count in the means."""
    cup = torch.full((1, 2, 4), 0.001)
    cup[0, 0] = torch.tensor([0.8, 0.9, 0.96, 0.999])
    cup[0, 1] = torch.tensor([0.16, 0.5, 0.7, 0.14])
    loss = ClassBalancedLoss()
    loss(output_of_logits(random(1, 3, 2, 4), logits_of(torch.full((1, 2, 4), 0.9999), cup)), {"name": ["a"]})
    foreground = -(math.log(0.8) + math.log(0.9)) / 2
    background = -(math.log(0.84) + math.log(0.5) + math.log(0.3)) / 3
    assert loss.background_weights().tolist() == pytest.approx([1, foreground / background], rel=1e-5)


def test_a_photograph_seen_again_replaces_what_was_known_of_it():
    loss, fresh = ClassBalancedLoss(), ClassBalancedLoss()
    old, new, other = (2 * random(1, 3, WIDTH, HEIGHT, seed=s) for s in (1, 2, 3))
    for name, taught in (("a", old), ("b", other), ("a", new)):
        loss(output_of_logits(old, taught), {"name": [name]})
    for name, taught in (("b", other), ("a", new)):
        fresh(output_of_logits(old, taught), {"name": [name]})
    assert loss.background_weights()[1] != 1
    torch.testing.assert_close(loss.background_weights(), fresh.background_weights(), rtol=1e-12, atol=0)


def test_a_photograph_weighs_by_its_doubtful_pixels():
    """The means are over the pixels of all photographs, not means of the photographs' means."""
    few = logits_of(torch.full((1, 1, 4), 0.9999), torch.tensor([[[0.8, 0.5, 0.001, 0.001]]]))
    many = logits_of(torch.full((1, 1, 4), 0.9999), torch.tensor([[[0.9, 0.9, 0.9, 0.6]]]))
    loss = ClassBalancedLoss()
    for name, taught in (("few", few), ("many", many)):
        loss(output_of_logits(taught, taught), {"name": [name]})
    foreground = -(math.log(0.8) + 3 * math.log(0.9)) / 4
    background = -(math.log(0.5) + math.log(0.4)) / 2
    assert loss.background_weights()[1].item() == pytest.approx(foreground / background, rel=1e-5)


@pytest.mark.parametrize("calibrated", [("optic_cup",), ("optic_disc", "optic_cup")])
@pytest.mark.parametrize(
    ("disc", "cup"),
    [(0.9, 1e-6), (1e-6, 1e-7), (0.5, 0.3), (0.9999, 0.999)],
    ids=["no cup", "nothing", "no pixel above the threshold", "nothing but cup"],
)
def test_absent_structures_give_a_finite_loss_and_gradient(disc, cup, calibrated):
    shape = (2, WIDTH, HEIGHT)
    taught = logits_of(torch.full(shape, disc), torch.full(shape, cup))
    logits = (5 * random(2, 3, WIDTH, HEIGHT)).requires_grad_()
    loss = ClassBalancedLoss(calibrated=calibrated)
    found = loss(output_of_logits(logits, taught), {"name": ["a", "b"]})
    found.backward()
    assert loss.background_weights().tolist() == [1, 1]
    assert found.item() == pytest.approx(expected(logits, taught, taught, calibrated=()), rel=1e-4)
    assert gradient_of(logits).isfinite().all()
    assert (gradient_of(logits) != 0).any()


def test_an_empty_cup_is_learned_as_empty():
    logits = random(1, 3, WIDTH, HEIGHT).requires_grad_()
    shape = (1, WIDTH, HEIGHT)
    taught = logits_of(torch.full(shape, 0.99), torch.full(shape, 1e-6))
    loss, optimizer = ClassBalancedLoss(), torch.optim.Adam([logits], lr=0.2)
    for _ in range(50):
        optimizer.zero_grad()
        loss(output_of_logits(logits, taught), {"name": ["a"]}).backward()
        optimizer.step()
    p = softmax(logits)
    assert (p[:, 1] > 0.9).all()
    assert (p[:, 2] < 0.05).all()


def test_extreme_logits_are_finite():
    logits = (1e4 * random(1, 3, WIDTH, HEIGHT)).requires_grad_()
    found = ClassBalancedLoss()(output_of_logits(logits, 1e4 * random(1, 3, WIDTH, HEIGHT, seed=1)), {"name": ["a"]})
    found.backward()
    assert found.isfinite()
    assert gradient_of(logits).isfinite().all()


def test_no_gradient_reaches_the_teacher():
    taught = random(1, 3, WIDTH, HEIGHT).requires_grad_()
    logits = random(1, 3, WIDTH, HEIGHT, seed=1).requires_grad_()
    ClassBalancedLoss()(output_of_logits(logits, taught), {"name": ["a"]}).backward()
    assert taught.grad is None
    assert logits.grad is not None


def test_a_missing_teacher_is_refused():
    logits = random(1, 3, WIDTH, HEIGHT)
    with pytest.raises(ValueError, match="mean teacher"):
        ClassBalancedLoss()(output_of_logits(logits), {"name": ["a"]})


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"threshold": 0}, "threshold .* not 0"),
        ({"threshold": 1.0}, "threshold .* not 1.0"),
        ({"bound_ratio": 1}, "bound_ratio .* not 1"),
        ({"bound_ratio": -0.1}, "bound_ratio .* not -0.1"),
        ({"calibrated": ["cup"]}, r"\['cup'\]"),
    ],
)
def test_arguments_out_of_range_are_refused(arguments, words):
    with pytest.raises(ValueError, match=words):
        ClassBalancedLoss(**arguments)


def test_what_is_remembered_survives_a_checkpoint():
    """Through a file read with ``weights_only``, inside the recipe's ``AdaptationLoss``, bit by bit."""

    def whole() -> AdaptationLoss:
        return AdaptationLoss({"class_balanced": ClassBalancedLoss()}, {"class_balanced": 1.0})

    loss, resumed, forgetful = whole(), whole(), whole()
    taught = [2 * random(2, 3, WIDTH, HEIGHT, seed=s) for s in range(4)]
    for names, q in zip(("ba", "dc", "fe"), taught, strict=False):
        loss(output_of_logits(q, q), {"name": list(names)})
    file = io.BytesIO()
    torch.save(loss.state_dict(), file)
    file.seek(0)
    resumed.load_state_dict(torch.load(file, weights_only=True))
    values = [
        [
            one(output_of_logits(taught[3], taught[i]), {"name": list(names)}).item()
            for i, names in ((3, "xa"), (0, "bd"))
        ]
        for one in (copy.deepcopy(loss), resumed, forgetful)
    ]
    assert values[0] == values[1]
    assert values[0][0] != values[2][0]
    state = loss.losses["class_balanced"].get_extra_state()
    assert state["names"] == list("badcfe")
    assert tuple(state["sums"].shape) == (6, 2, 2, 2)


def test_an_empty_state_survives_too():
    loss, taught = ClassBalancedLoss(), random(1, 3, WIDTH, HEIGHT)
    loss(output_of_logits(taught, taught), {"name": ["a"]})
    loss.load_state_dict(ClassBalancedLoss().state_dict())
    assert loss.get_extra_state()["names"] == []
    assert loss.background_weights().tolist() == [1, 1]


def test_answers_of_the_last_visits_are_averaged_as_probabilities():
    loss = ClassBalancedLoss(visits=3)
    student = 2 * random(1, 3, WIDTH, HEIGHT, seed=9)
    taught = [2 * random(1, 3, WIDTH, HEIGHT, seed=s) for s in range(5)]
    mean = None
    for visit, logits in enumerate(taught):
        p = logits.softmax(dim=1)
        # The mean of the first three visits, then one that forgets the oldest slowly.
        mean = p if mean is None else mean + (p - mean) / min(visit + 1, 3)
        found = loss(output_of_logits(student, logits), {"name": ["a"]})
        averaged = ClassBalancedLoss()(output_of_logits(student, mean.log()), {"name": ["a"]})
        assert found.item() == pytest.approx(averaged.item(), rel=2e-3)
    unlike = ClassBalancedLoss()(output_of_logits(student, taught[-1]), {"name": ["a"]})
    assert abs(found.item() - unlike.item()) > 0.01


def test_each_photograph_has_its_own_answers_and_a_resumed_loss_goes_on_with_them():
    student, first, second = (2 * random(2, 3, WIDTH, HEIGHT, seed=s) for s in (1, 2, 3))
    loss, alone = ClassBalancedLoss(visits=4), ClassBalancedLoss(visits=4)
    loss(output_of_logits(student, first), {"name": ["a", "b"]})
    for row, name in enumerate("ab"):
        alone(output_of_logits(student[row : row + 1], first[row : row + 1]), {"name": [name]})
    file = io.BytesIO()
    torch.save(loss.state_dict(), file)
    file.seek(0)
    resumed = ClassBalancedLoss(visits=4)
    resumed.load_state_dict(torch.load(file, weights_only=True))
    swapped = output_of_logits(student.flip(0), second.flip(0))
    found = loss(output_of_logits(student, second), {"name": ["a", "b"]})
    assert resumed(swapped, {"name": ["b", "a"]}).item() == pytest.approx(found.item(), rel=1e-6)
    assert alone(swapped, {"name": ["b", "a"]}).item() == pytest.approx(found.item(), rel=1e-6)


def test_there_is_at_least_one_visit():
    with pytest.raises(ValueError, match="visits must be at least 1, not 0"):
        ClassBalancedLoss(visits=0)
