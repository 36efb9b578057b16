"""Re-estimated statistics are the cumulative average over the target; nothing else of the network changes."""

from __future__ import annotations

import copy

import pytest
import torch
from monai.data import MetaTensor
from torch import nn

from bundle.adaptation.norm_statistics import reestimate_statistics
from bundle.errors import CallError


@pytest.fixture
def loader(make_images) -> list[dict]:
    return [{"image": MetaTensor(3 * make_images(2, seed=1) + 1)}, {}, {"image": make_images(3, seed=2) - 1}]


def test_statistics_become_the_mean_over_the_batches_in_every_norm_layer(network, loader):
    layers = {name: m for name, m in network.named_modules() if isinstance(m, nn.BatchNorm2d)}
    seen: dict[str, list[torch.Tensor]] = {name: [] for name in layers}
    handles = [
        m.register_forward_pre_hook(lambda _, inputs, name=name: seen[name].append(inputs[0].detach().clone()))
        for name, m in layers.items()
    ]
    momenta = [m.momentum for m in layers.values()]
    reestimate_statistics(network, loader, "cpu")
    for handle in handles:
        handle.remove()
    for name, layer in layers.items():
        assert len(seen[name]) == 2
        means = torch.stack([x.mean(dim=(0, 2, 3)) for x in seen[name]])
        variances = torch.stack([x.transpose(0, 1).flatten(1).var(dim=1) for x in seen[name]])
        torch.testing.assert_close(layer.running_mean, means.mean(dim=0), rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(layer.running_var, variances.mean(dim=0), rtol=1e-3, atol=1e-5)
        assert not torch.allclose(means[0], means[1], rtol=1e-3)
    assert [m.momentum for m in layers.values()] == momenta


def test_no_parameter_changes_and_the_network_is_left_in_evaluation_mode(network, loader):
    before = {name: p.detach().clone() for name, p in network.named_parameters()}
    network.train()
    reestimate_statistics(network, loader, torch.device("cpu"))
    assert all(torch.equal(p, before[name]) for name, p in network.named_parameters())
    assert not any(m.training for m in network.modules())


def test_the_old_statistics_count_for_nothing(network, loader):
    reestimate_statistics(network, loader, "cpu")
    once = {name: value.clone() for name, value in network.state_dict().items()}
    reestimate_statistics(network, loader, "cpu")
    assert all(torch.equal(network.state_dict()[name], value) for name, value in once.items())


@pytest.mark.parametrize("loader", [[], [{}, {}]])
def test_without_a_readable_photograph_the_statistics_are_kept(network, loader):
    before = {name: value.clone() for name, value in network.state_dict().items()}
    with pytest.raises(CallError, match="not one photograph could be read"):
        reestimate_statistics(network, loader, "cpu")
    assert all(torch.equal(network.state_dict()[name], value) for name, value in before.items())


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_the_share_blends_the_target_s_statistics_with_the_source_s(network, loader, share):
    source = {name: value.clone() for name, value in network.state_dict().items()}
    target = copy.deepcopy(network)
    reestimate_statistics(target, loader, "cpu")
    reestimate_statistics(network, [] if share == 0 else loader, "cpu", share=share)
    for name, value in network.state_dict().items():
        if "running" in name:
            expected = share * target.state_dict()[name] + (1 - share) * source[name]
            torch.testing.assert_close(value, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("share", [-0.1, 1.1])
def test_a_share_out_of_range_is_refused(network, loader, share):
    with pytest.raises(ValueError, match="share must be in"):
        reestimate_statistics(network, loader, "cpu", share=share)
