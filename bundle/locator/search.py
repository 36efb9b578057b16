"""A learned search for the optic disc, in whole photographs of any camera as in crops."""

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
# Blurred photographs have 0.9 at the first look, false findings up to 0.8: at the usual threshold this parts them.
_UNCONFIRMED = 0.6
# Of a second disc: two eyes of one person are alike, and exudates or a reflection are smaller, duller or ragged.
_LIKE_AREA, _LIKE_MEAN, _LIKE_SOLIDITY = 0.3, 0.87, 0.85


def locator_network(pretrained: bool = False, dropout: float = 0.0) -> DiscCupUNet:
    """The locator's network: logits of background and disc.

    Args:
        pretrained: start the encoder from its ImageNet weights.
        dropout: as in ``DiscCupUNet``.
    """
    return DiscCupUNet(
        out_channels=2,
        backbone="efficientnet-lite0-small",
        pretrained=pretrained,
        decoder_channels=(64, 48, 32, 16),
        dropout=dropout,
    )


def load_locator(checkpoint: str | Path, device: torch.device | str = "cpu", **kwargs: Any) -> DiscLocator:
    """The locator with the weights of ``checkpoint``; ``kwargs`` are ``DiscLocator``'s.

    Raises:
        CallError: when the checkpoint is missing or unfit, see ``load_weights``.
    """
    return DiscLocator(load_weights(locator_network(), checkpoint), device=device, **kwargs)


def locator_for(view: str, checkpoint: str | Path, device: torch.device | str = "cpu") -> DiscLocator | None:
    """The locator that a view needs; None where every picture is taken whole.

    Args:
        view: see ``DiscViewd``; ``crop`` needs no locator.
        checkpoint: file of its weights.
        device: where it works.

    Raises:
        CallError: when the checkpoint is missing or unfit, see ``load_weights``.
    """
    return None if view == "crop" else load_locator(checkpoint, device)


class DiscLocator:
    """Find the optic disc in a photograph by segmenting it coarsely.

    The photograph is padded to a square, reduced, and segmented once; the largest component is the disc. A disc that
    is small in the picture is looked at a second time, in the square of four diameters around it. If that shows no disc
    there, or another one, the first finding stands with 0.6 of its confidence.

    The confidence is the product of three shares, each 1 for a plain disc: the mean probability within the component,
    the component's part of everything that was called disc, and its area's part of its convex hull's. Where a second
    component is a disc of like size, as in a picture of two eyes, the two do not count against each other, and the
    location says that there is a rival.

    Args:
        network: gives logits of background and disc, B x 2 x size x size.
        size: side of what the network sees, in pixels, a multiple of 32.
        min_confidence: below it nothing is found, in [0, 1].
        min_diameter: of a disc, as a share of the photograph's longer side.
        max_diameter: the same; a component that fills nearly the whole picture is no disc.
        second_look_below: diameter below which a disc is looked at again, as a share of the longer side; 0 for never.
        device: where the network runs.
    """

    def __init__(
        self,
        network: torch.nn.Module,
        size: int = 256,
        min_confidence: float = 0.5,
        min_diameter: float = 0.04,
        max_diameter: float = 1.05,
        second_look_below: float = 0.2,
        device: torch.device | str = "cpu",
    ) -> None:
        self.network = network.to(device).eval()
        self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.size = size
        self.min_confidence = min_confidence
        self.min_diameter = min_diameter
        self.max_diameter = max_diameter
        self.second_look_below = second_look_below
        self.device = device

    def __call__(self, image: torch.Tensor) -> DiscLocation | None:
        """Where the disc lies in ``image`` (3 x W x H, 0..255), in its pixels; None when no disc was found."""
        picture = convert_to_tensor(image, track_meta=False)
        width, height = picture.shape[1:]
        whole = max(width, height)
        disc = self._look(picture, (width - whole) // 2, (height - whole) // 2, whole)
        if disc is not None and disc.diameter < self.second_look_below * whole:
            disc = self._look_again(picture, disc)
        if disc is None or disc.confidence < self.min_confidence:
            return None
        return disc if self.min_diameter * whole <= disc.diameter <= self.max_diameter * whole else None

    def _look_again(self, picture: torch.Tensor, first: DiscLocation) -> DiscLocation:
        """The disc as seen from close by; ``first`` with less confidence where that is no such disc."""
        side = max(MIN_PIXELS, round(4 * first.diameter))
        second = self._look(picture, round(first.x - side / 2), round(first.y - side / 2), side)
        if (
            second is not None
            and math.dist((first.x, first.y), (second.x, second.y)) < first.diameter / 2
            and 0.6 < second.diameter / first.diameter < 1.6
        ):
            return replace(second, rival=first.rival)
        # From close by, a blurred photograph shows less of a disc than from afar.
        return replace(first, confidence=_UNCONFIRMED * first.confidence)

    def _look(self, picture: torch.Tensor, left: int, top: int, side: int) -> DiscLocation | None:
        """The disc in a square of ``picture``, in the pixels of ``picture``; None when it is too unsure."""
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
        if confidence < self.min_confidence:
            return None
        return DiscLocation(
            # Resizing maps the outer edges onto each other, so that pixel centres are half a pixel in from them.
            x=float(left + (x + 0.5) * scale - 0.5),
            y=float(top + (y + 0.5) * scale - 0.5),
            diameter=2 * math.sqrt(found.area / math.pi) * scale,
            confidence=min(float(confidence), 1.0),
            rival=bool(rivals),
        )

    def _disc_probability(self, view: torch.Tensor) -> NDArray[np.float32]:
        """Probability of the disc, size x size, of ``view`` (3 x size x size, 0..255)."""
        scaled = (view.clamp(0, 255)[None].to(self.device) - 127) / 128
        with torch.inference_mode():
            p = self.network(scaled).softmax(dim=1)[0, 1]
        return np.asarray(p.float().cpu())


def _is_like(region: Any, largest: Any) -> bool:
    """Whether a component is as much of a disc as the largest one is."""
    return bool(
        region.area >= max(MIN_PIXELS, _LIKE_AREA * largest.area)
        and region.intensity_mean >= _LIKE_MEAN
        and region.solidity >= _LIKE_SOLIDITY
    )


def padded_square(
    picture: torch.Tensor, left: int, top: int, side: int, size: int, nearest: bool = False
) -> torch.Tensor:
    """The square of ``picture`` (C x W x H) at (left, top), 0 beyond the picture, as C x size x size in float32."""
    if picture.stride(1) < picture.stride(2):
        # As files are decoded, row by row: along the columns, to read many megapixels takes twice the time.
        return padded_square(picture.transpose(1, 2), top, left, side, size, nearest).transpose(1, 2).contiguous()
    width, height = picture.shape[1:]
    # Negative padding cuts off. Padding by nothing would copy the whole photograph.
    edges = (-top, top + side - height, -left, left + side - width)
    square = functional.pad(picture, edges) if any(edges) else picture
    # Averaging over areas is the anti-aliasing that stays fast at 12 megapixels; it is coarse where it hardly reduces.
    mode = "nearest" if nearest else "area" if side >= 2 * size else "bilinear"
    # Channel by channel in one place: in floats, a photograph takes four times the memory of its bytes.
    floats = torch.empty((1, 1, side, side), device=square.device)
    resized = torch.empty((len(square), size, size), device=square.device)
    for channel, out in zip(square, resized, strict=True):
        out.copy_(functional.interpolate(floats.copy_(channel[None, None]), size=(size, size), mode=mode)[0, 0])
    return resized
