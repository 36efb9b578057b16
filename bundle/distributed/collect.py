"""Starting and ending a group of processes, and collecting their results."""

from __future__ import annotations

import itertools
import logging
import time
from collections.abc import Sequence
from typing import Any, cast

import ignite.distributed as idist
import torch
from monai.utils import set_determinism

__all__ = ["begin", "collect_dealt", "finish", "from_first"]


def begin(seed: int | None = None) -> None:
    """Join the group of processes, with NCCL if there are GPUs, else with gloo; only the first process logs progress.

    Args:
        seed: seed of all random numbers, see ``monai.utils.set_determinism``; None leaves their state as it is.
    """
    if seed is not None:
        set_determinism(seed=seed)
    idist.initialize("nccl" if torch.cuda.is_available() else "gloo")
    logging.disable(logging.NOTSET if idist.get_rank() == 0 else logging.INFO)


def finish() -> None:
    """Wait until all processes get here, then leave their group."""
    idist.barrier()
    # PyTorch may wait for gloo's thread while it holds the interpreter's lock, and that thread needs the lock to finish
    # its last operation; the pause gives the thread time to finish.
    time.sleep(0.2)
    idist.finalize()


def from_first(value: Any) -> Any:
    """Give every process the value that the first process has.

    Args:
        value: anything that can be pickled; only the first process's value matters, but all must call the function.

    Example:
        >>> from_first("as it is, in a single process")
        'as it is, in a single process'
    """
    return cast(list, idist.all_gather([value]))[0][0] if idist.get_world_size() > 1 else value


def collect_dealt(values: Sequence[Any]) -> list[Any]:
    """Collect the results of all processes, in the order in which a single process would have found them.

    Args:
        values: one result for each batch that ``DealtBatches`` gave this process; None for a batch without a result.

    Returns:
        The results that are not None, the same list in every process.

    Example:
        >>> collect_dealt(["first batch", None, "third batch"])
        ['first batch', 'third batch']
    """
    shares = cast(list, idist.all_gather(list(values)))
    dealt = itertools.chain.from_iterable(itertools.zip_longest(*shares))
    return [value for value in dealt if value is not None]
