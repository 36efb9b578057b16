"""Prototypes of each class over the whole target set, and which pixels lie nearer to the object than to the background.

The formula is that of Chen et al. (DPL, MICCAI 2021, arXiv 2109.09735), applied to class-specific gradient features
instead of plain ones. The prototypes are estimated over all photographs instead of one mini-batch; they depend neither
on the batch size nor on the order of the files.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch

__all__ = ["PrototypeSums", "Prototypes"]


@dataclass(frozen=True)
class Prototypes:
    """Object and background prototypes.

    Args:
        objects: mean features inside disc and cup, 2 x K; NaN for a class without a reliable pixel inside.
        background: mean features outside disc and cup, 2 x K; NaN for a class without a reliable pixel outside.

    Example:
        >>> prototypes = Prototypes(objects=torch.ones(2, 1), background=torch.zeros(2, 1))
        >>> prototypes.nearer_to_object(torch.tensor([0.2, 0.8]).expand(2, 1, 1, 2))[0]
        tensor([[False,  True]])
    """

    objects: torch.Tensor
    background: torch.Tensor

    def nearer_to_object(self, features: torch.Tensor) -> torch.Tensor:
        """[ ||A_i - q_obj||^2 < ||A_i - q_bck||^2 ] of features 2 x K x W x H, as 2 x W x H booleans.

        It is false everywhere for a class without an object prototype, and true everywhere for one that lacks a
        background prototype alone.
        """
        # The squared lengths of A cancel; what remains is linear in A.
        direction = 2 * (self.objects - self.background)
        offset = self.objects.square().sum(dim=1) - self.background.square().sum(dim=1)
        nearer = torch.einsum("ckxy,ck->cxy", features.to(direction), direction) > offset[:, None, None]
        known_object = self.objects.isfinite().all(dim=1)
        known_background = self.background.isfinite().all(dim=1)
        nearer[known_object & ~known_background] = True
        nearer[~known_object] = False
        return nearer


@dataclass
class PrototypeSums:
    """Weighted sums of features, from which the prototypes are made; those of single photographs can be added.

    A pixel has the weight R y p for the object and R (1 - y) (1 - p) for the background: only reliable pixels count, by
    their own probability. Sums are kept in double precision.

    Args:
        sums: weighted sums of object and background, disc and cup, 2 x 2 x K; empty before anything was added.
        weights: sums of the weights, 2 x 2.

    Example:
        >>> everywhere = torch.ones(2, 4, 4, dtype=torch.bool)
        >>> one = PrototypeSums.of(torch.full((2, 3, 4, 4), 1.0), everywhere, everywhere, torch.ones(2, 4, 4))
        >>> other = PrototypeSums.of(torch.full((2, 3, 4, 4), 2.0), everywhere, everywhere, torch.ones(2, 4, 4))
        >>> (one + other).prototypes().objects
        tensor([[1.5000, 1.5000, 1.5000],
                [1.5000, 1.5000, 1.5000]])
    """

    sums: torch.Tensor = field(default_factory=lambda: torch.zeros(0))
    weights: torch.Tensor = field(default_factory=lambda: torch.zeros(2, 2, dtype=torch.float64))

    @classmethod
    def of(
        cls, features: torch.Tensor, reliable: torch.Tensor, label: torch.Tensor, probability: torch.Tensor
    ) -> PrototypeSums:
        """Sums of one photograph.

        Args:
            features: A, 2 x K x W x H.
            reliable: R, 2 x W x H booleans.
            label: y, 2 x W x H booleans.
            probability: p, 2 x W x H in [0, 1].
        """
        weight = torch.stack((label * probability, (~label) * (1 - probability))) * reliable
        sums = torch.einsum("ocn,ckn->ock", weight.flatten(2), features.flatten(2))
        return cls(sums.double(), weight.double().sum(dim=(2, 3)))

    def __add__(self, other: PrototypeSums) -> PrototypeSums:
        sums = other.sums if self.sums.numel() == 0 else self.sums + other.sums
        return PrototypeSums(sums, self.weights + other.weights)

    def prototypes(self) -> Prototypes:
        """The weighted means, in single precision; NaN where nothing has any weight."""
        means = torch.where(
            self.weights[..., None] > 0, self.sums / self.weights[..., None].clamp(min=1e-12), torch.nan
        )
        return Prototypes(means[0].float(), means[1].float())
