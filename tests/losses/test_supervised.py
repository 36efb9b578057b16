"""The supervised loss over labels that leave a structure out."""

from __future__ import annotations

import pytest
import torch
from monai.losses import DiceCELoss

from bundle.data.partial_labels import NOT_CUP, RIM_OR_CUP, UNLABELLED
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
