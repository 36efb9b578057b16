"""The weighted sum of a recipe's losses, and the masked mean that several of them use."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from bundle.errors import CallError
from bundle.networks.outputs import AdaptationOutput

__all__ = ["AdaptationLoss", "masked_mean"]


class AdaptationLoss(nn.Module):
    """The weighted sum of a recipe's losses.

    Args:
        losses: all available losses, by name.
        weights: the recipe's weights, by the losses' names; other losses are not computed.

    Attributes:
        values: the latest value of each loss without its weight, by name, for the log.

    Raises:
        CallError: a weight is given for an unknown loss.

    Example:
        >>> from bundle.losses.entropy import EntropyLoss
        >>> loss = AdaptationLoss({"entropy": EntropyLoss()}, {"entropy": 2.0})
        >>> images, features, logits = torch.zeros(1, 3, 4, 4), torch.zeros(1, 8, 4, 4), torch.zeros(1, 3, 4, 4)
        >>> loss(AdaptationOutput(nn.Identity(), images, features, logits), {})
        tensor(2.1972)
        >>> loss.values
        {'entropy': 1.09...}
    """

    def __init__(self, losses: Mapping[str, nn.Module], weights: Mapping[str, float]) -> None:
        super().__init__()
        unknown = sorted(set(weights) - set(losses))
        if unknown:
            raise CallError(f"unknown losses {', '.join(unknown)}.", f"Use some of {', '.join(sorted(losses))}.")
        self.losses = nn.ModuleDict({name: losses[name] for name in weights})
        self.weights = dict(weights)
        self.values: dict[str, float] = {}

    def needing_head(self) -> list[str]:
        """Names of the losses that need a network with a head (see ``bundle.networks.head.has_head``)."""
        return [name for name, loss in self.losses.items() if getattr(loss, "needs_head", False)]

    def forward(self, output: AdaptationOutput, target: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """The weighted sum, a scalar; the arguments are passed to every loss."""
        terms = {name: loss(output, target) for name, loss in self.losses.items()}
        self.values = {name: float(value.detach()) for name, value in terms.items()}
        return torch.stack([self.weights[name] * value for name, value in terms.items()]).sum()


def masked_mean(features: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Mean of the features over the pixels of a mask.

    Args:
        features: B x K x W x H.
        mask: B x W x H, 0 or 1.

    Returns:
        B x K; 0 for a photograph whose mask is empty.

    Example:
        >>> masked_mean(torch.tensor([[[[1.0, 2.0, 6.0]]]]), torch.tensor([[[0, 1, 1]]]))
        tensor([[4.]])
    """
    m = mask.to(features)
    return torch.einsum("bkxy,bxy->bk", features, m) / m.sum(dim=(1, 2)).clamp(min=1)[:, None]
