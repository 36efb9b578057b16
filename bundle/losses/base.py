"""The weighted sum of a recipe's losses."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from bundle.networks.outputs import AdaptationOutput

__all__ = ["AdaptationLoss"]


def masked_mean(features: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Mean of B x K x W x H features over B x W x H pixels, as B x K; 0 where a photograph has none."""
    m = mask.to(features)
    return torch.einsum("bkxy,bxy->bk", features, m) / m.sum(dim=(1, 2)).clamp(min=1)[:, None]


class AdaptationLoss(nn.Module):
    """The weighted sum of a recipe's losses.

    Args:
        losses: every loss there is, by name.
        weights: the recipe's weights, by name.

    Attributes:
        values: each loss's latest value, by name, for the log.

    Raises:
        ValueError: when a weight names no loss.
    """

    def __init__(self, losses: Mapping[str, nn.Module], weights: Mapping[str, float]) -> None:
        super().__init__()
        unknown = sorted(set(weights) - set(losses))
        if unknown:
            raise ValueError(f"unknown losses {unknown}; there are {sorted(losses)}.")
        self.losses = nn.ModuleDict({name: losses[name] for name in weights})
        self.weights = dict(weights)
        self.values: dict[str, float] = {}

    def forward(self, output: AdaptationOutput, target: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """The weighted sum, a scalar."""
        terms = {name: loss(output, target) for name, loss in self.losses.items()}
        self.values = {name: float(value.detach()) for name, value in terms.items()}
        return torch.stack([self.weights[name] * value for name, value in terms.items()]).sum()
