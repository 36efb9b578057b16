"""Formulas of the contrastive losses of the recipes ``pfa`` and ``dac``."""

from __future__ import annotations

import torch
from torch.nn import functional

__all__ = ["exponential_discrepancy", "info_nce", "transport_costs"]


def transport_costs(
    features: torch.Tensor, prototypes: torch.Tensor, proportions: torch.Tensor, temperature: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Expected cosine distance of a transport from features to prototypes, and of one from prototypes to features.

    A feature goes to prototype c with probability softmax_c(mu_c f / temperature + log p_c). A prototype, drawn with
    probability p_c, goes to feature f with the probability that a softmax of mu_c f / temperature over all features
    gives.

    Args:
        features: f, N x K.
        prototypes: mu, C x K.
        proportions: p, C values that sum to 1.
        temperature: above 0.

    Returns:
        Two scalars in [0, 2].

    Example:
        >>> prototypes = torch.eye(2)
        >>> there, back = transport_costs(10 * prototypes, prototypes, torch.tensor([0.5, 0.5]), temperature=0.1)
        >>> round(there.item(), 4), round(back.item(), 4)  # every feature lies on its own prototype
        (0.0, 0.0)
    """
    similarity = features @ prototypes.T / temperature
    distance = 1 - functional.normalize(features) @ functional.normalize(prototypes).T
    there = (similarity + proportions.clamp(min=1e-6).log()).softmax(dim=1)
    back = similarity.softmax(dim=0)
    return (there * distance).sum(dim=1).mean(), ((back * distance).sum(dim=0) * proportions).sum()


def info_nce(positive: torch.Tensor, negative: torch.Tensor, temperature: float) -> torch.Tensor:
    """-log of e^(s+ / t) / (e^(s+ / t) + sum of e^(s- / t)), the contrastive loss of each anchor.

    Args:
        positive: s+, each anchor's similarity to its positive, N.
        negative: s-, each anchor's similarities to its negatives, N x M; -inf leaves one out.
        temperature: t, above 0.

    Returns:
        N values, at least 0.

    Example:
        >>> info_nce(torch.ones(1), torch.ones(1, 3), 0.1)  # log 4: all are equally similar
        tensor([1.3863])
    """
    logits = torch.cat((positive[:, None], negative), dim=1) / temperature
    return logits.logsumexp(dim=1) - logits[:, 0]


def exponential_discrepancy(
    anchors: torch.Tensor, own: torch.Tensor, other: torch.Tensor, temperature: float
) -> torch.Tensor:
    """The exponential form of maximum mean discrepancy in DaC (arXiv 2211.06612), for each anchor.

    -log of e^(f m_other / t) / (e^(f m_own / t) + e^(f m_other / t)), where m is the mean of a group's remembered
    features. Where both groups have the same mean, the value is log 2 and the gradient is 0.

    Args:
        anchors: f, N x K, of unit length.
        own: m of the group that each anchor belongs to, N x K.
        other: m of the other group, N x K.
        temperature: t, above 0.

    Returns:
        N values, at least 0.

    Example:
        >>> exponential_discrepancy(torch.ones(1, 1), torch.ones(1, 1), torch.ones(1, 1), 0.05)  # log 2
        tensor([0.6931])
    """
    return functional.softplus((anchors * (own - other)).sum(dim=1) / temperature)
