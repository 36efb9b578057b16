"""The loss of the recipe ``tent``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from bundle.networks.outputs import AdaptationOutput

__all__ = ["EntropyLoss"]


class EntropyLoss(nn.Module):
    """Mean entropy of the prediction: -sum_k p_k log p_k over background, rim and cup, in nats, averaged over pixels.

    TENT (Wang et al., ICLR 2021, arXiv 2006.10726) minimises it over the scale and shift of the norm layers alone, with
    the norm statistics of the target, in one epoch. Its code for small networks (CIFAR-10-C) has Adam at 1e-3 with
    betas (0.9, 0.999), one update a batch; of segmentation it says nothing, and the recipe takes the same rate.
    Otherwise in this bundle: two epochs, as its peers; beta_2 = 0.99; statistics that are estimated once over the whole
    target and then fixed, instead of anew from each batch; and one adapted model, instead of an answer batch by batch.
    """

    def forward(self, output: AdaptationOutput, target: Mapping[str, Any]) -> torch.Tensor:
        """Scalar in [0, log 3]; finite and differentiable for whatever finite logits. ``target`` is not looked at."""
        log_p = output.logits.log_softmax(dim=1)
        return -(log_p.exp() * log_p).sum(dim=1).mean()
