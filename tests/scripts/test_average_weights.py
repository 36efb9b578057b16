"""Averaging weights, as a command."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from bundle.networks.notes import notes_of
from bundle.networks.weights import load_weights, save_weights
from bundle.stages import BUNDLE_ROOT


def test_the_mean_loads_into_the_same_network(network, tmp_path):
    first = network.state_dict()
    second = {name: value * 3 if value.is_floating_point() else value + 5 for name, value in first.items()}
    torch.save(first, tmp_path / "first.pt")
    torch.save(second, tmp_path / "second.pt")
    command = [sys.executable, "scripts/average_weights.py", tmp_path / "first.pt", tmp_path / "second.pt"]
    subprocess.run([*command, "--output", tmp_path / "mean.pt"], cwd=BUNDLE_ROOT, check=True)
    mean = torch.load(tmp_path / "mean.pt", weights_only=True)
    assert list(mean) == list(first)
    for name, value in first.items():
        if value.is_floating_point():
            torch.testing.assert_close(mean[name], value * 2)
        else:
            assert torch.equal(mean[name], value + 5)
    load_weights(network, tmp_path / "mean.pt")


@pytest.mark.parametrize(("scales", "kept"), [((0.5, 0.5), {"uncertainty_scale": 0.5}), ((0.5, 1.0), {})])
def test_what_all_files_say_of_themselves_is_kept(scales, kept, network, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(BUNDLE_ROOT / "scripts"))
    import average_weights

    paths = [tmp_path / "first.pt", tmp_path / "second.pt"]
    for path, scale in zip(paths, scales, strict=True):
        save_weights(network, path, {"uncertainty_scale": scale})
    average_weights.main([*map(str, paths), "--output", str(tmp_path / "mean.pt")])
    assert notes_of(tmp_path / "mean.pt") == kept
    load_weights(network, tmp_path / "mean.pt")
