"""The separation loss is the cosine of cup and rim, finite where one is absent, and lets the gradient through to F."""

from __future__ import annotations

import pytest
import torch

from bundle.losses.separation import SeparationLoss
from bundle.refinement.class_features import ClassFeatures, GradientFeatures
from tests.support.losses import HEIGHT, WIDTH, K, output_of, random
from tests.support.tensors import gradient_of


class FixedWeights(GradientFeatures):
    """alpha = 1 for both classes, so that v is the mean of ReLU(F)."""

    def __call__(self, network, images, features, logits, dropout, masks):
        return ClassFeatures(features.new_ones(len(features), 1, 2, features.shape[1]), features)


def target_of(count: int = 1, cup_columns: int = 3, rim_columns: int = 3) -> dict[str, torch.Tensor]:
    """Cup in the first columns, rim behind it, all trusted."""
    label = torch.zeros(count, 2, WIDTH, HEIGHT)
    label[:, 0, : cup_columns + rim_columns] = 1
    label[:, 1, :cup_columns] = 1
    return {"label": label, "mask": torch.ones_like(label)}


def features_of(cup: list[float], rim: list[float], elsewhere: list[float], count: int = 1) -> torch.Tensor:
    f = torch.tensor(elsewhere)[:, None, None].repeat(count, 1, WIDTH, HEIGHT)
    f[:, :, 3:6] = torch.tensor(rim)[:, None, None]
    f[:, :, :3] = torch.tensor(cup)[:, None, None]
    return f


E1, E2, E3 = ([float(i == k) for k in range(K)] for i in range(3))
BOTH = [1.0, 1.0, *[0.0] * (K - 2)]


@pytest.mark.parametrize(
    ("cup", "rim", "margin", "loss"),
    [
        (BOTH, BOTH, 0.0, 1.0),
        (BOTH, [3 * v for v in BOTH], 0.0, 1.0),
        (E1, E2, 0.0, 0.0),
        (E1, BOTH, 0.0, 0.5**0.5),
        (E1, BOTH, 0.25, 0.5**0.5 - 0.25),
        (E1, BOTH, 0.8, 0.0),
        ([-v for v in E2], E2, 0.0, 0.0),
    ],
)
def test_separation_loss_is_the_cosine_above_the_margin(network, cup, rim, margin, loss):
    # What lies outside the disc, and the rim's own part of the disc's mean, must not count.
    output = output_of(network, features_of(cup, rim, E3))
    found = SeparationLoss(FixedWeights(), margin=margin)(output, target_of())
    assert found.item() == pytest.approx(loss, abs=1e-6)


def test_untrusted_pixels_do_not_count(network):
    features = features_of(E1, E2, E3)
    features[0, :, :, 0] = torch.tensor(E3)[:, None]
    target = target_of()
    target["mask"][..., 0] = 0
    loss = SeparationLoss(FixedWeights(), min_pixels=15)
    assert loss(output_of(network, features), target).item() == 0
    assert loss(output_of(network, features), target_of()).item() > 0.01


@pytest.mark.parametrize("channel", [0, 1])
def test_rim_pixels_are_trusted_by_both_masks(network, channel):
    features = features_of(E1, E2, E3)
    features[0, :, 3:6, 0] = torch.tensor(E1)[:, None]
    target = target_of()
    target["mask"][0, channel, 3:6, 0] = 0
    loss = SeparationLoss(FixedWeights(), min_pixels=15)
    assert loss(output_of(network, features), target).item() == 0
    assert loss(output_of(network, features), target_of()).item() > 0.01


def test_photographs_with_too_few_pixels_are_passed_over(network):
    features = torch.cat([features_of(BOTH, BOTH, E3), features_of(E1, BOTH, E3)])
    target = target_of(count=2)
    loss = SeparationLoss(FixedWeights(), min_pixels=18)
    assert loss(output_of(network, features), target).item() == pytest.approx((1 + 0.5**0.5) / 2, abs=1e-6)
    for structure in (np_slice(0, 0), np_slice(3, 3)):
        fewer = {key: value.clone() for key, value in target.items()}
        fewer["mask"][(0, slice(None), *structure)] = 0
        assert loss(output_of(network, features), fewer).item() == pytest.approx(0.5**0.5, abs=1e-6)


def np_slice(x: int, y: int) -> tuple[slice, slice]:
    return slice(x, x + 1), slice(y, y + 1)


@pytest.mark.parametrize(("cup", "rim"), [(0, 6), (6, 0), (2, 6), (0, 0)])
def test_separation_loss_of_an_absent_structure_is_0_with_a_finite_gradient(network, cup, rim):
    features = random(2, K, WIDTH, HEIGHT).requires_grad_()
    loss = SeparationLoss(GradientFeatures())(output_of(network, features), target_of(2, cup, rim))
    loss.backward()
    assert loss.item() == 0
    assert (gradient_of(features) == 0).all()


def test_one_absent_cup_beside_a_good_photograph_does_no_harm(network):
    features = random(2, K, WIDTH, HEIGHT).relu().requires_grad_()
    target = target_of(2)
    target["label"][0, 1] = 0
    both = SeparationLoss(GradientFeatures())(output_of(network, features), target)
    both.backward()
    alone = SeparationLoss(GradientFeatures())(
        output_of(network, features[1:]), {key: value[1:] for key, value in target.items()}
    )
    assert both.item() == pytest.approx(alone.item(), rel=1e-5)
    assert gradient_of(features).isfinite().all()
    assert (gradient_of(features)[0] == 0).all()


def test_separation_loss_by_a_slow_loop_on_real_gradient_features(network):
    features = random(2, K, WIDTH, HEIGHT, seed=4).relu()
    target = target_of(2)
    target["mask"] = (random(2, 2, WIDTH, HEIGHT, seed=5) > -1).float()
    output = output_of(network, features)
    weights = GradientFeatures()(
        network, output.images, features, output.logits[:, None], torch.ones(2, 1, K), target["label"]
    ).weights[:, 0]
    cosines = []
    for b in range(2):
        cup, rim = torch.zeros(K), torch.zeros(K)
        for x in range(6):
            for y in range(HEIGHT):
                trusted_disc, trusted_cup = target["mask"][b, :, x, y].bool().tolist()
                if x < 3 and trusted_cup:
                    cup += (weights[b, 1] * features[b, :, x, y]).clamp(min=0)
                if x >= 3 and trusted_cup and trusted_disc:
                    rim += (weights[b, 0] * features[b, :, x, y]).clamp(min=0)
        cosines.append((cup @ rim / cup.norm() / rim.norm()).item())
    found = SeparationLoss(GradientFeatures(), min_pixels=4)(output, target)
    assert found.item() == pytest.approx(sum(cosines) / 2, rel=1e-4)
    assert found.item() > 0.05


def test_a_step_down_the_gradient_of_f_separates_the_classes(network):
    network.requires_grad_(False)
    features = (random(1, K, WIDTH, HEIGHT, seed=6).relu() + 0.1).requires_grad_()
    loss = SeparationLoss(GradientFeatures())
    before = loss(output_of(network, features), target_of())
    (gradient,) = torch.autograd.grad(before, features)
    assert (gradient[..., :6, :] != 0).any()
    assert (gradient[..., 6:, :] == 0).all()
    after = loss(output_of(network, features - 0.1 * gradient / gradient.norm()), target_of())
    assert after < before


@pytest.mark.parametrize("features", [GradientFeatures(mode="hires"), GradientFeatures(layer="decoder.blocks.2")])
def test_separation_loss_takes_no_features_without_a_gradient(features):
    with pytest.raises(ValueError, match="layer 'head' and mode 'cam'"):
        SeparationLoss(features)
