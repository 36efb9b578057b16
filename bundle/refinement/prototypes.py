"""Prototypes of each class over the whole target set, and which pixels lie nearer to the object than to background.

Formula of Chen et al. (DPL, MICCAI 2021), on class-specific gradient features instead of plain ones, and estimated over
all photographs instead of one mini-batch, so that neither batch size nor the order of the files changes them.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch

__all__ = ["PrototypeSums", "Prototypes"]


@dataclass(frozen=True)
class Prototypes:
    """Object and background prototypes.

    Args:
        objects: 2 x K, disc and cup; NaN where no reliable pixel of the class was seen.
        background: 2 x K, likewise.
    """

    objects: torch.Tensor
    background: torch.Tensor

    def nearer_to_object(self, features: torch.Tensor) -> torch.Tensor:
        """[ ||A_i - q_obj||^2 < ||A_i - q_bck||^2 ] of features 2 x K x W x H, as 2 x W x H booleans.

        A class without an object prototype is nowhere, one without a background prototype everywhere.
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
    """Weighted sums of features from which the prototypes are made; add those of single photographs in any order.

    The object is weighed by R y p, the background by R (1 - y) (1 - p): reliable pixels, by their own probability.
    Sums are kept in double precision.
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
        """The weighted means."""
        means = torch.where(
            self.weights[..., None] > 0, self.sums / self.weights[..., None].clamp(min=1e-12), torch.nan
        )
        return Prototypes(means[0].float(), means[1].float())
