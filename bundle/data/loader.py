"""A data loader for photographs, of which some may be unreadable."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from monai.data import Dataset, ThreadDataLoader

from bundle.data.dataset import collate_readable

__all__ = ["PhotographLoader"]


class PhotographLoader(ThreadDataLoader):
    """``ThreadDataLoader`` that prepares the next batch while the network works, and leaves out what is unreadable.

    Args:
        dataset: gives None in the place of what cannot be read.
        batch_size: photographs a batch.
        num_workers: processes that prepare batches; 0 leaves it to one thread.
        buffer_size: batches that wait for the network.
        collate_fn: makes a batch of a list of items.
        kwargs: arguments of ``ThreadDataLoader``.
    """

    def __init__(
        self,
        dataset: Dataset,
        batch_size: int = 1,
        num_workers: int = 0,
        buffer_size: int = 1,
        collate_fn: Callable[[list], Any] = collate_readable,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            dataset,
            batch_size=batch_size,
            num_workers=num_workers,
            buffer_size=buffer_size,
            collate_fn=collate_fn,
            **kwargs,
        )
