"""How far a photograph lies from the training data, by the statistics of the norm layers."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from bundle.uncertainty.norm_distance import NormDistances, norm_distance


def test_the_distance_is_that_of_means_in_variances():
    norm = nn.BatchNorm2d(2, eps=0.5)
    assert norm.running_mean is not None
    assert norm.running_var is not None
    norm.running_mean.copy_(torch.tensor([1.0, -2.0]))
    norm.running_var.copy_(torch.tensor([3.5, 0.0]))
    features = torch.stack([torch.full((2, 4, 4), 1.0), torch.zeros(2, 4, 4)])
    features[0, 1] += torch.linspace(-1, 1, 16).view(4, 4)
    expected = [(0 / 4 + 9 / 0.5) / 2, (1 / 4 + 4 / 0.5) / 2]
    assert norm_distance(features, norm).tolist() == pytest.approx(expected)
    with pytest.raises(ValueError, match="running statistics"):
        norm_distance(features, nn.BatchNorm2d(2, track_running_stats=False))


def test_the_norm_layers_are_asked_and_left_alone(network):
    first_norm: nn.BatchNorm2d = network.encoder._bn0
    image = torch.rand(2, 3, 64, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad(), NormDistances(network) as found:
        assert found.norms[0] is first_norm
        assert found.first is None
        network(image)
        entered = network.encoder._conv_stem(network.encoder._conv_stem_padding(image))
    assert found.first is not None
    assert torch.allclose(found.first, norm_distance(entered, first_norm))
    kept = found.first
    with torch.no_grad():
        network(image + 1)
    assert found.first is kept
    with NormDistances(nn.Conv2d(3, 3, 1)) as none:
        assert none.first is None


def test_over_all_layers_the_distance_is_a_geometric_mean():
    double = nn.Conv2d(2, 2, 1, bias=False)
    nn.init.constant_(double.weight, 2.0)
    network = nn.Sequential(nn.BatchNorm2d(2, eps=0), double, nn.BatchNorm2d(2, eps=0)).eval()
    with torch.no_grad(), NormDistances(network) as found:
        network(torch.full((1, 2, 4, 4), 3.0))
    # 3 squared, and (2 * 3 + 2 * 3) squared.
    assert found.over_all().tolist() == pytest.approx([(9 * 144) ** 0.5])
