"""Norm statistics of the target, estimated once; many methods get them implicitly, by running in training mode."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from typing import Any, cast

import ignite.distributed as idist
import torch
from monai.data import MetaTensor
from torch import nn
from torch.optim.swa_utils import update_bn

from bundle.errors import CallError

__all__ = ["reestimate_statistics"]

logger = logging.getLogger(__name__)


def reestimate_statistics(
    network: nn.Module, loader: Iterable[Any], device: torch.device | str, share: float = 1.0
) -> None:
    """Replace the running statistics of all batch-norm layers by their cumulative average over the target.

    PyTorch's ``update_bn`` makes one pass over the images. Weights do not change, and the network is in evaluation mode
    afterwards. With several processes, each reads its own batches, and all get the average over all batches.

    Args:
        network: changed in place.
        loader: batches with ``image`` (B x 3 x W x H); empty batches are skipped.
        device: where the network is.
        share: of the target's statistics in the new ones, in [0, 1]; the rest is the source's. At 0 nothing is read.

    Raises:
        ValueError: ``share`` is out of range.
        CallError: there is not a single image.

    Example:
        >>> network = nn.Sequential(nn.BatchNorm2d(1))
        >>> reestimate_statistics(network, [{"image": torch.full((1, 1, 2, 2), 4.0)}], "cpu", share=0.5)
        >>> network[0].running_mean  # halfway between the source's 0 and the target's 4
        tensor([2.])
    """
    if not 0 <= share <= 1:
        raise ValueError(f"share must be in [0, 1], not {share}.")
    if share == 0:
        return
    count = batches = 0

    def images() -> Iterator[torch.Tensor]:
        nonlocal count, batches
        for batch in loader:
            if batch:
                image = batch["image"]
                count += len(image)
                batches += 1
                yield image.as_tensor() if isinstance(image, MetaTensor) else image

    # update_bn resets the old statistics first; they are needed if there is no image, and for a share below 1.
    source = {name: value.clone() for name, value in network.state_dict().items()}
    update_bn(images(), network, torch.device(device))
    network.eval()
    if idist.get_world_size() > 1:
        count, batches = _average_over_processes(network, count, batches)
    if count == 0:
        network.load_state_dict(source)
        raise CallError(
            "not one photograph could be read and shows a disc.",
            "See the lines above for each file's fault; pass --view crop if all are crops of the disc.",
        )
    for name, value in network.state_dict().items():
        if name.endswith((".running_mean", ".running_var")) and share < 1:
            value.lerp_(source[name], 1 - share)
    logger.info("norm statistics re-estimated on %d photographs", count)


def _average_over_processes(network: nn.Module, count: int, batches: int) -> tuple[int, int]:
    """Average the running statistics over all processes, weighted by their numbers of batches.

    Returns:
        Number of images and of batches of all processes.
    """
    share = float(batches)
    count, batches = (int(cast(int, idist.all_reduce(number))) for number in (count, batches))
    for name, value in network.state_dict().items():
        if name.endswith((".running_mean", ".running_var")):
            value.copy_(cast(torch.Tensor, idist.all_reduce(value.double() * share)) / max(batches, 1))
        elif name.endswith(".num_batches_tracked"):
            value.fill_(batches)
    return count, batches
