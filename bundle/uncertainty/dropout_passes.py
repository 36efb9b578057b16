"""Stochastic passes: channel dropout before the head, with a single pass through encoder and decoder."""

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

    A photograph's masks do not depend on its batch, the order of the files, or an interruption.

    Args:
        names: the photographs' names, B.
        passes: T.
        channels: K, the channels of F.
        dropout: probability of dropping a channel, in [0, 1).
        seed: the run's seed.

    Returns:
        B x T x K, each 0 or 1 / (1 - dropout).

    Example:
        >>> both = channel_masks(["left", "right"], passes=4, channels=8, dropout=0.5)
        >>> both.shape, both.unique().tolist()
        (torch.Size([2, 4, 8]), [0.0, 2.0])
        >>> torch.equal(both[1:], channel_masks(["right"], passes=4, channels=8, dropout=0.5))
        True
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

    Example:
        >>> head = nn.Sequential(nn.Dropout2d(0.3), nn.Conv2d(8, 3, kernel_size=1)).eval()
        >>> features, no_dropout = torch.rand(1, 8, 4, 4), torch.ones(1, 2, 8)
        >>> logits = stochastic_logits(head, features, no_dropout)
        >>> logits.shape, torch.allclose(logits[:, 0], head(features), atol=1e-6)
        (torch.Size([1, 2, 3, 4, 4]), True)
    """
    classifier = classifier_of(head)
    weight = classifier.weight.flatten(1)
    # (W * mask) F equals W (mask * F): one small product per photograph instead of T masked copies of F.
    weights = weight[None, None] * masks[:, :, None].to(weight)
    b, t, j, k = weights.shape
    logits = torch.bmm(weights.view(b, t * j, k), features.flatten(2)).view(b, t, j, *features.shape[2:])
    return logits if classifier.bias is None else logits + classifier.bias.view(1, 1, -1, 1, 1)


def stochastic_log_odds(logits: torch.Tensor) -> torch.Tensor:
    """Log-odds of disc and cup in each pass (see ``log_odds``).

    Args:
        logits: B x T x 3 x W x H.

    Returns:
        B x T x 2 x W x H, disc first.

    Example:
        >>> stochastic_log_odds(torch.zeros(1, 5, 3, 4, 4))[0, 0, :, 0, 0].sigmoid()
        tensor([0.6667, 0.3333])
    """
    return log_odds(logits.flatten(0, 1)).view(*logits.shape[:2], 2, *logits.shape[3:])
