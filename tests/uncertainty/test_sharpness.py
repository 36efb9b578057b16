"""Blur is told from the view, and noise is not taken for sharpness."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage

from bundle.synthetic.phantoms.photographs import make_crop
from bundle.uncertainty.sharpness import sharpness


def view(blur: float = 0.0, noise: float = 0.0, seed: int = 3) -> torch.Tensor:
    """A made-up crop, 3 x 256 x 256 in [-1, 1]."""
    pixels = make_crop(seed, size=256).image / 127.5 - 1
    pixels = ndimage.gaussian_filter(pixels, (blur, blur, 0))
    pixels = pixels + np.random.default_rng(0).normal(0, noise, pixels.shape) if noise else pixels
    return torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 1, 0))).float()


def test_the_more_blur_the_less_sharp_even_with_noise():
    sharp, blurred, more = sharpness(view()), sharpness(view(blur=3)), sharpness(view(blur=6))
    assert sharp > 1.2 * blurred > 1.2 * 1.2 * more
    # As much noise as the shift "blur_noise" has.
    assert sharpness(view(blur=5, noise=0.1)) < 0.8 * sharp
    assert abs(sharpness(view(noise=0.02)) / sharp - 1) < 0.05


def test_sharpness_knows_neither_brightness_nor_contrast():
    plain = view()
    assert sharpness(0.3 * plain - 0.4) == pytest.approx(sharpness(plain))
    assert sharpness(torch.zeros(3, 32, 32)) == 0.0
    # Only the green channel counts.
    other = plain.clone()
    other[[0, 2]] = 0
    assert sharpness(other) == sharpness(plain)


@pytest.mark.parametrize("shape", [(256, 256), (40, 33)])
def test_sharpness_is_what_the_gaussians_themselves_leave(shape):
    picture = torch.rand(3, *shape, generator=torch.Generator().manual_seed(0))
    green = picture[1].double().numpy()
    fine, coarse = (
        (ndimage.gaussian_filter(green, low) - ndimage.gaussian_filter(green, high)).std()
        for low, high in ((2, 4), (8, 16))
    )
    assert sharpness(picture) == pytest.approx(fine / coarse, rel=1e-9)
