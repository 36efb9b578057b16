"""A data loader for photographs, of which some may be unreadable."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, cast

from monai.data import DataLoader, Dataset, ThreadDataLoader
from monai.data.thread_buffer import buffer_iterator
from torch.utils.data import Subset

from bundle.data.dataset import LeftOut, PhotographDataset, collate_readable

__all__ = ["PhotographLoader"]


class PhotographLoader(ThreadDataLoader):
    """``ThreadDataLoader`` that prepares the next batch while the network works, and leaves out what is of no use.

    What is left out travels with its batch, from a worker process too, and is noted in the ``PhotographDataset`` when
    the batch is taken. What ends the thread that prepares batches is raised where they are taken; MONAI's loader would
    end the epoch there without a word.

    Args:
        dataset: a ``PhotographDataset``, or a ``Subset`` of one; others leave nothing out.
        batch_size: photographs a batch.
        num_workers: processes that prepare batches; 0 leaves it to one thread.
        buffer_size: batches that wait for the network.
        only: of a ``PhotographDataset``, the items that are wanted; None for all. Indices of a sampler refer to these.
        collate_fn: makes a batch of a list of items, which is empty where all of them are left out.
        kwargs: arguments of ``ThreadDataLoader``.

    Example:
        >>> from bundle.errors import UnreadablePhotographError
        >>> def read(item):
        ...     raise UnreadablePhotographError("eye.png", "the file is empty")
        >>> dataset = PhotographDataset([{"name": "eye"}], read)
        >>> list(PhotographLoader(dataset)), dataset.unreadable
        ([{}], {'eye': 'the file is empty'})
    """

    def __init__(
        self,
        dataset: Dataset,
        batch_size: int = 1,
        num_workers: int = 0,
        buffer_size: int = 1,
        only: Sequence[dict[str, Any]] | None = None,
        collate_fn: Callable[[list], Any] = collate_readable,
        **kwargs: Any,
    ) -> None:
        if only is not None:
            wanted = {item["name"] for item in only}
            indices = [i for i, item in enumerate(dataset.data) if item["name"] in wanted]
        super().__init__(
            cast(Dataset, dataset if only is None else Subset(dataset, indices)),
            batch_size=batch_size,
            num_workers=num_workers,
            buffer_size=buffer_size,
            collate_fn=_CollateBoth(collate_fn),
            **kwargs,
        )

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]
        photographs = _photographs_of(self.dataset)
        prepared = _with_last_word(DataLoader.__iter__(self))
        for found in buffer_iterator(prepared, self.buffer_size, self.buffer_timeout, self.repeats):
            if isinstance(found, BaseException):
                raise found
            batch, left_out = found
            for item in left_out:
                if photographs is not None:
                    photographs.note(item)
            yield batch


class _CollateBoth:
    """Collates what is of use, and lists what is left out beside it; a class, so that worker processes can get it."""

    def __init__(self, collate: Callable[[list], Any]) -> None:
        self.collate = collate

    def __call__(self, items: Sequence[Any]) -> tuple[Any, list[LeftOut]]:
        left_out = [item for item in items if isinstance(item, LeftOut)]
        return self.collate([item for item in items if not isinstance(item, LeftOut)]), left_out


def _with_last_word(batches: Iterable[Any]) -> Iterator[Any]:
    """The batches and, where an error ends them, the error."""
    try:
        yield from batches
    except Exception as error:
        yield error


def _photographs_of(dataset: Any) -> PhotographDataset | None:
    """The data set of photographs that a data set is, or is a part of."""
    while dataset is not None and not isinstance(dataset, PhotographDataset):
        dataset = getattr(dataset, "dataset", None)
    return dataset
