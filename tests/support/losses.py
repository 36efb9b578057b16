"""Outputs of a network for the losses, made by hand."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike

from bundle.networks.head import classifier_of
from bundle.networks.outputs import AdaptationOutput
from bundle.networks.unet import DiscCupUNet

WIDTH, HEIGHT, K = 8, 6, 8
NO_NETWORK: Any = None
"""For losses that look at logits and features alone."""


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    """Standard normal values, the same ones for the same seed."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def unit(v: ArrayLike) -> np.ndarray:
    """The vector at length 1, or 0 where it is 0."""
    v = np.asarray(v, dtype=float)
    return v / max(np.linalg.norm(v), 1e-12)


def softmax(logits: torch.Tensor) -> np.ndarray:
    """Probabilities over the second axis, by NumPy in double precision."""
    e = np.exp(logits.detach().double().numpy())
    return e / e.sum(axis=1, keepdims=True)


def output_of(
    network: DiscCupUNet, features: torch.Tensor, teacher: AdaptationOutput | None = None
) -> AdaptationOutput:
    """What a network gives whose head is entered by these features (B x K x W x H)."""
    logits = classifier_of(network.segmentation_head)(features)
    return AdaptationOutput(network, torch.zeros(len(features), 3, *features.shape[2:]), features, logits, teacher)


def output_of_logits(logits: torch.Tensor, taught: torch.Tensor | None = None) -> AdaptationOutput:
    """What gave these logits (B x 3 x W x H), and a teacher who gave others."""
    teacher = None if taught is None else AdaptationOutput(NO_NETWORK, taught, taught, taught)
    return AdaptationOutput(NO_NETWORK, logits, logits, logits, teacher)


def names(count: int = 2) -> dict[str, list[str]]:
    """The target of a batch, as far as losses that remember photographs read it."""
    return {"name": [f"photograph {i}" for i in range(count)]}


def slow_transport(features, prototypes, proportions, temperature):
    """Both costs, pair by pair."""
    n, c = len(features), len(prototypes)
    s = np.array([[math.fsum(m * f) / temperature for m in prototypes] for f in features])
    d = np.array([[1 - unit(m) @ unit(f) for m in prototypes] for f in features])
    there = back = 0.0
    for i in range(n):
        weights = [proportions[j] * math.exp(s[i, j]) for j in range(c)]
        there += sum(w * d[i, j] for j, w in enumerate(weights)) / sum(weights) / n
    for j in range(c):
        weights = [math.exp(s[i, j]) for i in range(n)]
        back += proportions[j] * sum(w * d[i, j] for i, w in enumerate(weights)) / sum(weights)
    return there, back
