"""How photographs are shared out between processes."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sized

import ignite.distributed as idist
from torch.utils.data import BatchSampler, RandomSampler, Sampler, SequentialSampler

from bundle.errors import CallError

__all__ = ["DealtBatches", "SplitBatches"]


class DealtBatches(Sampler):
    """This process's batches of photographs in their order: every W-th of those that a single process would see.

    Where they do not go round, the last is an empty list, so that every process counts as many steps. Collate with
    ``bundle.data.dataset.collate_readable``, which makes an empty batch of it.

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
