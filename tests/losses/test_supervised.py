"""The supervised loss over labels that leave a structure out."""

from __future__ import annotations

import pytest
import torch
from monai.losses import DiceCELoss

from bundle.data.partial_labels import NOT_CUP, RIM_OR_CUP, UNLABELLED
from bundle.data.soft_labels import pooled
from bundle.losses.supervised import PartialDiceCELoss


@pytest.fixture
def logits():
    return torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0)).requires_grad_()


@pytest.fixture
def label():
    return torch.randint(0, 3, (2, 1, 8, 8), generator=torch.Generator().manual_seed(1))


def gradient(logits, label):
    (found,) = torch.autograd.grad(PartialDiceCELoss()(logits, label), logits)
    return found


def test_with_whole_labels_it_is_monais(logits, label):
    theirs = DiceCELoss(to_onehot_y=True, softmax=True)(logits, label)
    torch.testing.assert_close(PartialDiceCELoss()(logits, label), theirs)


@pytest.mark.parametrize(("value", "classes"), [(RIM_OR_CUP, (1, 2)), (NOT_CUP, (0, 1))])
def test_what_a_label_leaves_open_is_not_taught(logits, label, value, classes):
    """Only the sum of the two classes counts, so that moving probability between them changes nothing."""
    other = 0 if value == RIM_OR_CUP else 2
    partial = torch.where(label == other, other, value)
    weights = torch.rand(2, 8, 8, generator=torch.Generator().manual_seed(2))
    p = logits.detach().softmax(dim=1)
    moved = p.clone()
    both = p[:, list(classes)].sum(dim=1)
    moved[:, classes[0]], moved[:, classes[1]] = both * weights, both * (1 - weights)
    loss = PartialDiceCELoss()
    torch.testing.assert_close(loss(p.log(), partial), loss(moved.log(), partial))
    assert float(loss(p.log(), partial)) != pytest.approx(float(loss(p.log(), label)))


def test_a_disc_alone_is_taught_as_two_classes(logits, label):
    """The same as MONAI's loss of background and disc."""
    p = logits.softmax(dim=1)
    merged = torch.stack((p[:, 0], p[:, 1:].sum(dim=1)), dim=1).log()
    theirs = DiceCELoss(to_onehot_y=True, softmax=True)(merged, (label > 0).long())
    torch.testing.assert_close(PartialDiceCELoss()(logits, torch.where(label > 0, RIM_OR_CUP, 0)), theirs)


def test_unlabelled_pixels_have_no_gradient_and_others_do(logits, label):
    label[0, 0, :4] = UNLABELLED
    found = gradient(logits, label)
    assert found[0, :, :4].abs().sum() < 1e-7
    assert (found[0, :, 4:].abs().sum(dim=0) > 0).all()


def test_a_batch_without_any_label_costs_nothing(logits, label):
    label[:] = UNLABELLED
    loss = PartialDiceCELoss()(logits, label)
    assert float(loss.detach()) == 0
    assert not gradient(logits, label).any()


def test_photographs_of_a_batch_may_show_different_structures(logits, label):
    label[0] = torch.where(label[0] > 0, RIM_OR_CUP, 0)
    loss = PartialDiceCELoss()
    alone = [float(loss(logits[i : i + 1], label[i : i + 1]).detach()) for i in (0, 1)]
    assert float(loss(logits, label).detach()) == pytest.approx(sum(alone) / 2, rel=1e-5)


@pytest.fixture
def readers():
    """What three readers drew, one photograph each row; the first is the same for all."""
    generator = torch.Generator().manual_seed(3)
    labels = [torch.randint(0, 3, (2, 1, 8, 8), generator=generator) for _ in range(3)]
    for other in labels[1:]:
        other[0] = labels[0][0]
    pictures = [[each[n, 0].byte().numpy() for each in labels] for n in range(2)]
    return labels, torch.stack([torch.from_numpy(pooled(drawn))[None] for drawn in pictures])


def test_the_cross_entropy_of_several_readers_is_their_mean(logits, readers):
    labels, soft = readers
    loss = PartialDiceCELoss(lambda_dice=0.0)
    torch.testing.assert_close(loss(logits, soft), torch.stack([loss(logits, each) for each in labels]).mean())


def test_the_loss_of_several_readers_is_smallest_at_their_shares(readers):
    labels, soft = readers
    shares = torch.stack([torch.nn.functional.one_hot(each[:, 0], 3) for each in labels]).float().mean(dim=0)
    at = shares.movedim(-1, 1).clamp(min=1e-6).log().requires_grad_()
    loss = PartialDiceCELoss(lambda_ce=0.0)
    best = float(loss(at.detach(), soft))
    for n in range(20):
        noise = 0.5 * torch.randn(at.shape, generator=torch.Generator().manual_seed(n))
        assert float(loss(at.detach() + noise, soft)) > best
    (gradient_at,) = torch.autograd.grad(PartialDiceCELoss(lambda_dice=0.0)(at, soft), at)
    assert gradient_at.abs().max() < 1e-6


def test_where_readers_agree_the_loss_is_that_of_one(logits, readers):
    labels, soft = readers
    torch.testing.assert_close(
        PartialDiceCELoss()(logits[:1], soft[:1]), PartialDiceCELoss()(logits[:1], labels[0][:1])
    )
