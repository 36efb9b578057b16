"""Stochastic passes: channel dropout in front of the head, for one pass through the encoder."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import torch
from torch import nn

from bundle.networks.head import classifier_of
from bundle.networks.nested_classes import log_odds

__all__ = ["channel_masks", "stochastic_log_odds", "stochastic_logits"]


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
