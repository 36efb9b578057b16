"""Blur and strangeness are told from the view, and noise is not taken for sharpness."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.data import DataLoader, MetaTensor
from scipy import ndimage
from torch import nn

from bundle.data.dataset import collate_readable
from bundle.synthetic.phantoms.photographs import make_crop
from bundle.uncertainty.evaluator import AgreementEvaluator
from bundle.uncertainty.norm_distance import FirstNormInput, norm_distance
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


def test_the_distance_is_that_of_means_in_variances():
    norm = nn.BatchNorm2d(2, eps=0.5)
    norm.running_mean.copy_(torch.tensor([1.0, -2.0]))
    norm.running_var.copy_(torch.tensor([3.5, 0.0]))
    features = torch.stack([torch.full((2, 4, 4), 1.0), torch.zeros(2, 4, 4)])
    features[0, 1] += torch.linspace(-1, 1, 16).view(4, 4)
    expected = [(0 / 4 + 9 / 0.5) / 2, (1 / 4 + 4 / 0.5) / 2]
    assert norm_distance(features, norm).tolist() == pytest.approx(expected)
    with pytest.raises(ValueError, match="running statistics"):
        norm_distance(features, nn.BatchNorm2d(2, track_running_stats=False))


def test_the_first_norm_layer_is_asked_and_left_alone(network):
    assert FirstNormInput(network).norm is network.encoder._bn0
    image = torch.rand(2, 3, 64, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad(), FirstNormInput(network) as first:
        network(image)
        entered = network.encoder._conv_stem(network.encoder._conv_stem_padding(image))
    assert torch.allclose(first.distance, norm_distance(entered, network.encoder._bn0))
    kept = first.distance
    with torch.no_grad():
        network(image + 1)
    assert first.distance is kept
    with FirstNormInput(nn.Conv2d(3, 3, 1)) as none:
        assert none.distance is None


def test_each_photograph_has_a_distance_of_its_own(network, make_images):
    images = make_images(3)
    images[2] += 1
    items = [{"image": MetaTensor(image), "name": str(i)} for i, image in enumerate(images)]
    loader = DataLoader(items, batch_size=3, collate_fn=collate_readable)
    evaluator = AgreementEvaluator(passes=0, device=torch.device("cpu"), val_data_loader=loader, network=network)
    evaluator.run()
    distances = [float(output["norm_distance"]) for output in evaluator.state.output]
    with torch.no_grad(), FirstNormInput(network) as first:
        network(images)
    assert distances == pytest.approx(first.distance.tolist())
    assert distances[2] > 2 * max(distances[:2])
