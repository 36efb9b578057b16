"""Whether the network's view of a photograph is sharp, and like those that it was trained on; without labels."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import fft
from torch import nn

__all__ = ["FirstNormInput", "norm_distance", "sharpness"]

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


def norm_distance(features: torch.Tensor, norm: nn.BatchNorm2d) -> torch.Tensor:
    """How far what enters a norm layer lies from what its running statistics, hence the training data, would have.

    Args:
        features: B x K x W x H.
        norm: the layer, which has running statistics.

    Returns:
        B, at least 0: the mean over the channels of the squared distance between the photograph's mean and the running
        mean, in running variances.
    """
    if norm.running_mean is None or norm.running_var is None:
        raise ValueError("a norm layer without running statistics knows nothing of its training data.")
    # The layer's own epsilon keeps channels that never vary from outweighing all others.
    return ((features.mean(dim=(2, 3)) - norm.running_mean) ** 2 / (norm.running_var + norm.eps)).mean(dim=1)


class FirstNormInput:
    """Context manager that keeps the ``norm_distance`` of the network's first batch norm layer in each forward pass.

    Args:
        network: has a batch norm layer with running statistics; without one the distance stays None.
    """

    def __init__(self, network: nn.Module) -> None:
        self.norm = next(
            (m for m in network.modules() if isinstance(m, nn.BatchNorm2d) and m.track_running_stats), None
        )
        self.distance: torch.Tensor | None = None

    def __enter__(self) -> FirstNormInput:
        self.handle = self.norm.register_forward_pre_hook(self._keep) if self.norm is not None else None
        return self

    def __exit__(self, *_: object) -> None:
        if self.handle is not None:
            self.handle.remove()

    def _keep(self, norm: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        assert isinstance(norm, nn.BatchNorm2d)
        self.distance = norm_distance(torch.as_tensor(inputs[0]).detach(), norm)
