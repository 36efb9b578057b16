"""What is wrong with a photograph itself: each fault with its measure, its limit, and in plain words."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import NamedTuple

import numpy as np
import torch
from monai.utils import convert_to_tensor
from numpy.typing import NDArray
from scipy import ndimage
from skimage.color import rgb2gray

from bundle.errors import CallError
from bundle.morphometry.cup_disc import bounding_box
from bundle.uncertainty.sharpness import sharpness

__all__ = ["Quality", "QualityLimits", "cut_share", "quality_of_view"]

_BRIGHT = 0.9
"""Quantile of the luminance that tells a view's brightness: that of the disc, which fills a third of the view."""
_FULL = 250 / 255
"""From here on a channel is at its limit."""
_DARK, _DARKER = 16, 0.05
"""What lies outside a photograph's field of view is darker than this, and than this share of the disc's intensity."""


class Quality(NamedTuple):
    """Measures of a photograph; NaN where one is not known.

    Attributes:
        brightness: luminance that a tenth of the view exceeds, in [0, 1].
        overexposed: share of the view in which red and green are both at their limit, in [0, 1]. Red alone is at its
            limit in many good photographs.
        sharpness: see ``bundle.uncertainty.sharpness``; at least 0. NaN if no disc was found, as the view then shows
            the whole photograph on another scale.
        disc_cut: share of the disc's outline that runs along the edge of the picture or of the field of view, in
            [0, 1]; NaN without a disc.
        disc_confidence: of the search for the disc, in [0, 1]; 0 if it found none, 1 if there was no search.
        discs: number of places that look like a disc, at most 2.
        norm_distance: how far colour and brightness lie from the training data (``bundle.uncertainty.norm_distance``).
        fundus_distance: the same of all that the network sees (``NormDistances.over_all``).

    Example:
        >>> Quality(brightness=0.1).brightness, Quality().discs
        (0.1, nan)
    """

    brightness: float = math.nan
    overexposed: float = math.nan
    sharpness: float = math.nan
    disc_cut: float = math.nan
    disc_confidence: float = math.nan
    discs: float = math.nan
    norm_distance: float = math.nan
    fundus_distance: float = math.nan


@dataclass(frozen=True)
class QualityLimits:
    """Limits of a photograph's quality, beyond which a reader should look at it.

    Attributes:
        min_brightness: below it a photograph is too dark, in [0, 1].
        max_overexposed: above it a photograph is overexposed, in [0, 1].
        max_disc_cut: above it the disc is cut off, in [0, 1].
        max_fundus_distance: above it a picture is no fundus, at least 0.

    Raises:
        CallError: a limit is not a number, or out of its range.

    Example:
        >>> QualityLimits().faults(Quality(brightness=0.1, overexposed=0.0))
        ['too dark']
        >>> QualityLimits(min_brightness=0.05).faults(Quality(brightness=0.1, overexposed=0.3))
        ['overexposed']
    """

    min_brightness: float = 0.15
    max_overexposed: float = 0.1
    max_disc_cut: float = 0.05
    max_fundus_distance: float = 0.2

    def __post_init__(self) -> None:
        for limit in (field.name for field in fields(self)):
            value = getattr(self, limit)
            most = math.inf if limit == "max_fundus_distance" else 1.0
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= most:
                allowed = "a number of at least 0" if most > 1 else "a number from 0 to 1"
                raise CallError(f"quality#{limit} cannot be {value!r}.", f"Pass {allowed}.")

    def faults(self, quality: Quality) -> list[str]:
        """What is wrong with a photograph, in words; a measure that is not known is no fault."""
        checks: Mapping[str, bool] = {
            "too dark": quality.brightness < self.min_brightness,
            "overexposed": quality.overexposed > self.max_overexposed,
            "disc touches the edge of the picture": quality.disc_cut > self.max_disc_cut,
            "not like a fundus photograph": quality.fundus_distance > self.max_fundus_distance,
        }
        return [words for words, applies in checks.items() if applies]


def quality_of_view(view: torch.Tensor) -> Quality:
    """Brightness, overexposure and sharpness of what the network saw.

    Args:
        view: 3 x W x H, in [-127/128, 1], as ``ScaleToNetworkd`` leaves it.

    Example:
        >>> white = quality_of_view(torch.ones(3, 64, 64))
        >>> round(white.brightness, 2), white.overexposed, white.sharpness
        (1.0, 1.0, 0.0)
    """
    plain = convert_to_tensor(view, track_meta=False).detach().cpu()
    pixels = ((plain * 128 + 127) / 255).clamp(0, 1).permute(2, 1, 0).numpy().astype(np.float64)
    return Quality(
        brightness=float(np.quantile(rgb2gray(pixels), _BRIGHT)),
        overexposed=float((pixels[..., :2].min(axis=-1) >= _FULL).mean()),
        sharpness=sharpness(plain),
    )


def cut_share(label: NDArray[np.uint8], photograph: NDArray[np.uint8] | None = None) -> float:
    """Share of a disc's outline that runs along the edge of the picture or of the field of view.

    Args:
        label: H x W: 0 background, above it the disc.
        photograph: H x W x 3, uint8; None leaves the field of view out.

    Returns:
        In [0, 1]; NaN without a disc. It rises the more of a disc is cut off, to 0.5 of a round one.

    Example:
        >>> disc = np.hypot(*(np.mgrid[:99, :99] - 49)) < 40
        >>> cut_share(disc.astype(np.uint8)), round(cut_share(disc[49:].astype(np.uint8)), 2)
        (0.0, 0.42)
    """
    disc = label > 0
    box = bounding_box(disc)
    if box is None:
        return math.nan
    reach = max(2, round(0.03 * (box[0].stop - box[0].start)))
    window = tuple(slice(max(0, part.start - 2 * reach), part.stop + 2 * reach) for part in box)
    part = disc[window]
    outline = part & ~ndimage.binary_erosion(part)
    at_frame = np.ones(label.shape, dtype=bool)
    at_frame[1:-1, 1:-1] = False
    cut = outline & at_frame[window]
    dark = np.zeros_like(part)
    if photograph is not None:
        level = photograph[window].max(axis=-1)
        # In a dark photograph with much contrast the fundus itself reaches the values outside of others.
        dark = level < min(_DARK, _DARKER * float(np.median(level[part])))
    if dark.any():
        # What is dark and reaches the window's border; a dark spot in the fundus does not.
        border = np.ones_like(dark)
        border[1:-1, 1:-1] = False
        outside = ndimage.binary_propagation(dark & border, mask=dark)
        cut |= outline & (ndimage.distance_transform_edt(~outside) <= reach) if outside.any() else False
    return float(np.count_nonzero(cut) / np.count_nonzero(outline))
