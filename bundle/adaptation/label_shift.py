"""How much larger or smaller the target's cups are than the source's, and a head that expects them so.

A network that learned one population shrinks what it sees towards that population's usual cup. Under label shift the
remedy is to move the odds by the ratio of the two priors, and expectation-maximisation finds the target's prior from
the network's own answers (Saerens, Latinne and Decaestecker, Neural Computation 14, 2002).
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable
from typing import Any

import torch
from monai.data import MetaTensor
from monai.networks import eval_mode

from bundle.distributed.collect import collect_dealt
from bundle.networks.head import classifier_of
from bundle.networks.unet import DiscCupUNet

__all__ = ["cup_prior_shift", "estimate_shift", "expect_cups", "sampling_error"]

logger = logging.getLogger(__name__)

SMALLEST_SHARE, LARGEST_SHARE = 0.01, 0.9
"""No clinic's discs are, on average, less or more cup than that: such an estimate has run away."""


def estimate_shift(
    z: torch.Tensor, weight: torch.Tensor, source_share: float, temperature: float = 1.0, iterations: int = 100
) -> float:
    """log(odds of the cup in the target / odds in the source) by expectation-maximisation.

    Args:
        z: log-odds of cup against rim, any number of pixels, one axis.
        weight: how much each pixel belongs to a disc, in [0, 1], the same shape.
        source_share: share of the disc that was cup in the source's labels, in (0, 1).
        temperature: divides ``z`` first; above 1 for a network that is surer than it is right.
        iterations: at most so many.

    Returns:
        The shift in nats, at the temperature given; 0 where no pixel has weight, and where the estimate runs away to
        a target of no cup or of nothing else.

    Raises:
        ValueError: when ``source_share`` or ``temperature`` is out of range.
    """
    if not 0 < source_share < 1 or temperature <= 0:
        raise ValueError(f"source_share must lie in (0, 1) and temperature above 0, not {source_share}, {temperature}.")
    total = weight.sum()
    if total <= 0:
        return 0.0
    odds = math.log(source_share / (1 - source_share))
    shift = 0.0
    for _ in range(iterations):
        share = float((torch.sigmoid(z / temperature + shift) * weight).sum() / total)
        if not SMALLEST_SHARE < share < LARGEST_SHARE:
            # On its way to a prior of 0 or 1, with which a head would answer alike whatever the photograph shows.
            logger.warning("the target's share of cup cannot be estimated: the source's is taken for it")
            return 0.0
        before, shift = shift, math.log(share / (1 - share)) - odds
        if abs(shift - before) < 1e-4:
            break
    return shift


def sampling_error(z: torch.Tensor, weight: torch.Tensor, shift: float, temperature: float = 1.0) -> float:
    """Standard error of what ``estimate_shift`` found, for other photographs of the same clinic give another estimate.

    Photographs, not pixels, are drawn: of one eye's pixels all tell the same. The error is that of a ratio of sums over
    photographs (delta method), carried through the fixed point at which expectation-maximisation stands still.

    Args:
        z: as for ``estimate_shift``, N x pixels, a row for each photograph.
        weight: the same shape.
        shift: the estimate.
        temperature: as for the estimate.

    Returns:
        The error in nats, at the temperature given; infinity for a single photograph, where no pixel has weight, and
        where nothing holds the estimate, as with pixels that are all of one kind.
    """
    total, count = float(weight.sum()), len(z)
    if count < 2 or total <= 0:
        return math.inf
    cup = torch.sigmoid(z / temperature + shift)
    cups, discs = ((part * weight).sum(dim=1).double() for part in (cup, torch.ones_like(cup)))
    share = float(cups.sum()) / total
    variance = share * (1 - share)
    # Of a change in the photographs, each iteration adds this part of the change before it.
    passed_on = float((cup * (1 - cup) * weight).sum()) / total / variance if variance > 0 else 1.0
    if passed_on >= 1:
        return math.inf
    influence = (cups - share * discs) / (total * variance * (1 - passed_on))
    return math.sqrt(count / (count - 1) * float((influence**2).sum()))


def cup_prior_shift(
    network: DiscCupUNet,
    loader: Iterable[Any],
    device: torch.device | str,
    source_share: float,
    temperature: float | None = 1.0,
    least: float = 0.0,
    errors: float = 2.0,
) -> float:
    """What ``estimate_shift`` finds over a whole target, as far as it is more than chance and a camera bring about.

    Of a few photographs the cups are larger or smaller than the clinic's by chance, and a camera that blurs or darkens
    makes the answers less certain, which the estimate takes for a shift. A shift within both is none; a larger one
    comes nearer to 0, the less the larger it is: by the share (bar / shift)^2 of it, as Breiman's non-negative garrote
    shrinks (Technometrics 37, 1995).

    Args:
        network: asked in evaluation mode, and left as it was.
        loader: batches with ``image`` (B x 3 x W x H); empty batches are passed over. Of several processes each has
            those that ``DealtBatches`` gives it.
        device: where the network is.
        source_share: see ``estimate_shift``.
        temperature: see ``estimate_shift``; None for a recipe that takes the source's share for the target's.
        least: what cameras alone bring about, in nats times the temperature, at least 0.
        errors: so many standard errors are chance; the bar is the root of the sum of the squares of both.

    Returns:
        What to add to the cup's logit: what is left of the shift, times the temperature; 0 without a temperature.
    """
    if temperature is None:
        return 0.0
    found: list[tuple[torch.Tensor, torch.Tensor] | None] = []
    with eval_mode(network):
        for batch in loader:
            if not batch:
                found.append(None)
                continue
            image = batch["image"]
            image = image.as_tensor() if isinstance(image, MetaTensor) else image
            logits = network(image.to(device))[..., ::2, ::2].float().cpu()
            found.append(((logits[:, 2] - logits[:, 1]).flatten(1), (1 - logits.softmax(dim=1)[:, 0]).flatten(1)))
    pairs = collect_dealt(found)
    if not pairs:
        return 0.0
    z, weight = map(torch.cat, zip(*pairs, strict=True))
    estimate = estimate_shift(z, weight, source_share, temperature)
    error = temperature * sampling_error(z, weight, estimate, temperature)
    shift, bar = temperature * estimate, math.hypot(least, errors * error)
    logger.info("the target's cups shift the log-odds by %+.3f, of which %.3f may be chance or the camera", shift, bar)
    return shift * (1 - (bar / shift) ** 2) if abs(shift) > bar else 0.0


@torch.no_grad()
def expect_cups(network: DiscCupUNet, shift: float) -> None:
    """Add ``shift`` (nats) to the cup's logit, in the head's bias; the disc's edge, where no cup is near, stays."""
    if not shift:
        return
    bias = classifier_of(network.segmentation_head).bias
    if bias is None:
        raise ValueError("the head has no bias to shift.")
    bias[2] += shift
    logger.info("the head's cup log-odds are moved by %+.3f", shift)
