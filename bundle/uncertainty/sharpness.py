"""Whether the network's view of a photograph is sharp."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import fft

__all__ = ["sharpness"]

_FINE, _COARSE = (2.0, 4.0), (8.0, 16.0)
"""Standard deviations, in pixels of the view, of the Gaussians between which each band of detail lies."""


def sharpness(view: torch.Tensor) -> float:
    """How much fine detail a view has for its coarse detail, in the green channel, in which vessels and rim stand out.

    Detail is the standard deviation of a difference of Gaussians. The fine band (2 to 4 pixels of a view of 256) is one
    that blur takes away and that the noise of single pixels hardly reaches: to measures of the finest detail, and to
    scikit-image's ``blur_effect``, a blurred photograph with noise is sharper than a sharp one.

    Args:
        view: 3 x W x H, in any range.

    Returns:
        0 for a view without detail; about 0.5 for the source's.
    """
    green = torch.as_tensor(view[1]).detach().cpu().numpy().astype(np.float64)
    # A Gaussian with reflecting borders is a product in the cosine transform, which keeps sums of squares: all four
    # filters and both deviations cost one transform.
    power = fft.dctn(green, norm="ortho") ** 2
    fine, coarse = (float(np.sqrt((power * _band(band, green.shape)).sum() / green.size)) for band in (_FINE, _COARSE))
    return fine / coarse if coarse > 1e-6 else 0.0


@lru_cache(maxsize=8)
def _band(sigmas: tuple[float, float], shape: tuple[int, int]) -> NDArray[np.float64]:
    """What a difference of Gaussians makes of the power of each frequency of the cosine transform, its mean aside."""
    low, high = (np.multiply.outer(*(_gaussian_response(sigma, length) for length in shape)) for sigma in sigmas)
    gain = (low - high) ** 2
    gain[0, 0] = 0
    return gain


def _gaussian_response(sigma: float, length: int) -> NDArray[np.float64]:
    """Gain of SciPy's ``gaussian_filter1d`` at the frequencies of the cosine transform of ``length`` values."""
    offsets = np.arange(-round(4 * sigma), round(4 * sigma) + 1)
    weights = np.exp(-0.5 * (offsets / sigma) ** 2)
    return np.cos(np.pi / length * np.outer(np.arange(length), offsets)) @ (weights / weights.sum())
