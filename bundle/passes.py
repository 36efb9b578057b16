"""Stochastic passes: what channel dropout in front of the head says about a prediction, for one encoder pass."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import cast

import torch
from torch import nn

from bundle.network import DiscCupUNet
from bundle.regions import log_odds, nested_probabilities

__all__ = [
    "HeadInput",
    "agreement",
    "channel_masks",
    "classifier_of",
    "dropout_of",
    "expected_dice",
    "stochastic_log_odds",
    "stochastic_logits",
]


class HeadInput:
    """Context manager that keeps F, the tensor which enters a network's head, of the last forward pass.

    Example:
        >>> network = DiscCupUNet(backbone="efficientnet-lite0-small", decoder_channels=(16, 16, 8, 8)).eval()
        >>> with HeadInput(network) as head_input:
        ...     _ = network(torch.zeros(1, 3, 32, 32))
        >>> tuple(head_input.features.shape)
        (1, 8, 32, 32)
    """

    features: torch.Tensor

    def __init__(self, network: DiscCupUNet) -> None:
        self.network = network

    def __enter__(self) -> HeadInput:
        self.handle = self.network.segmentation_head.register_forward_pre_hook(self._keep)
        return self

    def __exit__(self, *_: object) -> None:
        self.handle.remove()

    def _keep(self, _: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        self.features = inputs[0]


def dropout_of(head: nn.Sequential) -> float:
    """Probability with which a head drops a channel of F."""
    return cast(nn.Dropout2d, head[0]).p


def classifier_of(head: nn.Sequential) -> nn.Conv2d:
    """The pointwise convolution of a head."""
    return cast(nn.Conv2d, head[-1])


def channel_masks(names: Sequence[str], passes: int, channels: int, dropout: float, seed: int = 0) -> torch.Tensor:
    """Dropout masks of T passes, drawn for each photograph from its name and the seed alone.

    Neither the batch a photograph falls into, nor the order of the files, nor an interruption changes its masks.

    Args:
        names: one a photograph.
        passes: T.
        channels: K, channels of F.
        dropout: probability of dropping a channel, in [0, 1).
        seed: the run's seed.

    Returns:
        B x T x K, 0 or 1 / (1 - dropout).
    """
    masks = []
    for name in names:
        digest = hashlib.sha256(f"{seed}:{name}".encode("utf-8", "surrogateescape")).digest()
        generator = torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))
        masks.append(torch.rand(passes, channels, generator=generator) >= dropout)
    return torch.stack(masks).float() / (1 - dropout)


def stochastic_logits(head: nn.Sequential, features: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
    """Logits of T passes through the pointwise head.

    Args:
        head: channel dropout and a pointwise convolution, as in ``DiscCupUNet``.
        features: F, B x K x W x H.
        masks: B x T x K from ``channel_masks``.

    Returns:
        B x T x 3 x W x H.
    """
    classifier = classifier_of(head)
    weight = classifier.weight.flatten(1)
    # (W * mask) F equals W (mask * F): one small product a photograph instead of T masked copies of F.
    weights = weight[None, None] * masks[:, :, None].to(weight)
    b, t, j, k = weights.shape
    logits = torch.bmm(weights.view(b, t * j, k), features.flatten(2)).view(b, t, j, *features.shape[2:])
    return logits if classifier.bias is None else logits + classifier.bias.view(1, 1, -1, 1, 1)


def stochastic_log_odds(logits: torch.Tensor) -> torch.Tensor:
    """``log_odds`` of stochastic logits (B x T x 3 x W x H), as B x T x 2 x W x H."""
    return log_odds(logits.flatten(0, 1)).view(*logits.shape[:2], 2, *logits.shape[3:])


def agreement(z: torch.Tensor) -> torch.Tensor:
    """How far the passes agree: mean Dice between each pass's structure and that of the mean probability.

    It needs no labels; where it is low the Dice against a label is likely to be low too.

    Args:
        z: log-odds of T passes, B x T x 2 x W x H.

    Returns:
        B x 2 in [0, 1], disc and cup; 1 where neither any pass nor the mean shows the structure.
    """
    passes = (z > 0).flatten(3)
    mean = (z.sigmoid().mean(dim=1, keepdim=True) > 0.5).flatten(3)
    overlap = (passes & mean).sum(dim=3).float()
    total = (passes.sum(dim=3) + mean.sum(dim=3)).float()
    return torch.where(total > 0, 2 * overlap / total.clamp(min=1), torch.ones_like(total)).mean(dim=1)


def expected_dice(logits: torch.Tensor) -> torch.Tensor:
    """The Dice that is expected if the probabilities are true: 2 sum(p y) / (sum(p) + sum(y)), with y = p > 0.5.

    It needs one pass and no labels. The more of a structure lies in doubt, the lower it is, and a structure of which
    nothing is beyond doubt has none.

    Args:
        logits: B x 3 x W x H.

    Returns:
        B x 2 in [0, 1], disc and cup; 0 where nothing of the structure is predicted.
    """
    p = nested_probabilities(logits).flatten(2)
    y = (p > 0.5).to(p)
    return 2 * (p * y).sum(dim=2) / (p + y).sum(dim=2).clamp(min=1e-6)
