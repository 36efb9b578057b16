"""Label shift: how much larger or smaller the target's cups are than the source's, and how the head is corrected.

A network that was trained on one population predicts cups too close to the usual size in that population. Under label
shift the correction is to multiply the odds by the ratio of the two priors, and expectation-maximisation estimates the
target's prior from the network's own predictions (Saerens, Latinne and Decaestecker, Neural Computation 14, 2002).
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from monai.data import MetaTensor
from monai.networks import eval_mode

from bundle.distributed.collect import collect_dealt
from bundle.errors import CallError
from bundle.networks.notes import notes_of
from bundle.networks.others import cup_bias
from bundle.networks.unet import DiscCupUNet

__all__ = ["CUP_NOTE", "cup_prior_shift", "estimate_shift", "expect_cups", "sampling_error", "source_cup_share"]

logger = logging.getLogger(__name__)

CUP_NOTE = "source_cup_share"
"""The note (``bundle.networks.notes``) of a file of weights that holds the share of cup in the labels it learned."""
_REFUGE = 0.264
"""That share in the labels of REFUGE, on which weights without a note were trained."""
SMALLEST_SHARE, LARGEST_SHARE = 0.01, 0.9
"""The mean share of cup in the disc lies in this range in every clinic; an estimate outside it has diverged."""


def source_cup_share(checkpoint: str | Path) -> float:
    """Mean share of the disc that is cup in the labels that weights were trained on.

    Args:
        checkpoint: file of the weights; training writes the share into its notes.

    Returns:
        In (0, 1); of weights without such a note, the share in REFUGE's labels.

    Example:
        >>> source_cup_share("no/such/model.pt")
        0.264
    """
    share = notes_of(checkpoint).get(CUP_NOTE)
    return float(share) if isinstance(share, float) and 0 < share < 1 else _REFUGE


def estimate_shift(
    z: torch.Tensor, weight: torch.Tensor, source_share: float, temperature: float = 1.0, iterations: int = 100
) -> float:
    """Estimate log(odds of the cup in the target / odds in the source) by expectation-maximisation.

    Args:
        z: log-odds of cup against rim for any number of pixels, of any shape.
        weight: probability that each pixel belongs to a disc, in [0, 1], the same shape.
        source_share: share of the disc that is cup in the source's labels, in (0, 1).
        temperature: ``z`` is divided by it, above 0; above 1 for an overconfident network.
        iterations: largest number of iterations.

    Returns:
        The shift in nats, at the given temperature; 0 where no pixel has any weight, and where the estimate diverges
        towards a target with no cup or with discs that are all cup.

    Raises:
        ValueError: ``source_share`` or ``temperature`` is out of range.

    Example:
        >>> z = torch.tensor([3.0, 3.0, -3.0])  # two of three pixels look like cup, in the source one of three was
        >>> round(estimate_shift(z, torch.ones(3), source_share=1 / 3), 2)
        1.7
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
            # The estimate is converging to a prior of 0 or 1, with which the head would ignore the photograph.
            logger.warning("the target's share of cup cannot be estimated: the source's is used instead")
            return 0.0
        before, shift = shift, math.log(share / (1 - share)) - odds
        if abs(shift - before) < 1e-4:
            break
    return shift


def sampling_error(z: torch.Tensor, weight: torch.Tensor, shift: float, temperature: float = 1.0) -> float:
    """Standard error of ``estimate_shift``: how much it varies with the choice of photographs of the same clinic.

    The sample is one of photographs, not of pixels, because the pixels of one eye are not independent. The error is
    that of a ratio of sums over photographs (delta method), carried through the fixed point of
    expectation-maximisation.

    Args:
        z: as for ``estimate_shift``, N x pixels, a row per photograph.
        weight: as for ``estimate_shift``, the same shape.
        shift: the estimate in nats.
        temperature: as for the estimate.

    Returns:
        The error in nats, at the given temperature; infinity for a single photograph, if no pixel has any weight, and
        if the data do not determine the estimate, for example because all pixels are of one kind.

    Example:
        >>> z = torch.tensor([[3.0, 3.0, -3.0], [3.0, -3.0, -3.0]])
        >>> weight = torch.ones(2, 3)
        >>> round(sampling_error(z, weight, estimate_shift(z, weight, source_share=1 / 3)), 2)
        0.76
    """
    total, count = float(weight.sum()), len(z)
    if count < 2 or total <= 0:
        return math.inf
    cup = torch.sigmoid(z / temperature + shift)
    cups, discs = ((part * weight).sum(dim=1).double() for part in (cup, torch.ones_like(cup)))
    share = float(cups.sum()) / total
    variance = share * (1 - share)
    # Each iteration passes on this share of the change made by the previous one.
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
    """Estimate the shift over a whole target, reduced by what chance and the camera alone may cause.

    In a small sample of a clinic's photographs, the cups may be larger or smaller by chance. A camera that blurs or
    darkens makes the predictions less certain, which looks like a shift too. The root of the sum of the squares of both
    effects is a bar. A shift below the bar counts as 0. A larger shift is reduced by the fraction (bar / shift)^2, as
    in Breiman's non-negative garrote (Technometrics 37, 1995); a large shift hardly changes.

    Args:
        network: run in evaluation mode; afterwards it is in its previous mode again.
        loader: batches with ``image`` (B x 3 x W x H); empty batches are skipped. With several processes, each has the
            batches that ``DealtBatches`` gives it.
        device: where the network is.
        source_share: see ``estimate_shift``.
        temperature: see ``estimate_shift``; None for a recipe without this correction.
        least: shift that a camera alone causes, in nats times the temperature, at least 0.
        errors: number of standard errors that count as chance.

    Returns:
        What to add to the cup's logit: the reduced shift times the temperature; 0 without a temperature.

    Raises:
        ValueError: see ``estimate_shift``.

    Example:
        >>> network = DiscCupUNet(backbone="efficientnet-lite0-small", decoder_channels=(16, 16, 8, 8))
        >>> loader = [{"image": torch.zeros(1, 3, 32, 32)}]
        >>> cup_prior_shift(network, loader, "cpu", source_share=0.3)  # one photograph may differ by chance
        0.0
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
    """Add ``shift`` to the cup's logit by the last layer's bias; the disc's edge moves only where a cup is near it.

    Args:
        network: changed in place.
        shift: in nats, as ``cup_prior_shift`` returns it.

    Raises:
        CallError: the last layer has no bias, see ``cup_bias``.

    Example:
        >>> network = DiscCupUNet(backbone="efficientnet-lite0-small", decoder_channels=(16, 16, 8, 8))
        >>> before = cup_bias(network).clone()
        >>> expect_cups(network, 0.5)
        >>> (cup_bias(network) - before).detach()
        tensor([0.0000, 0.0000, 0.5000])
    """
    if not shift:
        return
    bias = cup_bias(network)
    if bias is None:
        raise CallError("cup_prior needs a last convolution with a bias.", "Pass a recipe without cup_prior.")
    bias[2] += shift
    logger.info("the head's cup log-odds are moved by %+.3f", shift)
