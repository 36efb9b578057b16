"""More than one process: the same results as one process, from a share of the work each.

MONAI, Ignite and PyTorch bring the processes together; this module holds what they have not. Two things are shared out:
where a photograph stands for itself (measuring, refinement, inference) whole batches are dealt out, so that each batch
is the one that a single process would see; in training each batch is split by rows, and what depends on the batch as a
whole (loss, norm statistics, dropout) is computed over all of its rows.

Nothing here does anything in a single process.
"""

from __future__ import annotations

import hashlib
import itertools
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Sized
from dataclasses import replace
from typing import Any, cast

import ignite.distributed as idist
import torch
from monai.data import MetaTensor
from monai.transforms import Compose
from monai.utils import evenly_divisible_all_gather
from torch import nn
from torch.nn import functional
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import BatchSampler, RandomSampler, Sampler, SequentialSampler

from bundle.datasets import item_name
from bundle.errors import CallError
from bundle.losses import AdaptationOutput

__all__ = [
    "DealtBatches",
    "GlobalBatchLoss",
    "GlobalBatchNorm2d",
    "GlobalDropout2d",
    "SeededCompose",
    "SplitBatches",
    "collect_dealt",
    "finish",
    "from_first",
    "parallel",
]


def finish() -> None:
    """Leave the group of processes, when all have got so far."""
    idist.barrier()
    # PyTorch may wait for gloo's thread while it holds the interpreter's lock, and that thread needs the lock to let go
    # of its last operation: it gets the time to do so.
    time.sleep(0.2)
    idist.finalize()


def from_first(value: Any) -> Any:
    """What the first process has as ``value``, in every process."""
    return cast(list, idist.all_gather([value]))[0][0] if idist.get_world_size() > 1 else value


def collect_dealt(values: Sequence[Any]) -> list[Any]:
    """What all processes found, in the order in which a single process would have found it.

    Args:
        values: one entry for each batch of ``DealtBatches``, None for one that gave nothing.

    Returns:
        the entries that are not None, in every process.
    """
    shares = cast(list, idist.all_gather(list(values)))
    dealt = itertools.chain.from_iterable(itertools.zip_longest(*shares))
    return [value for value in dealt if value is not None]


class DealtBatches(Sampler):
    """This process's batches of photographs in their order: every W-th of those that a single process would see.

    Where they do not go round, the last is an empty list, so that every process counts as many steps. Collate with
    ``bundle.datasets.collate_readable``, which makes an empty batch of it.

    Args:
        data: the photographs.
        batch_size: photographs a batch.
    """

    def __init__(self, data: Sized, batch_size: int = 1) -> None:
        self.batches = BatchSampler(SequentialSampler(data), batch_size, drop_last=False)

    def __len__(self) -> int:
        return -(-len(self.batches) // idist.get_world_size())

    def __iter__(self) -> Iterator[list[int]]:
        own = itertools.islice(self.batches, idist.get_rank(), None, idist.get_world_size())
        return itertools.islice(itertools.chain(own, itertools.repeat([])), len(self))


class SplitBatches(Sampler):
    """This process's rows of each batch of shuffled photographs.

    The order is drawn from PyTorch's generator, as ``DataLoader(shuffle=True)`` draws it, and is the same in all
    processes where their seeds are. A batch of fewer rows than processes gives some of them a row that another has too,
    which ``GlobalBatchLoss`` leaves out.

    Args:
        data: the photographs.
        batch_size: photographs a batch, of all processes together.
        drop_last: leave out a last batch that is not full.
        photographs: at most so many of them, drawn anew each time; None for all.

    Raises:
        CallError: when there are fewer photographs than processes, or batches smaller than that.
    """

    def __init__(self, data: Sized, batch_size: int, drop_last: bool = False, photographs: int | None = None) -> None:
        count = min(len(data), photographs or len(data))
        order = RandomSampler(data, num_samples=count) if count else []  # type: ignore
        self.batches = BatchSampler(order, batch_size, drop_last)
        processes = idist.get_world_size()
        if 0 < len(data) < processes or batch_size < processes:
            raise CallError(
                f"{processes} processes cannot share {len(data)} photographs in batches of {batch_size}.",
                "Start fewer processes or pass a larger --batch_size.",
            )

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[list[int]]:
        rank, processes = idist.get_rank(), idist.get_world_size()
        for batch in self.batches:
            yield batch[len(batch) * rank // processes : len(batch) * (rank + 1) // processes] or batch[:1]


class SeededCompose(Compose):
    """``Compose`` whose random transforms are seeded anew for each photograph, by its name and the seed last set.

    What is drawn for a photograph then depends neither on the process that reads it nor on what was read before. Data
    loaders with workers need ``worker_init_fn=None``, as MONAI's gives each worker a seed of its own.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.seed: int | None = None

    def set_random_state(self, seed: int | None = None, state: Any = None) -> SeededCompose:
        """Take the seed that the photographs' own are derived from, such as that of the epoch."""
        self.seed = seed
        super().set_random_state(seed, state)
        return self

    def __call__(  # type: ignore[override]
        self, input_: Any, start: int = 0, end: int | None = None, *args: Any, **kwargs: Any
    ) -> Any:
        # With an end it is a cache that asks for what comes before the first random transform, from several threads.
        if end is None and self.seed is not None:
            digest = hashlib.sha256(f"{self.seed}:{item_name(input_)}".encode("utf-8", "surrogateescape")).digest()
            super().set_random_state(int.from_bytes(digest[:4], "big"))
        return super().__call__(input_, start, end, *args, **kwargs)


class GlobalBatchLoss(nn.Module):
    """A loss over the rows that all processes have together, to be minimised under ``DistributedDataParallel``.

    Every process computes the whole batch's loss, and the gradient of its own rows. A loss that divides by what it
    counts in a batch, or remembers the photographs it saw, is thereby the same as in one process.

    Args:
        loss: ``(output, target) -> scalar`` of tensors whose first axis is the batch; ``output`` may be an
            ``AdaptationOutput``, ``target`` a dict of tensors and of lists such as ``name``. Of rows with the same
            ``name`` the first alone counts.
    """

    def __init__(self, loss: nn.Module) -> None:
        super().__init__()
        self.loss = loss

    def forward(self, output: Any, target: Any) -> torch.Tensor:
        """Scalar, the same in all processes."""
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
        # DistributedDataParallel averages over the processes what is to be summed over the rows.
        own.register_hook(lambda gradient: gradient * idist.get_world_size())
        rows[idist.get_rank()] = own
    return torch.cat(rows)


class GlobalDropout2d(nn.Dropout2d):
    """``Dropout2d`` that drops the channels that a single process would drop in the batch of all processes together.

    It draws for all rows and uses its own, so that the processes' generators stay in step.
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
    """A tensor of every process, W x its shape; the gradient is that of what all of them made of it."""

    @staticmethod
    def forward(ctx: Any, value: torch.Tensor) -> torch.Tensor:
        return cast(torch.Tensor, idist.all_gather(value[None]))

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> Any:  # type: ignore[override]
        return cast(torch.Tensor, idist.all_reduce(gradient.clone()))[idist.get_rank()]


class GlobalBatchNorm2d(nn.BatchNorm2d):
    """``BatchNorm2d`` that normalises by the batch of all processes together, on any device.

    PyTorch's ``SyncBatchNorm`` does so on accelerators alone.
    """

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Normalise ``inputs`` (B x C x W x H); in evaluation mode by the running statistics."""
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
    """A network whose gradients, norm statistics and dropout are those of the batch of all processes together.

    ``network`` itself is changed in place and keeps its parameters and their names: what holds it, such as its average
    or a checkpoint, need not know. Train it on ``GlobalBatchLoss``.

    Args:
        network: in each process.
        optimizer: of its parameters; it must be there first, because making it decides what is trained.

    Raises:
        ValueError: when the optimiser has nothing to train.
    """
    if not any(parameter.requires_grad for group in optimizer.param_groups for parameter in group["params"]):
        raise ValueError("the optimiser has no parameter to train.")
    on_gpu = idist.device().type == "cuda"
    if on_gpu:
        network = nn.SyncBatchNorm.convert_sync_batchnorm(network)
    classes: dict[type, type] = {nn.Dropout2d: GlobalDropout2d, nn.BatchNorm2d: GlobalBatchNorm2d}
    for module in network.modules():
        # A new class and not a new module: the optimiser and others hold these very parameters and buffers.
        module.__class__ = classes.get(type(module), type(module))  # type: ignore[assignment]
    return DistributedDataParallel(network, device_ids=[idist.device()] if on_gpu else None)
