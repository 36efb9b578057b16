"""Entropy of the prediction: the loss of the recipe ``tent``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from bundle.networks.outputs import AdaptationOutput

__all__ = ["EntropyLoss"]


class EntropyLoss(nn.Module):
    """Mean entropy of the prediction: -sum_k p_k log p_k over background, rim and cup, in nats, averaged over pixels.

    TENT (Wang et al., ICLR 2021, arXiv 2006.10726) minimises it by changing the scale and shift of the norm layers
    alone, with the norm statistics of the target, in one epoch. Its code for small networks (CIFAR-10-C) uses Adam at
    1e-3 with betas (0.9, 0.999) and one update per batch. It gives no rate for segmentation, and the recipe uses the
    same one. This bundle differs in these points: two epochs, like the other recipes; beta_2 = 0.99; norm statistics
    that are estimated once over the whole target and then fixed, instead of estimated for each batch; and one adapted
    model as the result, instead of a prediction for each batch.

    Example:
        >>> images, features, logits = torch.zeros(1, 3, 4, 4), torch.zeros(1, 8, 4, 4), torch.zeros(1, 3, 4, 4)
        >>> EntropyLoss()(AdaptationOutput(nn.Identity(), images, features, logits), {})  # log 3, the largest value
        tensor(1.0986)
    """

    def forward(self, output: AdaptationOutput, target: Mapping[str, Any]) -> torch.Tensor:
        """Scalar in [0, log 3]; finite and differentiable for all finite logits. ``target`` is not used."""
        log_p = output.logits.log_softmax(dim=1)
        return -(log_p.exp() * log_p).sum(dim=1).mean()
