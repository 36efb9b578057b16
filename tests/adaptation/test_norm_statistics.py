"""Re-estimated statistics are those of all pixels of the target, whatever the order, the batches and the processes."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import ignite.distributed as idist
import numpy as np
import pytest
import torch
from monai.data import Dataset, MetaTensor
from monai.transforms import Compose, EnsureChannelFirstd, LoadImaged
from PIL import Image
from torch import nn

from bundle.adaptation.norm_statistics import reestimate_statistics
from bundle.data.dataset import PhotographDataset
from bundle.data.groups import content_groups
from bundle.data.listing import list_photographs
from bundle.data.photograph_reader import PhotographReader
from bundle.errors import CallError
from bundle.networks.unet import DiscCupUNet
from bundle.networks.weights import save_weights
from bundle.transforms.intensity import ScaleToNetworkd
from tests.support.stages import TINY, run, weights

TOLERANCE: dict[str, Any] = {"rtol": 1e-5, "atol": 1e-5}


def statistics(network: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in network.state_dict().items() if "running" in name}


def assert_same(one: nn.Module, other: nn.Module) -> None:
    for name, value in statistics(one).items():
        torch.testing.assert_close(value, statistics(other)[name], **TOLERANCE)


@pytest.fixture
def images(make_images) -> torch.Tensor:
    """Nine photographs, the last of which is unlike the others."""
    return torch.cat((make_images(8, seed=1), 3 * make_images(1, seed=2) + 1))


@pytest.fixture
def photographs(images) -> Dataset:
    return Dataset([{"image": MetaTensor(image), "name": str(i)} for i, image in enumerate(images)])


class WithUnused(nn.Sequential):
    """MONAI's EfficientNets hold a norm layer of their classifier, which no U-Net runs."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self[0](images)


def test_a_layer_that_nothing_passes_keeps_its_statistics(photographs, images):
    network = WithUnused(nn.BatchNorm2d(3), nn.BatchNorm2d(3))
    reestimate_statistics(network, photographs, "cpu")
    torch.testing.assert_close(network[0].running_mean, images.mean(dim=(0, 2, 3)), **TOLERANCE)
    torch.testing.assert_close(network[1].running_var, torch.ones(3))


def test_statistics_become_those_of_one_batch_of_all_photographs(network, photographs, images):
    expected = copy.deepcopy(network)
    for layer in expected.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.momentum = 1.0
            layer.train()
    with torch.no_grad():
        expected(images)
    reestimate_statistics(network, photographs, "cpu")
    assert_same(network, expected)


@pytest.mark.parametrize("at_once", [4, 32])
def test_order_and_names_change_nothing(at_once, network, photographs):
    shuffled = Dataset([{**photographs.data[i], "name": f"x{i}"} for i in (8, 3, 0, 5, 1, 7, 2, 6, 4)])
    other = copy.deepcopy(network)
    reestimate_statistics(network, photographs, "cpu", at_once=at_once)
    reestimate_statistics(other, shuffled, "cpu", at_once=at_once)
    assert_same(network, other)


def test_each_photograph_counts_alike(photographs, images):
    """Where nothing lies in front of the layer, the groups have no say at all."""
    network = nn.Sequential(nn.BatchNorm2d(3))
    for at_once in (1, 2, 4, 32):
        reestimate_statistics(network, photographs, "cpu", at_once=at_once)
        pixels = images.transpose(0, 1).flatten(1)
        torch.testing.assert_close(network[0].running_mean, pixels.mean(dim=1), **TOLERANCE)
        torch.testing.assert_close(network[0].running_var, pixels.var(dim=1), **TOLERANCE)


def test_groups_are_of_one_size_and_follow_from_the_content_alone(tmp_path):
    rng = np.random.default_rng(0)
    for i in range(11):
        (tmp_path / f"{i}.png").write_bytes(rng.bytes(100))
    items = [{"image": str(tmp_path / f"{i}.png")} for i in range(11)]
    groups = content_groups(items, 4)
    assert sorted(map(len, groups)) == [3, 4, 4]
    assert sorted(index for group in groups for index in group) == list(range(11))
    (tmp_path / "other").mkdir()
    renamed = []
    for i in reversed(range(11)):
        renamed.append({"image": str(tmp_path / "other" / f"z{i}.png")})
        Path(renamed[-1]["image"]).write_bytes((tmp_path / f"{i}.png").read_bytes())
    assert [[10 - index for index in group] for group in content_groups(renamed, 4)] == groups
    assert content_groups([], 4) == []
    assert content_groups([{"image": str(tmp_path / "missing.png")}], 4) == [[0]]


@pytest.fixture
def folder(tmp_path) -> Path:
    """Nine photographs and one file that is none."""
    rng = np.random.default_rng(5)
    (tmp_path / "in").mkdir()
    for i in range(9):
        values = rng.normal(80 + 10 * i, 30, (64, 64, 3)).clip(0, 255).astype(np.uint8)
        Image.fromarray(values).save(tmp_path / "in" / f"{i}.png")
    (tmp_path / "in" / "broken.png").write_bytes(b"broken")
    return tmp_path / "in"


def dataset_of(folder: str | Path) -> PhotographDataset:
    load = [LoadImaged("image", reader=PhotographReader), EnsureChannelFirstd("image"), ScaleToNetworkd("image")]
    return PhotographDataset(list_photographs(folder), Compose(load))


def reestimated(folder: str, at_once: int) -> tuple[dict[str, torch.Tensor], list[str]]:
    """The statistics in this process, and what it could not read."""
    torch.manual_seed(0)
    network = DiscCupUNet(backbone="efficientnet-lite0-small", decoder_channels=(16, 16, 8, 8))
    dataset = dataset_of(folder)
    idist.initialize("gloo")
    try:
        reestimate_statistics(network, dataset, "cpu", at_once=at_once)
        dataset.share_findings()
    finally:
        idist.finalize()
    return statistics(network), list(dataset.unreadable)


@pytest.mark.parametrize("at_once", [3, 4, 32])
def test_two_processes_give_the_statistics_of_one(at_once, folder, processes):
    (one,) = processes(reestimated, str(folder), at_once, count=1)
    for found, unreadable in processes(reestimated, str(folder), at_once):
        assert unreadable == one[1] == ["broken"]
        for name, value in found.items():
            torch.testing.assert_close(value, one[0][name], **TOLERANCE)


def test_the_batch_size_of_the_stage_changes_no_statistics(network, folder, tmp_path):
    save_weights(network, tmp_path / "source.pt", {"uncertainty_scale": 1.0})
    settings = {"checkpoint": str(tmp_path / "source.pt"), "recipe": "bn", "least_disc": 0, "collapse": 0} | TINY
    for size in (2, 8):
        assert run("adapt", folder, tmp_path / str(size), batch_size=size, **settings) == 1
    one, other = (weights(tmp_path / size) for size in "28")
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_nothing_else_changes_and_the_network_is_left_in_evaluation_mode(network, photographs):
    before = {name: p.detach().clone() for name, p in network.named_parameters()}
    momenta = [m.momentum for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
    network.train()
    reestimate_statistics(network, photographs, torch.device("cpu"))
    assert all(torch.equal(p, before[name]) for name, p in network.named_parameters())
    assert not any(m.training for m in network.modules())
    assert momenta == [m.momentum for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
    assert not any(m._forward_pre_hooks for m in network.modules())


def test_the_old_statistics_count_for_nothing(network, photographs):
    reestimate_statistics(network, photographs, "cpu")
    once = statistics(network)
    reestimate_statistics(network, photographs, "cpu")
    assert all(torch.equal(statistics(network)[name], value) for name, value in once.items())


@pytest.mark.parametrize("broken", [False, True])
def test_without_a_readable_photograph_the_statistics_are_kept(broken, network, tmp_path):
    (tmp_path / "a.png").write_bytes(b"broken")
    before = {name: value.clone() for name, value in network.state_dict().items()}
    with pytest.raises(CallError, match="not one photograph could be read"):
        reestimate_statistics(network, dataset_of(tmp_path) if broken else Dataset([]), "cpu")
    assert all(torch.equal(network.state_dict()[name], value) for name, value in before.items())


def test_an_error_on_the_way_leaves_the_statistics_as_they_were(network):
    before = statistics(network)
    wrong = Dataset([{"image": torch.zeros(3, 64, 32)}, {"image": torch.zeros(3, 32, 32)}])
    with pytest.raises(RuntimeError):
        reestimate_statistics(network, wrong, "cpu")
    assert all(torch.equal(statistics(network)[name], value) for name, value in before.items())


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_the_share_blends_the_target_s_statistics_with_the_source_s(network, photographs, share):
    source = statistics(network)
    target = copy.deepcopy(network)
    reestimate_statistics(target, photographs, "cpu")
    reestimate_statistics(network, Dataset([]) if share == 0 else photographs, "cpu", share=share)
    for name, value in statistics(network).items():
        expected = share * statistics(target)[name] + (1 - share) * source[name]
        torch.testing.assert_close(value, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("share", [-0.1, 1.1])
def test_a_share_out_of_range_is_refused(network, photographs, share):
    with pytest.raises(ValueError, match="share must be in"):
        reestimate_statistics(network, photographs, "cpu", share=share)
