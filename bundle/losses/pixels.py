"""Functions that the losses of ``pfa`` and ``dac`` share: randomly drawn pixels, and the number of the epoch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from bundle.networks.outputs import AdaptationOutput

__all__ = ["HEAD_CLASSES", "ScheduledLoss", "as_pixels", "guiding_output", "random_grid", "random_indices"]

HEAD_CLASSES = 3
"""Number of classes of the head (background, rim and cup); each pixel belongs to exactly one of them."""


class ScheduledLoss(nn.Module):
    """Base class of losses that change with the epoch. It counts how often each photograph was seen to know the epoch.

    Example:
        >>> loss = ScheduledLoss()
        >>> loss.epoch_of(["a", "b"]), loss.epoch_of(["c"]), loss.epoch_of(["a"])
        (1, 1, 2)
    """

    def __init__(self) -> None:
        super().__init__()
        self.visits: dict[str, int] = {}

    def epoch_of(self, names: Sequence[str]) -> int:
        """Count one more visit of each photograph of a batch, and return the number of the epoch, from 1."""
        for name in names:
            self.visits[name] = self.visits.get(name, 0) + 1
        return max(self.visits[name] for name in names)

    def get_extra_state(self) -> dict[str, Any]:
        """The visits of each photograph, for the state dict."""
        return {"visits": dict(self.visits)}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Restore what ``get_extra_state`` returned."""
        self.visits = dict(state["visits"])


def random_grid(stride: int, width: int, height: int) -> tuple[slice, slice]:
    """Slices along x and y that select every ``stride``-th pixel in both directions, starting at a random pixel.

    Example:
        >>> x, y = random_grid(4, 32, 32)
        >>> torch.zeros(32, 32)[x, y].shape
        torch.Size([8, 8])
    """
    x, y = (int(torch.randint(min(stride, size), ())) for size in (width, height))
    return slice(x, None, stride), slice(y, None, stride)


def as_pixels(maps: torch.Tensor) -> torch.Tensor:
    """Reshape maps (B x K x W x H) to one row per pixel, (B W H) x K.

    Example:
        >>> as_pixels(torch.zeros(2, 8, 4, 4)).shape
        torch.Size([32, 8])
    """
    return maps.permute(0, 2, 3, 1).flatten(0, 2)


def guiding_output(output: AdaptationOutput) -> AdaptationOutput:
    """The output that labels the pixels: the mean teacher's if there is one, else ``output`` itself.

    Example:
        >>> images, features, logits = torch.zeros(1, 3, 4, 4), torch.zeros(1, 8, 4, 4), torch.zeros(1, 3, 4, 4)
        >>> teacher = AdaptationOutput(nn.Identity(), images, features, logits)
        >>> student = AdaptationOutput(nn.Identity(), images, features, logits, teacher)
        >>> guiding_output(student) is teacher, guiding_output(teacher) is teacher
        (True, True)
    """
    return output if output.teacher is None else output.teacher


def random_indices(count: int, shape: tuple[int, ...], device: torch.device) -> torch.Tensor:
    """Random indices in [0, ``count``), the same on every device for the same seed.

    Example:
        >>> random_indices(1, (2, 3), torch.device("cpu"))
        tensor([[0, 0, 0],
                [0, 0, 0]])
    """
    return torch.randint(count, shape).to(device)
