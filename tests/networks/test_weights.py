"""Weights come back from a file as they were, and a bad checkpoint is refused in one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from bundle.errors import CallError
from bundle.networks.unet import DiscCupUNet
from bundle.networks.weights import has_finite_weights, load_weights, save_weights
from tests.support.opener import Opener


def test_what_is_not_finite_is_found_in_parameters_and_buffers():
    layer = nn.BatchNorm1d(2)
    assert has_finite_weights(layer)
    assert layer.running_var is not None
    for tensor in (layer.weight, layer.running_var):
        with torch.no_grad():
            tensor[1] = float("inf")
        assert not has_finite_weights(layer)
        with torch.no_grad():
            tensor[1] = 1
    assert has_finite_weights(layer)


def test_the_same_weights_are_the_same_bytes(network, tmp_path):
    for name in ("a.pt", "b.pt"):
        save_weights(network, tmp_path / name)
    assert (tmp_path / "a.pt").read_bytes() == (tmp_path / "b.pt").read_bytes()


TINY: dict[str, Any] = {"backbone": "efficientnet-lite0-small", "decoder_channels": (16, 16, 8, 8)}


@pytest.mark.parametrize("wrapped", [False, True])
def test_weights_come_back_from_a_file(network, make_images, tmp_path, wrapped):
    state = network.state_dict()
    path = tmp_path / "model.pt"
    torch.save({"model": state, "epoch": 3} if wrapped else state, path)
    other = DiscCupUNet(**TINY).eval()
    assert load_weights(other, str(path)) is other
    with torch.no_grad():
        assert torch.equal(other(make_images()), network(make_images()))


def _write(kind: str, network: nn.Module, path: Path) -> None:
    state = dict(network.state_dict())
    first = next(iter(state))
    if kind == "truncated":
        torch.save(state, path)
        path.write_bytes(path.read_bytes()[:-2000])
    elif kind == "not finite":
        torch.save({**state, first: torch.full_like(state[first], torch.nan)}, path)
    elif kind == "another architecture":
        torch.save({**state, first: state[first][:4]}, path)
    elif kind == "missing layer":
        torch.save({name: value for name, value in state.items() if name != first}, path)
    elif kind == "malicious":
        torch.save({"model": Opener(path.with_name("opened"))}, path)
    else:
        contents = {"a list": [1, 2], "optimiser": {"state": {}, "param_groups": []}, "numbered": {0: torch.zeros(1)}}
        torch.save(contents[kind], path)


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("missing", "does not exist"),
        ("folder", "is no file"),
        ("truncated", "cannot be read"),
        ("malicious", "cannot be read"),
        ("not finite", "not finite, in encoder._conv_stem.weight"),
        ("another architecture", "does not fit the network: size mismatch for encoder._conv_stem.weight"),
        ("missing layer", "does not fit the network: missing key"),
        ("a list", "no state dict"),
        ("optimiser", "no state dict"),
        ("numbered", "model.pt"),
    ],
)
def test_a_bad_checkpoint_is_refused_in_one_line(network, tmp_path, kind, words):
    path = tmp_path / "model.pt"
    if kind == "folder":
        path.mkdir()
    elif kind != "missing":
        _write(kind, network, path)
    target = DiscCupUNet(**TINY)
    before = target.state_dict()["encoder._conv_stem.weight"].clone()
    with pytest.raises(CallError) as raised:
        load_weights(target, path)
    line = str(raised.value)
    assert str(path) in line
    assert words in line
    assert "--checkpoint" in line
    assert "\n" not in line
    assert not (tmp_path / "opened").exists()
    assert torch.equal(target.state_dict()["encoder._conv_stem.weight"], before)
