"""A dataset of photographs in which an unreadable file costs nothing but itself."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import ignite.distributed as idist
from monai.data import Dataset, MetaTensor, list_data_collate

from bundle.data.names import with_names
from bundle.errors import CallError, UnreadablePhotographError, find_error, one_line

__all__ = ["LeftOut", "PhotographDataset", "collate_readable"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class LeftOut:
    """What a data set gives in the place of an item that is of no use.

    It travels with the batch, from a worker process too, until ``PhotographDataset.note`` takes it down.

    Attributes:
        name: the item's.
        fault: of a file that cannot be read, ``<path>: <reason>`` in one line; empty for want of a disc.
        reason: why the file cannot be read, in words for the report; empty for want of a disc.
    """

    name: str
    fault: str = ""
    reason: str = ""


class PhotographDataset(Dataset):
    """MONAI's ``Dataset`` of ``transform(item)``, with a ``LeftOut`` in the place of what is of no use.

    ``PhotographLoader`` takes these out of its batches and has them noted in the process that it works for. Whoever
    asks for items otherwise calls ``note`` with them.

    Args:
        data: items with at least ``image`` (a path); those without a ``name`` are given one (``with_names``).
        transform: from the item to the view; it must not be random if ``cache_num`` is above 0.
        cache_num: how many transformed items to keep in memory, which bounds it; a worker process keeps its own, and
            no longer than one pass.
        discs_only: pass over photographs in which the search found no disc, as adaptation must.

    Attributes:
        data: the items, each with its name.
        unreadable: reason by name, of the items that were noted because they could not be read.
        without_disc: names of the items that were noted for want of a disc.
    """

    def __init__(
        self, data: Sequence[dict[str, Any]], transform: Callable, cache_num: int = 0, discs_only: bool = False
    ) -> None:
        super().__init__(data=with_names(data), transform=transform)
        self.cache_num = cache_num
        self.discs_only = discs_only
        self.unreadable: dict[str, str] = {}
        self.without_disc: set[str] = set()
        self._cache: dict[int, Any] = {}

    def __getitem__(self, index: Any) -> Any:
        if index in self._cache:
            return _copy(self._cache[index])
        item = super().__getitem__(index)
        if not isinstance(item, LeftOut) and len(self._cache) < self.cache_num:
            self._cache[index] = _copy(item)
        return item

    def note(self, left_out: LeftOut) -> None:
        """Remember an item of no use, and log the first time that it could not be read."""
        if not left_out.fault:
            self.without_disc.add(left_out.name)
            return
        if left_out.name not in self.unreadable:
            logger.warning("unreadable: %s", left_out.fault)
        self.unreadable[left_out.name] = left_out.reason

    def require_one(self) -> None:
        """Refuse to go on when every photograph was asked for and none is of use; of several processes, in all of them.

        Raises:
            CallError: when that is so.
        """
        self.share_findings()
        if len(self.unreadable) + len(self.without_disc) >= len(self.data):
            raise CallError(
                f"not one photograph of {len(self.data)} could be read and shows a disc.",
                "See the lines above for each file's fault; pass --view crop if all are crops of the disc.",
            )

    def share_findings(self) -> None:
        """Let every process know which photographs any of them could not use."""
        if idist.get_world_size() == 1:
            return
        unreadable: dict[str, str] = {}
        for theirs, missing in cast(list, idist.all_gather((self.unreadable, self.without_disc))):
            unreadable |= theirs
            self.without_disc |= missing
        self.unreadable |= {item["name"]: unreadable[item["name"]] for item in self.data if item["name"] in unreadable}

    def usable(self) -> list[dict[str, Any]]:
        """The items that were neither unreadable nor passed over, once all have been asked for."""
        return [item for item in self.data if item["name"] not in self.without_disc | set(self.unreadable)]

    def _transform(self, index: int) -> Any:
        try:
            item = super()._transform(index)
        except Exception as error:
            cause = find_error(error, UnreadablePhotographError)
            if cause is None:
                raise
            return LeftOut(self.data[index]["name"], one_line(str(cause)), cause.reason)
        if self.discs_only and item["image"].meta.get("disc_confidence", 1.0) == 0:
            return LeftOut(item["name"])
        return item


def _copy(item: dict[str, Any]) -> dict[str, Any]:
    # Later transforms change meta data in place; pixels are only ever replaced.
    return {key: _detached(value) for key, value in item.items()}


def _detached(value: Any) -> Any:
    if not isinstance(value, MetaTensor):
        return value
    return MetaTensor(value.as_tensor(), meta=dict(value.meta), applied_operations=list(value.applied_operations))


def collate_readable(batch: Sequence[Any]) -> Any:
    """MONAI's collation of what could be read; an empty dict if nothing could.

    A single item is not copied, because a photograph of many megapixels is large.
    """
    readable = [item for item in batch if not isinstance(item, LeftOut)]
    if len(readable) != 1:
        return list_data_collate(readable) if readable else {}
    (item,) = readable
    images = {key: value for key, value in item.items() if isinstance(value, MetaTensor)}
    collated = list_data_collate([item | {key: value[..., :1, :1] for key, value in images.items()}])
    for key, value in images.items():
        collated[key] = MetaTensor(value.as_tensor()[None]).copy_meta_from(collated[key])
    return collated
