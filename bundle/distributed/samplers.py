"""Samplers that share photographs between processes."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sized

import ignite.distributed as idist
from torch.utils.data import BatchSampler, RandomSampler, Sampler, SequentialSampler

from bundle.errors import CallError

__all__ = ["DealtBatches", "SplitBatches"]


class DealtBatches(Sampler):
    """The batches of this process: every W-th batch that a single process would form, for W processes.

    If the number of batches is not a multiple of W, some processes get an empty list as their last batch, because all
    processes must take the same number of steps. ``bundle.data.dataset.collate_readable`` turns it into an empty batch.

    Args:
        data: the photographs.
        batch_size: number of photographs per batch.

    Example:
        >>> list(DealtBatches(["a", "b", "c"], batch_size=2))
        [[0, 1], [2]]
    """

    def __init__(self, data: Sized, batch_size: int = 1) -> None:
        self.batches = BatchSampler(SequentialSampler(data), batch_size, drop_last=False)

    def __len__(self) -> int:
        return -(-len(self.batches) // idist.get_world_size())

    def __iter__(self) -> Iterator[list[int]]:
        own = itertools.islice(self.batches, idist.get_rank(), None, idist.get_world_size())
        return itertools.islice(itertools.chain(own, itertools.repeat([])), len(self))


class SplitBatches(Sampler):
    """The rows of this process in each batch of shuffled photographs.

    The order is drawn from PyTorch's random generator, like that of ``DataLoader(shuffle=True)``; processes with the
    same seed draw the same order. If a batch has fewer rows than there are processes, some processes get a row that
    another process has too, and ``GlobalBatchLoss`` ignores the duplicates.

    Args:
        data: the photographs.
        batch_size: number of photographs per batch, of all processes together.
        drop_last: leave out the last batch if it is not full.
        photographs: largest number of photographs per epoch, which are drawn again for each epoch; None for all.

    Raises:
        CallError: there are fewer photographs than processes, or fewer photographs per batch than processes.

    Example:
        >>> batches = list(SplitBatches(["a", "b", "c"], batch_size=2))
        >>> [len(batch) for batch in batches], sorted(sum(batches, []))
        ([2, 1], [0, 1, 2])
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
