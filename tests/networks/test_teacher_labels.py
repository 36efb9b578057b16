"""A teacher's labels for what is not labelled."""

from __future__ import annotations

import torch
from torch import nn

from bundle.data.partial_labels import RIM_OR_CUP, UNLABELLED
from bundle.networks.teacher_labels import TeacherLabels


class Bright(nn.Module):
    """Sure of class 2 where the picture is above 0.5, sure of class 0 below -0.5, unsure elsewhere."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def forward(self, x):
        self.seen.append(x)
        return torch.stack((-9 * x[:, 0], 0 * x[:, 0], 9 * x[:, 0]), dim=1)


def test_only_unlabelled_pixels_get_the_class_of_which_the_teacher_is_sure():
    plain = torch.zeros(2, 3, 1, 4)
    plain[:, :, 0] = torch.tensor([1.0, -1.0, 0.0, 1.0])
    label = torch.full((2, 1, 1, 4), UNLABELLED)
    label[0, 0, 0] = torch.tensor([0, 1, RIM_OR_CUP, 2])
    label[1, 0, 0, 3] = 0
    teacher, image = Bright(), torch.rand(2, 3, 1, 4)
    seen, filled = TeacherLabels(teacher, 0.8)({"image": image, "plain": plain, "label": label})
    assert torch.equal(seen, image)
    assert filled[0, 0, 0].tolist() == [0, 1, RIM_OR_CUP, 2]
    assert filled[1, 0, 0].tolist() == [2, 0, UNLABELLED, 0]
    assert len(teacher.seen[0]) == 1, "the labelled photograph was shown to the teacher too"
    assert torch.equal(teacher.seen[0], plain[1:])
    assert label[1, 0, 0, 0] == UNLABELLED, "the data set's own label was changed"


def test_with_labels_alone_the_teacher_is_not_asked():
    teacher = Bright()
    TeacherLabels(teacher)(
        {key: torch.zeros(1, 3, 2, 2) for key in ("image", "plain")} | {"label": torch.ones(1, 1, 2, 2)}
    )
    assert not teacher.seen


def test_no_gradient_reaches_the_teacher():
    teacher = nn.Conv2d(3, 3, 1)
    batch = {key: torch.rand(1, 3, 2, 2) for key in ("image", "plain")}
    _, label = TeacherLabels(teacher, 0.0)({**batch, "label": torch.full((1, 1, 2, 2), UNLABELLED)})
    assert not label.requires_grad
