"""The store of pseudo-labels survives interruptions, and discards what was made by other settings."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import torch

from bundle.refinement.pseudo_labels import PseudoLabelStore
from bundle.transforms.pseudo_labels import load_pseudo_label
from tests.support.refinement import (
    COUNT,
    HEIGHT,
    KEYS,
    WIDTH,
    arrays,
    assert_same_files,
)


def test_pseudo_labels_are_loaded_x_first(items, refine, tmp_path):
    store = refine(tmp_path, items[:2])
    found = arrays(tmp_path, "p1")
    loaded = load_pseudo_label(tmp_path / "pseudo_labels" / "p1.npz")
    assert set(loaded) == set(KEYS)
    for key, value in loaded.items():
        assert value.dtype == torch.float32
        assert value.shape == (2, WIDTH, HEIGHT)
        np.testing.assert_array_equal(value.numpy(), found[key].transpose(0, 2, 1).astype(np.float32))
    labelled = store.labelled(items)
    assert [item["name"] for item in labelled] == ["p0", "p1"]
    assert [Path(item["pseudo_label"]).name for item in labelled] == ["p0.npz", "p1.npz"]
    assert labelled[0]["image"] is items[0]["image"]


class _Stop(dict):
    """An item at which the run is interrupted."""

    def __getitem__(self, key):
        if key == "image":
            raise KeyboardInterrupt
        return super().__getitem__(key)

    def items(self):
        raise KeyboardInterrupt


@pytest.mark.parametrize("done", [1, 3])
def test_an_interrupted_run_resumes_to_the_same_files(items, refine, tmp_path, done):
    refine(tmp_path / "straight", items)
    with pytest.raises(KeyboardInterrupt):
        refine(tmp_path / "broken", [*items[:done], _Stop(items[done]), *items[done + 1 :]], finish=False)
    store = PseudoLabelStore(tmp_path / "broken", "f")
    assert store.pending(items) == list(range(done, COUNT))
    refine(tmp_path / "broken", items)
    assert_same_files(tmp_path / "straight", tmp_path / "broken")
    assert not (tmp_path / "broken" / ".refinement").exists()


def test_interrupted_while_finishing_it_resumes_to_the_same_files(items, refine, tmp_path, monkeypatch):
    refine(tmp_path / "straight", items)
    finish_one = PseudoLabelStore._finish_one

    def stop_at_third(self, part, prototypes):
        if part.name == "p2.npz":
            raise KeyboardInterrupt
        finish_one(self, part, prototypes)

    with monkeypatch.context() as patch:
        patch.setattr(PseudoLabelStore, "_finish_one", stop_at_third)
        with pytest.raises(KeyboardInterrupt):
            refine(tmp_path / "broken", items)
    assert PseudoLabelStore(tmp_path / "broken", "f").pending(items) == []
    refine(tmp_path / "broken", items)
    assert_same_files(tmp_path / "straight", tmp_path / "broken")


def test_a_batch_that_was_cut_off_is_made_again_as_a_whole(items, refine, tmp_path):
    refine(tmp_path, items[:1], finish=False)
    store = PseudoLabelStore(tmp_path, "f")
    assert store.pending(items, batch_size=1) == list(range(1, COUNT))
    assert store.pending(items, batch_size=2) == list(range(COUNT))
    refine(tmp_path, items[1:2], finish=False)
    assert store.pending(items, batch_size=2) == list(range(2, COUNT))


@pytest.mark.parametrize("folder", [".refinement", "pseudo_labels"])
def test_what_a_killed_write_left_behind_is_not_taken_for_a_photograph(items, refine, tmp_path, folder):
    refine(tmp_path / "straight", items)
    refine(tmp_path / "broken", items[:2], finish=False)
    (tmp_path / "broken" / folder / ".0123456789abcdef.npz").write_bytes(b"PK\3\4 half a file")
    refine(tmp_path / "broken", items)
    assert len((tmp_path / "broken" / "refinement.csv").read_text().splitlines()) == COUNT + 1
    for item in items:
        assert arrays(tmp_path / "broken", item["name"])["mask"].any()


def test_a_finished_run_has_nothing_left_to_do(items, refine, tmp_path):
    refine(tmp_path, items)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.npz")}
    assert PseudoLabelStore(tmp_path, "f").pending(items) == []
    refine(tmp_path, items)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.npz")} == before


@pytest.mark.parametrize("finish", [False, True])
def test_another_fingerprint_discards_what_was_there(items, refine, tmp_path, finish):
    refine(tmp_path, items, finish=finish)
    store = PseudoLabelStore(tmp_path, "another")
    assert store.pending(items) == list(range(COUNT))
    assert not list(tmp_path.rglob("*.npz"))
    assert not (tmp_path / "prototypes.pt").exists()
    refine(tmp_path, items[:2], fingerprint="another")
    assert torch.load(tmp_path / "prototypes.pt", weights_only=True)["fingerprint"] == "another"
    assert sorted(path.name for path in (tmp_path / "pseudo_labels").iterdir()) == ["p0.npz", "p1.npz"]


def test_the_summary_has_a_row_for_each_photograph(items, refine, tmp_path):
    refine(tmp_path, items[::-1])
    with (tmp_path / "refinement.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["image"] for row in rows] == [f"p{i}" for i in range(COUNT)]
    for row in rows:
        found = arrays(tmp_path, row["image"])
        for c, name in enumerate(("disc", "cup")):
            assert float(row[f"area_share_{name}"]) == pytest.approx(found["label"][c].mean(), abs=1e-4)
            assert float(row[f"mask_share_{name}"]) == pytest.approx(found["mask"][c].mean(), abs=1e-4)
            assert float(row[f"reliable_share_{name}"]) == pytest.approx(found["reliable"][c], abs=1e-4)
            assert float(row[f"agreement_{name}"]) == pytest.approx(found["agreement"][c], abs=1e-4)
