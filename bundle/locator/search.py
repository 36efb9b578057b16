"""A learned search for the optic disc in whole photographs of any camera, and in crops."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.utils import convert_to_tensor
from numpy.typing import NDArray
from skimage import measure
from torch.nn import functional

from bundle.networks.unet import DiscCupUNet
from bundle.networks.weights import load_weights
from bundle.transforms.disc_view import DiscLocation

__all__ = ["DiscLocator", "MIN_PIXELS", "load_locator", "locator_for", "locator_network", "padded_square"]

MIN_PIXELS = 12
"""Smallest number of pixels of the view that count as a disc."""
# Without a second search that confirms it, the first has a confidence above 0.9 for discs in blurred photographs,
# and up to 0.88 for false findings. What counts is reported with a confidence that marks it for review.
_SURE_ALONE, _UNCONFIRMED = 0.89, 0.6
# Tiles are many, so that one of them is mistaken more often; and what is a disc there is too small to be measured below
# this diameter in pixels.
_SURE_IN_TILE, _LEAST_IN_TILE = 0.9, 24
# Smallest diameter of a disc that a second search confirms, as a share of ``min_diameter``: discs of ultra-wide fields
# take 3 % of the picture.
_CONFIRMED = 0.65
# Requirements for a second disc. The two eyes of a person look alike; exudates and reflections are smaller, have lower
# probabilities or ragged outlines.
_LIKE_AREA, _LIKE_MEAN, _LIKE_SOLIDITY = 0.3, 0.87, 0.85


def locator_network(pretrained: bool = False, dropout: float = 0.0) -> DiscCupUNet:
    """Build the locator's network, which returns logits of background and disc.

    Args:
        pretrained: start the encoder from its ImageNet weights.
        dropout: see ``DiscCupUNet``.

    Example:
        >>> locator_network()(torch.zeros(1, 3, 64, 64)).shape
        torch.Size([1, 2, 64, 64])
    """
    return DiscCupUNet(
        out_channels=2,
        backbone="efficientnet-lite0-small",
        pretrained=pretrained,
        decoder_channels=(64, 48, 32, 16),
        dropout=dropout,
    )


def load_locator(checkpoint: str | Path, device: torch.device | str = "cpu", **kwargs: Any) -> DiscLocator:
    """Build a locator with the weights of a checkpoint.

    Args:
        checkpoint: file with the weights of ``locator_network``.
        device: where the network runs.
        kwargs: other arguments of ``DiscLocator``.

    Raises:
        CallError: the checkpoint is missing or unfit, see ``load_weights``.

    Example:
        >>> from bundle.stages import BUNDLE_ROOT
        >>> locate = load_locator(BUNDLE_ROOT / "models" / "locator.pt", size=64)
        >>> locate(torch.zeros(3, 64, 48)) is None  # a black picture
        True
    """
    return DiscLocator(load_weights(locator_network(), checkpoint), device=device, **kwargs)


def locator_for(view: str, checkpoint: str | Path, device: torch.device | str = "cpu") -> DiscLocator | None:
    """Build the locator for a kind of view; None if the view takes every picture as a whole.

    Args:
        view: see ``DiscViewd``; only ``crop`` needs no locator.
        checkpoint: file with the locator's weights.
        device: where the network runs.

    Raises:
        CallError: the checkpoint is missing or unfit, see ``load_weights``.

    Example:
        >>> locator_for("crop", "models/locator.pt") is None
        True
    """
    return None if view == "crop" else load_locator(checkpoint, device)


class DiscLocator:
    """Find the optic disc in a photograph by segmenting it coarsely.

    The photograph is padded to a square, reduced, and segmented; the largest connected component is the disc. If the
    disc is small in the picture, a second search follows in a square around it, four diameters wide. If the second
    search finds no disc there, or a different one, the first result is kept with 0.6 times its confidence, if that was
    at least 0.89.

    If the first search finds none, as in an ultra-wide field, in which the disc takes a thirtieth of the picture, tiles
    that overlap by half are searched; a disc in one of them counts only if a search around it confirms it.

    The confidence is the product of three factors, each 1 for a clear disc: the mean probability within the component,
    the component's share of all pixels that were segmented as disc, and the ratio of its area to that of its convex
    hull. If a second component looks like a disc of similar size, as in a picture of two eyes, it does not lower the
    confidence, and the result has ``rival`` set.

    Args:
        network: returns logits of background and disc, B x 2 x size x size.
        size: side of the network's input in pixels, a multiple of 32.
        min_confidence: smallest confidence of a result, in [0, 1]; below it no disc is reported.
        min_diameter: smallest diameter of a disc, as a share of the photograph's longer side; of one that a second
            search confirms, 0.65 times it.
        max_diameter: largest diameter of a disc, likewise; a component that fills nearly the whole picture is no disc.
        second_look_below: diameter below which the second search takes place, as a share of the photograph's longer
            side; 0 for no second search.
        tiles: number of tiles that lie side by side along the photograph's longer side; 0 for no search in tiles.
        device: where the network runs.

    Example:
        >>> class BrightIsDisc(torch.nn.Module):
        ...     def forward(self, x):
        ...         return torch.cat((-9 * x[:, :1], 9 * x[:, :1]), dim=1)
        >>> photograph = torch.zeros(3, 128, 96)
        >>> photograph[:, 40:80, 30:70] = 255
        >>> disc = DiscLocator(BrightIsDisc(), size=64)(photograph)
        >>> disc.x, disc.y, round(disc.diameter)
        (59.5, 49.5, 45)
    """

    def __init__(
        self,
        network: torch.nn.Module,
        size: int = 256,
        min_confidence: float = 0.75,
        min_diameter: float = 0.04,
        max_diameter: float = 1.05,
        second_look_below: float = 0.2,
        tiles: int = 2,
        device: torch.device | str = "cpu",
    ) -> None:
        self.network = network.to(device).eval()
        self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.size = size
        self.min_confidence = min_confidence
        self.min_diameter = min_diameter
        self.max_diameter = max_diameter
        self.second_look_below = second_look_below
        self.tiles = tiles
        self.device = device

    def __call__(self, image: torch.Tensor) -> DiscLocation | None:
        """Search for the disc in an image.

        Args:
            image: 3 x W x H, in [0, 255].

        Returns:
            The location in pixels of ``image``; None if no disc was found.
        """
        picture = convert_to_tensor(image, track_meta=False)
        width, height = picture.shape[1:]
        whole = max(width, height)
        disc = self._look(picture, (width - whole) // 2, (height - whole) // 2, whole)
        if disc is None:
            return self._in_tiles(picture)
        if disc.confidence < self.min_confidence:
            return None
        least = self.min_diameter * whole
        if disc.diameter < self.second_look_below * whole:
            confirmed = self._confirmed(picture, disc)
            if confirmed is None and disc.confidence < _SURE_ALONE:
                return None
            # Kept, because in a blurred photograph a disc is harder to recognise in the magnified view.
            disc = confirmed or replace(disc, confidence=_UNCONFIRMED * disc.confidence)
            least *= _CONFIRMED if confirmed else 1
        return disc if least <= disc.diameter <= self.max_diameter * whole else None

    def _in_tiles(self, picture: torch.Tensor) -> DiscLocation | None:
        """The disc that is found in a tile and confirmed; of several the one with the highest confidence."""
        width, height = picture.shape[1:]
        whole = max(width, height)
        side = -(-whole // self.tiles) if self.tiles else whole
        if not self.size <= side < whole:
            # A tile would show no more than the first search saw.
            return None
        corners = [_corners(length, side) for length in (width, height)]
        looks = [self._look(picture, x, y, side) for x in corners[0] for y in corners[1]]
        candidates = [disc for disc in looks if disc is not None and disc.confidence >= self.min_confidence]
        for disc in sorted(candidates, key=lambda disc: -disc.confidence):
            found = self._confirmed(picture, disc)
            if (
                found is not None
                and found.confidence >= _SURE_IN_TILE
                and max(_CONFIRMED * self.min_diameter * whole, _LEAST_IN_TILE) <= found.diameter
                and found.diameter <= self.second_look_below * whole
            ):
                return found
        return None

    def _confirmed(self, picture: torch.Tensor, first: DiscLocation) -> DiscLocation | None:
        """The disc in a square around ``first``; None if the search there finds none or a different one."""
        side = max(MIN_PIXELS, round(4 * first.diameter))
        second = self._look(picture, round(first.x - side / 2), round(first.y - side / 2), side)
        if (
            second is not None
            and second.confidence >= self.min_confidence
            and math.dist((first.x, first.y), (second.x, second.y)) < first.diameter / 2
            and 0.6 < second.diameter / first.diameter < 1.6
        ):
            return replace(second, rival=first.rival)
        return None

    def _look(self, picture: torch.Tensor, left: int, top: int, side: int) -> DiscLocation | None:
        """What most looks like a disc in a square of ``picture``, in pixels of ``picture``; None if nothing does."""
        view = padded_square(picture, left, top, side, self.size)
        p = self._disc_probability(view)
        components, count = measure.label(p >= 0.5, return_num=True)
        if not count:
            return None
        regions = sorted(measure.regionprops(components, intensity_image=p), key=lambda region: -region.area)
        found, rivals = regions[0], [region for region in regions[1:2] if _is_like(region, regions[0])]
        if found.area < MIN_PIXELS:
            return None
        x, y = found.centroid_weighted
        scale = side / self.size
        called_disc = (p >= 0.5).sum() - sum(rival.area for rival in rivals)
        confidence = found.intensity_mean * found.area / called_disc * found.area / found.area_convex
        return DiscLocation(
            # Resizing maps outer edges onto each other; pixel centres lie half a pixel inside the edges.
            x=float(left + (x + 0.5) * scale - 0.5),
            y=float(top + (y + 0.5) * scale - 0.5),
            diameter=2 * math.sqrt(found.area / math.pi) * scale,
            confidence=min(float(confidence), 1.0),
            rival=bool(rivals),
        )

    def _disc_probability(self, view: torch.Tensor) -> NDArray[np.float32]:
        """Probability of the disc (size x size) in ``view`` (3 x size x size, in [0, 255])."""
        scaled = (view.clamp(0, 255)[None].to(self.device) - 127) / 128
        with torch.inference_mode():
            p = self.network(scaled).softmax(dim=1)[0, 1]
        return np.asarray(p.float().cpu())


def _corners(length: int, side: int) -> list[int]:
    """Where tiles begin that overlap by half and cover a length together, in pixels; negative if one is enough."""
    if length <= side:
        return [(length - side) // 2]
    count = math.ceil(2 * (length - side) / side)
    return [round(step * (length - side) / count) for step in range(count + 1)]


def _is_like(region: Any, largest: Any) -> bool:
    """Whether a component looks like a disc similar to the largest one."""
    return bool(
        region.area >= max(MIN_PIXELS, _LIKE_AREA * largest.area)
        and region.intensity_mean >= _LIKE_MEAN
        and region.solidity >= _LIKE_SOLIDITY
    )


def padded_square(
    picture: torch.Tensor, left: int, top: int, side: int, size: int, nearest: bool = False
) -> torch.Tensor:
    """Cut a square out of a picture and resize it.

    Args:
        picture: C x W x H.
        left: left edge of the square in pixels; it may be negative.
        top: top edge of the square in pixels; it may be negative.
        side: side of the square in pixels.
        size: side of the result in pixels.
        nearest: whether to resize without interpolation, as labels need it.

    Returns:
        C x size x size, float32; 0 outside the picture.

    Example:
        >>> padded_square(torch.ones(1, 2, 2), left=0, top=-2, side=4, size=4)[0].T  # rows, from top to bottom
        tensor([[0., 0., 0., 0.],
                [0., 0., 0., 0.],
                [1., 1., 0., 0.],
                [1., 1., 0., 0.]])
    """
    if picture.stride(1) < picture.stride(2):
        # Decoded files are stored row by row; reading many megapixels along the columns takes twice as long.
        return padded_square(picture.transpose(1, 2), top, left, side, size, nearest).transpose(1, 2).contiguous()
    width, height = picture.shape[1:]
    # Negative padding cuts off. If there is nothing to pad or cut off, ``pad`` would copy the whole photograph.
    edges = (-top, top + side - height, -left, left + side - width)
    square = functional.pad(picture, edges) if any(edges) else picture
    # Averaging over areas is anti-aliasing that stays fast at 12 megapixels; for small reductions it is too coarse.
    mode = "nearest" if nearest else "area" if side >= 2 * size else "bilinear"
    # Channel by channel in one buffer, because a photograph takes four times as much memory in floats as in bytes.
    floats = torch.empty((1, 1, side, side), device=square.device)
    resized = torch.empty((len(square), size, size), device=square.device)
    for channel, out in zip(square, resized, strict=True):
        out.copy_(functional.interpolate(floats.copy_(channel[None, None]), size=(size, size), mode=mode)[0, 0])
    return resized
