"""The head is pointwise behind the only dropout, the network scripts, and its statistics can be frozen."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from bundle.networks.unet import DiscCupUNet

TINY: dict[str, Any] = {"backbone": "efficientnet-lite0-small", "decoder_channels": (16, 16, 8, 8)}


def test_features_through_the_head_are_the_forward_pass(network, make_images):
    images = make_images(2, 64, 32)
    with torch.no_grad():
        features = network.features(images)
        logits = network(images)
        torch.testing.assert_close(network.segmentation_head(features), logits)
        pointwise = torch.einsum("jk,bkxy->bjxy", network.segmentation_head[-1].weight[:, :, 0, 0], features)
    assert features.shape == (2, 8, 64, 32)
    bias = network.segmentation_head[-1].bias[:, None, None]
    torch.testing.assert_close(pointwise + bias, logits, rtol=1e-5, atol=1e-5)


def test_dropout_is_in_front_of_the_head_and_nowhere_else(network, make_images):
    dropouts = [m for m in network.modules() if isinstance(m, nn.modules.dropout._DropoutNd) and m.p > 0]
    assert dropouts == [network.segmentation_head[0]]
    assert isinstance(dropouts[0], nn.Dropout2d)
    assert [type(m) for m in network.segmentation_head] == [nn.Dropout2d, nn.Conv2d]
    network.freeze_statistics()
    network.train()
    images = make_images()
    with torch.no_grad():
        assert torch.equal(network.features(images), network.features(images))
        assert not torch.equal(network(images), network(images))


def test_dropout_probability_is_the_one_asked_for():
    assert DiscCupUNet(**TINY, dropout=0.4).segmentation_head[0].p == 0.4


@pytest.mark.parametrize("shape", [(2, 3, 32, 64), (1, 3, 64, 64)])
def test_torchscript_gives_the_same_logits(network, scripted, shape):
    images = torch.randn(*shape, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        torch.testing.assert_close(scripted(images), network(images))


@pytest.fixture(scope="module")
def scripted(_tiny_network):
    return torch.jit.script(_tiny_network)


def norms(network: nn.Module) -> list[nn.Module]:
    return [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]


def test_frozen_statistics_keep_norm_layers_in_evaluation_mode_only(network, make_images):
    before = {name: value.clone() for name, value in network.state_dict().items() if "running" in name}
    network.freeze_statistics()
    network.train()
    assert norms(network)
    assert not any(m.training for m in norms(network))
    assert network.training
    assert network.segmentation_head[0].training
    network(make_images())
    assert all(torch.equal(network.state_dict()[name], value) for name, value in before.items())
    network.freeze_statistics(False)
    network.train()
    assert all(m.training for m in norms(network))
    assert not any(m.training for m in norms(network.eval()))
