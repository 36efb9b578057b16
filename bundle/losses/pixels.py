"""What the contrastive losses share: pixels drawn at random, and the epoch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from bundle.networks.outputs import AdaptationOutput

__all__ = ["HEAD_CLASSES", "ScheduledLoss", "as_pixels", "guiding_output", "random_grid", "random_indices"]

HEAD_CLASSES = 3  # background, rim, cup: the classes of the head, which share out the pixels between them


class ScheduledLoss(nn.Module):
    """A loss that knows in which epoch it is: by how often it has seen a photograph of the batch."""

    def __init__(self) -> None:
        super().__init__()
        self.visits: dict[str, int] = {}

    def epoch_of(self, names: Sequence[str]) -> int:
        """Count a visit of each photograph; the number of the epoch, from 1."""
        for name in names:
            self.visits[name] = self.visits.get(name, 0) + 1
        return max(self.visits[name] for name in names)

    def get_extra_state(self) -> dict[str, Any]:
        return {"visits": dict(self.visits)}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        self.visits = dict(state["visits"])


def random_grid(stride: int, width: int, height: int) -> tuple[slice, slice]:
    """Every ``stride``-th pixel of every ``stride``-th column, from a random one on."""
    x, y = (int(torch.randint(min(stride, size), ())) for size in (width, height))
    return slice(x, None, stride), slice(y, None, stride)


def as_pixels(maps: torch.Tensor) -> torch.Tensor:
    """B x K x W x H as (B W H) x K."""
    return maps.permute(0, 2, 3, 1).flatten(0, 2)


def guiding_output(output: AdaptationOutput) -> AdaptationOutput:
    """Who labels the pixels: the mean teacher, where there is one."""
    return output if output.teacher is None else output.teacher


def random_indices(count: int, shape: tuple[int, ...], device: torch.device) -> torch.Tensor:
    """Random indices below ``count``, the same ones on every device."""
    return torch.randint(count, shape).to(device)
