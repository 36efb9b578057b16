"""A loss over the photographs of all processes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, cast

import ignite.distributed as idist
import torch
from monai.data import MetaTensor
from monai.utils import evenly_divisible_all_gather
from torch import nn

from bundle.networks.outputs import AdaptationOutput

__all__ = ["GlobalBatchLoss"]


class GlobalBatchLoss(nn.Module):
    """A loss over the rows of all processes together, for training with ``DistributedDataParallel``.

    Every process computes the loss of the whole batch, but the gradient of its own rows only. A loss that divides by a
    count over the batch, or that remembers photographs, therefore gives the same result as in a single process.

    Args:
        loss: a module ``(output, target) -> scalar`` of tensors whose first axis is the batch. ``output`` may be an
            ``AdaptationOutput``, and ``target`` a dict of tensors and of lists such as ``name``. Of several rows with
            the same ``name``, only the first counts.

    Example:
        >>> loss = GlobalBatchLoss(nn.MSELoss())
        >>> loss(torch.tensor([1.0, 3.0]), torch.tensor([1.0, 1.0]))
        tensor(2.)
    """

    def __init__(self, loss: nn.Module) -> None:
        super().__init__()
        self.loss = loss

    def forward(self, output: Any, target: Any) -> torch.Tensor:
        """The loss of the rows of all processes, a scalar that is the same in every process."""
        if idist.get_world_size() > 1:
            output, target = (_map_rows(value, _gather_tensor, _gather_list) for value in (output, target))
            names = target.get("name") if isinstance(target, Mapping) else None
            first = {name: i for i, name in reversed(list(enumerate(names)))} if names else {}
            if names and len(first) < len(names):
                keep = sorted(first.values())
                output, target = (
                    _map_rows(value, lambda x: x[keep], lambda x: [x[i] for i in keep]) for value in (output, target)
                )
        return self.loss(output, target)


def _map_rows(value: Any, on_tensor: Callable, on_list: Callable) -> Any:
    if isinstance(value, torch.Tensor):
        return on_tensor(value)
    if isinstance(value, list):
        return on_list(value)
    if isinstance(value, Mapping):
        return {key: _map_rows(entry, on_tensor, on_list) for key, entry in value.items()}
    if isinstance(value, AdaptationOutput):
        parts = {key: getattr(value, key) for key in ("images", "features", "logits", "teacher")}
        return replace(value, **_map_rows(parts, on_tensor, on_list))
    return value


def _gather_list(value: list) -> list:
    return [entry for share in cast(Iterable, idist.all_gather(value)) for entry in share]


def _gather_tensor(tensor: torch.Tensor) -> torch.Tensor:
    plain = tensor.as_tensor() if isinstance(tensor, MetaTensor) else tensor
    if plain[0].numel() == 0:
        return plain.new_empty(sum(cast(list, idist.all_gather(len(plain)))), *plain.shape[1:])
    rows = list(evenly_divisible_all_gather(plain.detach().contiguous(), concat=False))
    if plain.requires_grad:
        own = plain.view_as(plain)
        # DistributedDataParallel averages gradients over the processes, but here they must be summed over the rows.
        own.register_hook(lambda gradient: gradient * idist.get_world_size())
        rows[idist.get_rank()] = own
    return torch.cat(rows)
