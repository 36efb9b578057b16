"""What several processes found, brought together."""

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
    """Join the group of processes, by NCCL where there are GPUs, else by gloo; only the first process logs progress.

    Args:
        seed: of all random numbers, as ``monai.utils.set_determinism`` takes it; None leaves them as they are.
    """
    if seed is not None:
        set_determinism(seed=seed)
    idist.initialize("nccl" if torch.cuda.is_available() else "gloo")
    logging.disable(logging.NOTSET if idist.get_rank() == 0 else logging.INFO)


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
