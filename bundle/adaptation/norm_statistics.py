"""Norm statistics of the target, estimated once; many methods get them implicitly, by running in training mode."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from typing import Any, cast

import ignite.distributed as idist
import torch
from monai.data import Dataset, MetaTensor
from torch import nn

from bundle.data.groups import content_groups
from bundle.data.loader import PhotographLoader
from bundle.errors import CallError

__all__ = ["reestimate_statistics"]

logger = logging.getLogger(__name__)


def reestimate_statistics(
    network: nn.Module, dataset: Dataset, device: torch.device | str, share: float = 1.0, at_once: int = 16
) -> None:
    """Replace the running statistics of all batch-norm layers by mean and variance over all pixels of the target.

    One pass over the photographs, in which each layer normalises by the photographs that it sees at once, as in
    training mode. Up to ``at_once`` of them are one batch, and the result is exactly that batch's; more are dealt into
    groups of equal size (see ``content_groups``), and the statistics are those of all groups' pixels together. Each
    photograph counts alike, whatever the order, the batches of other steps and the number of processes, which share the
    groups; PyTorch's ``update_bn`` would give a small last batch the weight of a full one.

    Weights do not change, nor does a layer that no photograph reaches. The network is in evaluation mode afterwards.

    Args:
        network: changed in place.
        dataset: gives dicts with ``image`` (3 x W x H), or a ``LeftOut``; its ``data`` are items with ``image``.
        device: where the network is.
        share: of the target's statistics in the new ones, in [0, 1]; the rest is the source's. At 0 nothing is read.
        at_once: largest number of photographs in memory; 16 of 256 pixels a side take about 0.7 gigabytes.

    Raises:
        ValueError: ``share`` is out of range.
        CallError: there is not a single image.

    Example:
        >>> network = nn.Sequential(nn.BatchNorm2d(1))
        >>> photographs = Dataset([{"image": torch.full((1, 2, 2), value)} for value in (3.0, 5.0)])
        >>> reestimate_statistics(network, photographs, "cpu", share=0.5)
        >>> network[0].running_mean  # halfway between the source's 0 and the target's 4
        tensor([2.])
    """
    if not 0 <= share <= 1:
        raise ValueError(f"share must be in [0, 1], not {share}.")
    if share == 0:
        return
    network.eval()
    layers = [m for m in network.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm) and m.track_running_stats]
    groups = content_groups(dataset.data, at_once)[idist.get_rank() :: idist.get_world_size()]
    loader = PhotographLoader(dataset, batch_sampler=groups)
    sums, count = _sums_of(network, layers, loader, torch.device(device))
    if idist.get_world_size() > 1:
        count = int(cast(int, idist.all_reduce(count)))
        sums = [cast(torch.Tensor, idist.all_reduce(of_layer)) for of_layer in sums]
    if count == 0:
        raise CallError(
            "not one photograph could be read and shows a disc.",
            "See the lines above for each file's fault; pass --view crop if all are crops of the disc.",
        )
    for layer, (pixels, total, squares) in zip(layers, sums, strict=True):
        if not pixels[0]:
            # No photograph passes through it: some of MONAI's backbones keep the layers of their classifier.
            continue
        mean = total / pixels
        variance = (squares / pixels - mean.square()).clamp(min=0) * pixels / (pixels - 1).clamp(min=1)
        for own, target in ((layer.running_mean, mean), (layer.running_var, variance)):
            cast(torch.Tensor, own).lerp_(target.to(own), share)
    logger.info("norm statistics re-estimated on %d photographs", count)


@torch.no_grad()
def _sums_of(
    network: nn.Module, layers: Sequence[Any], loader: Iterable[Any], device: torch.device
) -> tuple[list[torch.Tensor], int]:
    """What enters each layer where each normalises by the batch.

    Returns:
        Per layer, 3 x channels in double precision: number of pixels, sum and sum of squares; and the number of images.
    """
    sums = [torch.zeros(3, layer.num_features, dtype=torch.float64, device=device) for layer in layers]
    count = 0

    def add(layer: Any, inputs: tuple[torch.Tensor, ...], of_layer: torch.Tensor) -> None:
        # At a momentum of 1 the running statistics are the batch's own, the variance by one pixel less.
        pixels = inputs[0].numel() // inputs[0].shape[1]
        mean, variance = layer.running_mean.double(), layer.running_var.double() * (pixels - 1) / pixels
        of_layer += torch.stack((torch.ones_like(mean), mean, variance + mean.square())) * pixels

    handles = [
        layer.register_forward_hook(lambda layer, inputs, _, of_layer=of_layer: add(layer, inputs, of_layer))
        for layer, of_layer in zip(layers, sums, strict=True)
    ]
    source = [(layer.momentum, {name: value.clone() for name, value in layer.named_buffers()}) for layer in layers]
    try:
        for layer in layers:
            layer.train()
            layer.momentum = 1.0
        for batch in loader:
            if batch:
                image = batch["image"]
                count += len(image)
                network((image.as_tensor() if isinstance(image, MetaTensor) else image).to(device))
    finally:
        for handle in handles:
            handle.remove()
        for layer, (momentum, buffers) in zip(layers, source, strict=True):
            layer.eval()
            layer.momentum = momentum
            layer.load_state_dict(buffers, strict=False)
    return sums, count
