"""The sharpness of the network's view of a photograph."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import fft

__all__ = ["sharpness"]

_FINE, _COARSE = (2.0, 4.0), (8.0, 16.0)
"""Standard deviations, in pixels of the view, of the two Gaussians whose difference is a band of detail."""


def sharpness(view: torch.Tensor) -> float:
    """Ratio of fine to coarse detail in the green channel, where vessels and rim stand out.

    Detail is the standard deviation of a difference of Gaussians. Blur removes the fine band (2 to 4 pixels in a view
    of 256), while noise of single pixels hardly affects it. Measures of the very finest detail, and scikit-image's
    ``blur_effect``, rate a blurred photograph with noise as sharper than a sharp one.

    Args:
        view: 3 x W x H, in any range.

    Returns:
        At least 0; 0 for a view without detail, about 0.5 for photographs of the source.

    Example:
        >>> view = torch.rand(3, 64, 64, generator=torch.Generator().manual_seed(0))
        >>> blurred = torch.nn.functional.avg_pool2d(view, 9, stride=1, padding=4)
        >>> sharpness(blurred) < sharpness(view)
        True
    """
    green = torch.as_tensor(view[1]).detach().cpu().numpy().astype(np.float64)
    # A Gaussian filter with reflecting borders is a product in the cosine transform, and the transform preserves sums
    # of squares: one transform is enough for all four filters and both standard deviations.
    power = fft.dctn(green, norm="ortho") ** 2
    fine, coarse = (float(np.sqrt((power * _band(band, green.shape)).sum() / green.size)) for band in (_FINE, _COARSE))
    return fine / coarse if coarse > 1e-6 else 0.0


@lru_cache(maxsize=8)
def _band(sigmas: tuple[float, float], shape: tuple[int, int]) -> NDArray[np.float64]:
    """Gain of a difference of Gaussians in the power of each frequency of the cosine transform; 0 for the mean."""
    low, high = (np.multiply.outer(*(_gaussian_response(sigma, length) for length in shape)) for sigma in sigmas)
    gain = (low - high) ** 2
    gain[0, 0] = 0
    return gain


def _gaussian_response(sigma: float, length: int) -> NDArray[np.float64]:
    """Gain of SciPy's ``gaussian_filter1d`` at the frequencies of the cosine transform of ``length`` values."""
    offsets = np.arange(-round(4 * sigma), round(4 * sigma) + 1)
    weights = np.exp(-0.5 * (offsets / sigma) ** 2)
    return np.cos(np.pi / length * np.outer(np.arange(length), offsets)) @ (weights / weights.sum())
