"""The check that kills stages: the stages pass it, and it finds what it is made to find."""

from __future__ import annotations

import multiprocessing
import random
import time
from pathlib import Path

import pytest
import torch

from bundle.networks.weights import save_weights
from tests.robustness import kill_check


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("kill")
    return folder, kill_check.prepare(folder)


@pytest.mark.parametrize("stage", kill_check.SETTINGS)
def test_a_killed_stage_ends_as_an_undisturbed_one(stage, prepared):
    output, checkpoint = prepared
    tally = kill_check.check(stage, output, checkpoint, kills=2, rng=random.Random(0))
    assert tally.kills == 2
    assert tally.completed >= 1
    # As one text, for pytest cuts lists short.
    assert f"torn {tally.torn}, different {tally.different}" == "torn [], different []"


def test_a_torn_file_and_another_result_are_found(prepared, monkeypatch):
    output, checkpoint = prepared

    def start(stage, output, folder, checkpoint):
        """Stands for a stage that writes in place and forgets where it was."""
        process = multiprocessing.get_context("fork").Process(target=write_in_place, args=(folder,))
        process.start()
        return process

    monkeypatch.setattr(kill_check, "start", start)
    tally = kill_check.check("inference", output, checkpoint, kills=2, rng=random.Random(1))
    assert "mask.txt" in tally.torn
    assert "counts.txt" in tally.different


def write_in_place(folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    with (folder / "counts.txt").open("a") as file:
        file.write("started\n")
    with (folder / "mask.txt").open("w", buffering=1) as file:
        for line in range(100):
            file.write(f"{line}\n")
            time.sleep(0.01)


def test_equal_means_equal_to_the_last_bit(tmp_path, network):
    save_weights(network, tmp_path / "a.pt")
    save_weights(network, tmp_path / "b.pt")
    a, b = (kill_check.read(tmp_path / name) for name in ("a.pt", "b.pt"))
    assert kill_check.same(a, b)
    key = next(iter(b))
    b[key] = torch.nextafter(b[key], torch.tensor(9.0))
    assert not kill_check.same(a, b)
    assert not kill_check.same(a, "unreadable")
    nan = torch.tensor([torch.nan, 1.0])
    assert kill_check.same(nan, nan.clone())
    assert not kill_check.same(nan, torch.tensor([0.0, 1.0]))
