"""Labels that a mean teacher gives to what is not labelled, while the network is trained."""

from __future__ import annotations

from typing import Any, cast

import torch
from monai.engines import default_prepare_batch
from monai.utils import convert_to_tensor
from torch import nn

from bundle.data.partial_labels import UNLABELLED

__all__ = ["TeacherLabels"]


class TeacherLabels:
    """Prepare a batch for ``SupervisedTrainer``: where a pixel is unlabelled, the class of which a teacher is sure.

    The teacher sees the picture before its colours and sharpness were changed, the network afterwards (FixMatch, Sohn
    et al., arXiv 2001.07685, with the mean teacher of Tarvainen and Valpola, arXiv 1703.01780).

    Args:
        teacher: gives logits B x 3 x W x H of images, in evaluation mode; such as the moving average of the weights
            that are trained.
        confidence: probability, in [0, 1], from which on the teacher's class is a label; other pixels stay unlabelled.
        plain_key: the batch's entry that holds the picture that the teacher sees.

    Example:
        >>> teacher = nn.Conv2d(3, 3, 1)
        >>> batch = {key: torch.zeros(1, 3, 4, 4) for key in ("image", "plain")}
        >>> image, label = TeacherLabels(teacher, 0.0)({**batch, "label": torch.full((1, 1, 4, 4), UNLABELLED)})
        >>> bool((label < 3).all())
        True
    """

    def __init__(self, teacher: nn.Module, confidence: float = 0.8, plain_key: str = "plain") -> None:
        self.teacher = teacher
        self.confidence = confidence
        self.plain_key = plain_key

    def __call__(
        self, batchdata: dict[str, Any], device: Any = None, non_blocking: bool = False, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The images and labels of a batch on the device."""
        image, label = cast(
            tuple[torch.Tensor, torch.Tensor], default_prepare_batch(batchdata, device, non_blocking, **kwargs)
        )
        unlabelled = convert_to_tensor(label, track_meta=False) == UNLABELLED
        rows = unlabelled.flatten(1).any(dim=1)
        if rows.any():
            plain = convert_to_tensor(batchdata[self.plain_key], track_meta=False)[rows.cpu()]
            with torch.no_grad():
                sure, best = self.teacher(plain.to(device)).float().softmax(dim=1).max(dim=1, keepdim=True)
            wanted = torch.where(sure >= self.confidence, best, UNLABELLED)
            filled = convert_to_tensor(label, track_meta=False).clone()
            filled[rows] = torch.where(unlabelled[rows], wanted.to(filled.dtype), filled[rows])
            label = filled
        return image, label
