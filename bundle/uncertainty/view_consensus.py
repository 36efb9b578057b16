"""What a network says about a photograph from several views of it: a steadier answer, and how far the views agree."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from monai.inferers import Inferer
from torch import nn
from torch.nn import functional

from bundle.networks.nested_classes import log_odds
from bundle.uncertainty.agreement import agreement

__all__ = ["View", "ViewConsensus", "zoomed"]

View = tuple[float, tuple[int, ...]]
"""Zoom factor, and the axes (2 for x, 3 for y) that are flipped."""


def zoomed(images: torch.Tensor, factor: float, padding_mode: str = "reflection") -> torch.Tensor:
    """Images (B x C x W x H) magnified about their middle by ``factor``, on the same grid."""
    if factor == 1:
        return images
    middle = torch.eye(2, 3, dtype=images.dtype, device=images.device) / factor
    grid = functional.affine_grid(middle.repeat(len(images), 1, 1), list(images.shape), align_corners=False)
    return functional.grid_sample(images, grid, mode="bilinear", padding_mode=padding_mode, align_corners=False)


class ViewConsensus(Inferer):
    """Mean probability over flipped and zoomed views, each mapped back to the photograph's own grid.

    Where a magnified view does not reach, the other views alone are averaged.

    Args:
        flips: axes of each flipped view, 2 for x and 3 for y; an empty list is the photograph itself.
        zooms: magnifications; every flip is combined with every zoom.

    Raises:
        ValueError: without a view, for another axis, or when a zoom is not above 0.
    """

    def __init__(self, flips: Sequence[Sequence[int]] = ((), (2,)), zooms: Sequence[float] = (1.0,)) -> None:
        super().__init__()
        self.views: list[View] = [(float(zoom), tuple(flip)) for zoom in zooms for flip in flips]
        if not self.views:
            raise ValueError("a consensus needs at least one view.")
        if any(zoom <= 0 or not set(flip) <= {2, 3} for zoom, flip in self.views):
            raise ValueError(f"zooms must be above 0 and flips take axes 2 and 3, not {zooms} and {flips}.")

    def views_of(self, inputs: torch.Tensor, network: nn.Module) -> tuple[torch.Tensor, torch.Tensor]:
        """Probabilities of each view on the photograph's grid, and where the view reaches.

        Args:
            inputs: B x 3 x W x H.
            network: gives logits.

        Returns:
            V x B x 3 x W x H probabilities and V x 1 x 1 x W x H of 0 and 1.
        """
        found, reach = [], []
        for zoom, flip in self.views:
            view = zoomed(inputs, zoom)
            probability = network(view.flip(flip) if flip else view).softmax(dim=1)
            back = zoomed(probability.flip(flip) if flip else probability, 1 / zoom, "border")
            found.append(back)
            reach.append(zoomed(torch.ones_like(back[:1, :1]), 1 / zoom, "zeros") > 0.5)
        return torch.stack(found), torch.stack(reach).to(inputs.dtype)

    def __call__(self, inputs: torch.Tensor, network: nn.Module, *_: Any, **__: Any) -> torch.Tensor:  # type: ignore[override]
        """The consensus, as the logarithm of its probabilities (B x 3 x W x H), which are logits."""
        return consensus(*self.views_of(inputs, network)).log()

    def agreement(self, inputs: torch.Tensor, network: nn.Module) -> torch.Tensor:
        """Mean Dice between each view's structure and the consensus's, B x 2 (disc, cup) in [0, 1]."""
        found, reach = self.views_of(inputs, network)
        z = log_odds(found.clamp(min=1e-6).log().flatten(0, 1)).unflatten(0, found.shape[:2])
        # What a view cannot see is no disagreement: there it says what the consensus says.
        whole = log_odds(consensus(found, reach).log())
        return agreement(torch.where(reach > 0, z, whole).transpose(0, 1))


def consensus(found: torch.Tensor, reach: torch.Tensor) -> torch.Tensor:
    """Mean over the views that reach a pixel, kept away from 0."""
    return ((found * reach).sum(dim=0) / reach.sum(dim=0).clamp(min=1)).clamp(min=1e-6)
