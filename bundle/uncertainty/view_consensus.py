"""Predictions from several views of a photograph: their consensus, and how far they agree."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Sequence
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
    """Magnify images about their centre, on the same grid.

    Args:
        images: B x C x W x H.
        factor: magnification, above 0; below 1 the images shrink.
        padding_mode: how to fill pixels outside the images, as in ``torch.nn.functional.grid_sample``.

    Returns:
        B x C x W x H.

    Example:
        >>> zoomed(torch.eye(4)[None, None], 2.0).shape
        torch.Size([1, 1, 4, 4])
        >>> zoomed(torch.ones(1, 1, 4, 4), 0.5, "zeros")[0, 0]  # half as large
        tensor([[0., 0., 0., 0.],
                [0., 1., 1., 0.],
                [0., 1., 1., 0.],
                [0., 0., 0., 0.]])
    """
    if factor == 1:
        return images
    middle = torch.eye(2, 3, dtype=images.dtype, device=images.device) / factor
    grid = functional.affine_grid(middle.repeat(len(images), 1, 1), list(images.shape), align_corners=False)
    return functional.grid_sample(images, grid, mode="bilinear", padding_mode=padding_mode, align_corners=False)


class ViewConsensus(Inferer):
    """Mean probability over flipped and zoomed views, each mapped back to the photograph's own grid.

    At pixels that a magnified view does not show, only the other views are averaged.

    Args:
        flips: for each flip the flipped axes, 2 for x and 3 for y; an empty list leaves the photograph as it is.
        zooms: magnifications, above 0; every flip is combined with every zoom.
        drawn: number of views, others in each epoch, that a consensus takes; None for all. The photographs take turns
            through all views, each from another start. Which ones they are depends on the photograph's name and on
            PyTorch's seed, which ``EpochSeed`` raises by one with each epoch, so that it is the same in any number of
            processes, and in a run that was interrupted.

    Raises:
        ValueError: there is no view, a flip has another axis, a zoom is not above 0, or there are not so many views.

    Example:
        >>> network = nn.Conv2d(3, 3, kernel_size=1)
        >>> consensus_of = ViewConsensus(flips=[[], [2]], zooms=[1.0, 1.25])
        >>> len(consensus_of.views), consensus_of(torch.rand(1, 3, 16, 16), network).shape
        (4, torch.Size([1, 3, 16, 16]))
    """

    def __init__(
        self, flips: Sequence[Sequence[int]] = ((), (2,)), zooms: Sequence[float] = (1.0,), drawn: int | None = None
    ) -> None:
        super().__init__()
        self.views: list[View] = [(float(zoom), tuple(flip)) for zoom in zooms for flip in flips]
        if not self.views:
            raise ValueError("a consensus needs at least one view.")
        if any(zoom <= 0 or not set(flip) <= {2, 3} for zoom, flip in self.views):
            raise ValueError(f"zooms must be above 0 and flips take axes 2 and 3, not {zooms} and {flips}.")
        if drawn is not None and not 1 <= drawn <= len(self.views):
            raise ValueError(f"{drawn} of {len(self.views)} views cannot be drawn.")
        self.drawn = drawn

    def views_of(
        self, inputs: torch.Tensor, network: nn.Module, names: Sequence[str] | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Probabilities of each view on the photograph's grid, and the pixels that the view shows.

        Args:
            inputs: B x 3 x W x H.
            network: returns logits, B x 3 x W x H.
            names: of the photographs, B; needed if views are drawn.

        Returns:
            Probabilities, V x B x 3 x W x H; and V x (1 or B) x 1 x W x H, 1 where the view shows the pixel, else 0.

        Raises:
            ValueError: views are to be drawn, but ``names`` is missing.
        """
        found, reach = [], []
        for views in self._chosen(names):
            probability = network(_each(_seen, inputs, views)).softmax(dim=1)
            found.append(_each(_back, probability, views))
            reach.append(_each(_shown, inputs[:, :1], views))
        return torch.stack(found), torch.stack(reach).to(inputs.dtype)

    def _chosen(self, names: Sequence[str] | None) -> Iterator[Sequence[View]]:
        """For each pass of the network, the view of each photograph, or the one view of all."""
        if self.drawn is None:
            yield from ([view] for view in self.views)
            return
        if names is None:
            raise ValueError("drawing views needs the photographs' names.")
        first = [torch.initial_seed() * self.drawn + zlib.crc32(name.encode()) for name in names]
        for turn in range(self.drawn):
            yield [self.views[(start + turn) % len(self.views)] for start in first]

    def __call__(  # type: ignore[override]
        self, inputs: torch.Tensor, network: nn.Module, *_: Any, names: Sequence[str] | None = None, **__: Any
    ) -> torch.Tensor:
        """The logarithm of the consensus probabilities, B x 3 x W x H, for use as logits; see ``views_of``."""
        return consensus(*self.views_of(inputs, network, names)).log()

    def agreement(self, inputs: torch.Tensor, network: nn.Module) -> torch.Tensor:
        """Mean Dice between each view's structure and the consensus's, B x 2 (disc, cup) in [0, 1]."""
        found, reach = self.views_of(inputs, network)
        z = log_odds(found.clamp(min=1e-6).log().flatten(0, 1)).unflatten(0, found.shape[:2])
        # Pixels that a view does not show must not count as disagreement: there it takes the consensus.
        whole = log_odds(consensus(found, reach).log())
        return agreement(torch.where(reach > 0, z, whole).transpose(0, 1))


def _each(
    change: Callable[[torch.Tensor, View], torch.Tensor], images: torch.Tensor, views: Sequence[View]
) -> torch.Tensor:
    """Change each image by its view, or all by the one view."""
    if len(views) == 1:
        return change(images, views[0])
    return torch.cat([change(image[None], view) for image, view in zip(images, views, strict=True)])


def _seen(images: torch.Tensor, view: View) -> torch.Tensor:
    zoom, flip = view
    images = zoomed(images, zoom)
    return images.flip(flip) if flip else images


def _back(probability: torch.Tensor, view: View) -> torch.Tensor:
    zoom, flip = view
    return zoomed(probability.flip(flip) if flip else probability, 1 / zoom, "border")


def _shown(images: torch.Tensor, view: View) -> torch.Tensor:
    return zoomed(torch.ones_like(images[:1]), 1 / view[0], "zeros") > 0.5


def consensus(found: torch.Tensor, reach: torch.Tensor) -> torch.Tensor:
    """Mean probability over the views that show a pixel, at least 1e-6; arguments as ``views_of`` returns them."""
    return ((found * reach).sum(dim=0) / reach.sum(dim=0).clamp(min=1)).clamp(min=1e-6)
