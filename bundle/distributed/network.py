"""A network whose gradients, norm statistics and dropout cover the batches of all processes together."""

from __future__ import annotations

from typing import Any, cast

import ignite.distributed as idist
import torch
from torch import nn
from torch.nn import functional
from torch.nn.parallel import DistributedDataParallel

__all__ = ["GlobalBatchNorm2d", "GlobalDropout2d", "parallel"]


class GlobalDropout2d(nn.Dropout2d):
    """``Dropout2d`` that drops the same channels as a single process with the batch of all processes.

    Each process draws random numbers for the rows of all processes and uses those of its own rows; the random
    generators of all processes thus stay in the same state.

    Example:
        >>> GlobalDropout2d(0.5)(torch.ones(1, 64, 2, 2)).unique().tolist()
        [0.0, 2.0]
    """

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Drop channels of ``inputs`` (B x K x W x H) in train mode."""
        if not self.training or idist.get_world_size() == 1:
            return super().forward(inputs)
        counts = cast(list[int], idist.all_gather(len(inputs)))
        kept = functional.dropout2d(inputs.new_ones(sum(counts), inputs.shape[1], 1, 1), self.p)
        start = sum(counts[: idist.get_rank()])
        return inputs * kept[start : start + len(inputs)]


class _FromAll(torch.autograd.Function):
    """Gather a tensor from W processes, as W x its shape; its gradient is the sum over all processes."""

    @staticmethod
    def forward(ctx: Any, value: torch.Tensor) -> torch.Tensor:
        return cast(torch.Tensor, idist.all_gather(value[None]))

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> Any:  # type: ignore[override]
        return cast(torch.Tensor, idist.all_reduce(gradient.clone()))[idist.get_rank()]


class GlobalBatchNorm2d(nn.BatchNorm2d):
    """``BatchNorm2d`` that normalises with the statistics of the batch of all processes, on any device.

    PyTorch's ``SyncBatchNorm`` works on accelerators only.

    Example:
        >>> GlobalBatchNorm2d(1)(torch.tensor([[[[1.0]]], [[[3.0]]]])).flatten().detach()
        tensor([-1.0000,  1.0000])
    """

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Normalise ``inputs`` (B x C x W x H); in evaluation mode with the running statistics."""
        if not self.training or idist.get_world_size() == 1:
            return super().forward(inputs)
        variance, mean = torch.var_mean(inputs, dim=(0, 2, 3), correction=0)
        pixels = torch.full_like(mean, inputs[:, 0].numel())
        means, variances, counts = _FromAll.apply(torch.stack((mean, variance, pixels))).unbind(dim=1)
        total = counts.sum(dim=0)
        mean = (means * counts).sum(dim=0) / total
        variance = ((variances + (means - mean).square()) * counts).sum(dim=0) / total
        with torch.no_grad():
            self.num_batches_tracked.add_(1)  # type: ignore[union-attr]
            share = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum  # type: ignore
            self.running_mean.lerp_(mean, share)  # type: ignore[union-attr]
            self.running_var.lerp_(variance * total / (total - 1), share)  # type: ignore[union-attr]
        scale = self.weight * (variance + self.eps).rsqrt()
        return (inputs - mean[:, None, None]) * scale[:, None, None] + self.bias[:, None, None]


def parallel(network: nn.Module, optimizer: torch.optim.Optimizer) -> DistributedDataParallel:
    """Prepare a network whose gradients, norm statistics and dropout cover the batches of all processes together.

    ``network`` is changed in place and keeps its parameters and their names, so objects that refer to it, such as its
    moving average or a checkpoint, keep working. Train the result with ``GlobalBatchLoss``, after ``begin``.

    Args:
        network: this process's copy of the network.
        optimizer: its optimiser. It must exist before this call, because its creation decides which parameters are
            trained.

    Returns:
        The network in PyTorch's wrapper for several processes.

    Raises:
        ValueError: the optimiser has no parameter to train.
    """
    if not any(parameter.requires_grad for group in optimizer.param_groups for parameter in group["params"]):
        raise ValueError("the optimiser has no parameter to train.")
    on_gpu = idist.device().type == "cuda"
    if on_gpu:
        network = nn.SyncBatchNorm.convert_sync_batchnorm(network)
    classes: dict[type, type] = {nn.Dropout2d: GlobalDropout2d, nn.BatchNorm2d: GlobalBatchNorm2d}
    for module in network.modules():
        # The class of the module is replaced instead of the module, because the optimiser and other objects refer to
        # its parameters and buffers.
        module.__class__ = classes.get(type(module), type(module))  # type: ignore[assignment]
    return DistributedDataParallel(network, device_ids=[idist.device()] if on_gpu else None)
