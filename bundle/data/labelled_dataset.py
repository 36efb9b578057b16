"""A cached dataset of labelled photographs in which one that cannot be used costs nothing but itself."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

import ignite.distributed as idist
from monai.data import CacheDataset

from bundle.data.dataset import LeftOut
from bundle.errors import CallError, UnreadablePhotographError, find_error, one_line

__all__ = ["LabelledDataset"]

logger = logging.getLogger(__name__)


class LabelledDataset(CacheDataset):
    """``CacheDataset`` that leaves out what cannot be read, and tells of all of it before it gives its first item.

    A photograph is left out if it or its label cannot be decoded, or if their sizes differ. Only the first of several
    processes logs that.

    Args:
        data: items with ``name``, or at least ``image`` (a path).
        transform: from the item to what the network takes; all of it up to the first random part is done at once.
        num_workers: threads that do so.
        progress: whether a bar shows how far they are.
        kwargs: other arguments of ``CacheDataset``; what is not cached is tried once too.

    Attributes:
        data: the items that can be used.
        unreadable: reason by path, of those that are left out.

    Example:
        >>> from monai.transforms import Compose, Lambda
        >>> def read(item):
        ...     if item["name"] == "b":
        ...         raise UnreadablePhotographError("b.png", "the file is empty")
        ...     return item
        >>> dataset = LabelledDataset([{"name": name} for name in "abc"], Compose([Lambda(read)]))
        >>> [dataset[i]["name"] for i in range(len(dataset))], dataset.unreadable
        (['a', 'c'], {'b.png': 'the file is empty'})
    """

    def __init__(
        self,
        data: Sequence[dict[str, Any]],
        transform: Sequence[Callable] | Callable,
        num_workers: int | None = 2,
        progress: bool = False,
        **kwargs: Any,
    ) -> None:
        self.unreadable: dict[str, str] = {}
        super().__init__(data, transform, num_workers=num_workers, progress=progress, **kwargs)

    def set_data(self, data: Sequence[dict[str, Any]]) -> None:
        """Replace the items, and fill the cache with those that can be used."""
        self.unreadable.clear()
        super().set_data(data)
        found = [*self._cache, *map(self._tried, range(self.cache_num, len(data)))]
        # Raised here, when no thread is at work any more: a thread that outlives the interpreter aborts the process.
        fault = next((item for item in found if isinstance(item, Exception)), None)
        if fault is not None:
            raise fault
        for item in found:
            if isinstance(item, LeftOut):
                self.unreadable[item.name] = item.reason
                if idist.get_rank() == 0:
                    logger.warning("unreadable: %s", item.fault)
        self.data = [item for item, use in zip(data, found, strict=True) if not isinstance(use, LeftOut)]
        self._cache = [item for item in self._cache if not isinstance(item, LeftOut)]
        self.cache_num = len(self._cache)

    def require_one(self) -> None:
        """Refuse to go on with nothing.

        Raises:
            CallError: not one item is left.
        """
        if not self.data:
            raise CallError(
                f"not one of {len(self.unreadable)} photographs for training can be used with its label.",
                "See the lines above for each file's fault.",
            )

    def _tried(self, index: int) -> LeftOut | Exception | None:
        found = self._load_cache_item(index)
        return found if isinstance(found, LeftOut | Exception) else None

    def _load_cache_item(self, idx: int) -> Any:
        """The item; a ``LeftOut`` in the place of one that cannot be read, and any other error in its own place."""
        try:
            return super()._load_cache_item(idx)
        except Exception as error:
            cause = find_error(error, UnreadablePhotographError)
            if cause is None:
                return error
            return LeftOut(cause.path, one_line(str(cause)), cause.reason)
