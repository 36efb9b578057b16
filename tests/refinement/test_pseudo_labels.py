"""Pseudo-labels do not depend on batches, order or interruptions, and hold exactly what the method says."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import torch

from bundle.refinement.class_features import GradientFeatures, heat_maps
from bundle.refinement.evaluator import RefinementEvaluator
from bundle.refinement.labeller import PseudoLabeller
from bundle.refinement.pseudo_labels import PseudoLabelStore
from bundle.transforms.pseudo_labels import load_pseudo_label
from bundle.uncertainty.agreement import agreement
from bundle.uncertainty.dropout_passes import channel_masks, stochastic_log_odds, stochastic_logits

WIDTH, HEIGHT, COUNT, PASSES = 64, 32, 5, 4
THRESHOLDS = {"label_threshold": 0.6, "uncertainty_threshold": 0.12}
KEYS = ("label", "mask", "probability", "uncertainty")


@pytest.fixture
def items(make_images) -> list[dict]:
    return [{"name": f"p{i}", "image": image} for i, image in enumerate(make_images(COUNT, WIDTH, HEIGHT))]


@pytest.fixture
def refine(network, make_loader):
    """``refine(folder, items)`` runs stage 1 on the pending items and returns the store."""

    def run(folder: Path, items: list, batch_size: int = 1, fingerprint: str = "f", finish: bool = True, **settings):
        store = PseudoLabelStore(folder, fingerprint)
        pending = [items[i] for i in store.pending([item for item in items if item])] if None not in items else items
        features = GradientFeatures(settings.pop("layer", "head"))
        arguments = {"passes": PASSES, "seed": 3, **THRESHOLDS, **settings}
        if pending:
            loader = make_loader(pending, batch_size)
            labeller = PseudoLabeller(features, **arguments)
            evaluator = RefinementEvaluator(store, labeller, device="cpu", val_data_loader=loader, network=network)
            evaluator.run()
        if finish:
            store.finish()
        return store

    return run


def arrays(folder: Path, name: str) -> dict[str, np.ndarray]:
    with np.load(folder / "pseudo_labels" / f"{name}.npz") as found:
        return {key: found[key] for key in found.files}


def assert_same_files(one: Path, other: Path) -> None:
    names = sorted(path.name for path in (one / "pseudo_labels").iterdir())
    assert names == sorted(path.name for path in (other / "pseudo_labels").iterdir())
    for name in names:
        a, b = arrays(one, name[:-4]), arrays(other, name[:-4])
        assert a.keys() == b.keys()
        for key in a:
            assert a[key].dtype == b[key].dtype
            assert a[key].tobytes() == b[key].tobytes(), (name, key)
    assert (one / "refinement.csv").read_bytes() == (other / "refinement.csv").read_bytes()


def expected_arrays(network, image: torch.Tensor, name: str) -> dict[str, torch.Tensor]:
    """Stage 1 of one photograph up to the prototypes, 2 x W x H each."""
    with torch.no_grad():
        f = network.features(image[None])
        dropout = channel_masks([name], PASSES, 8, 0.25, seed=3)
        logits = stochastic_logits(network.segmentation_head, f, dropout)
    z = stochastic_log_odds(logits)[0].numpy().astype(np.float64)
    p = 1 / (1 + np.exp(-z))
    tempered = 1 / (1 + np.exp(-z / 2))
    mean = p.mean(axis=0)
    spread = np.sqrt(((tempered - tempered.mean(axis=0)) ** 2).sum(axis=0) / (PASSES - 1))
    label = torch.from_numpy(mean > THRESHOLDS["label_threshold"])
    found = GradientFeatures()(network, image[None], f, logits, dropout, label[None])
    return {
        "label": label,
        "probability": torch.from_numpy(mean),
        "uncertainty": torch.from_numpy(spread),
        "features": found.features[0].detach(),
        "heat": heat_maps(found.weights, f)[0].detach(),
        "agreement": agreement(torch.from_numpy(z)[None])[0],
    }


def test_files_hold_what_the_method_says_upright(network, items, refine, tmp_path):
    refine(tmp_path, items)
    stored = torch.load(tmp_path / "prototypes.pt", weights_only=True)
    objects, background = stored["objects"], stored["background"]
    expected = {item["name"]: expected_arrays(network, item["image"], item["name"]) for item in items}
    for c in range(2):
        totals = {True: [0, 0], False: [0, 0]}
        for one in expected.values():
            reliable = one["uncertainty"][c] < THRESHOLDS["uncertainty_threshold"]
            for is_object, p in ((True, one["probability"][c]), (False, 1 - one["probability"][c])):
                w = p * (reliable & (one["label"][c] == is_object))
                totals[is_object][0] += (w * one["features"][c]).sum(dim=(1, 2))
                totals[is_object][1] += w.sum()
        for is_object, prototypes in ((True, objects), (False, background)):
            mean = totals[is_object][0] / totals[is_object][1]
            torch.testing.assert_close(prototypes[c], mean.float(), rtol=2e-3, atol=2e-3)
    shares = []
    for name, one in expected.items():
        found = arrays(tmp_path, name)
        assert all(found[key].shape == (2, HEIGHT, WIDTH) for key in KEYS)
        assert found["label"].dtype == found["mask"].dtype == np.bool_
        upright = {key: one[key].transpose(1, 2).numpy() for key in ("label", "probability", "uncertainty")}
        assert (found["label"] == upright["label"]).mean() > 0.999
        np.testing.assert_allclose(found["probability"], upright["probability"], atol=2e-3)
        np.testing.assert_allclose(found["uncertainty"], upright["uncertainty"], atol=2e-3)
        np.testing.assert_allclose(found["agreement"], one["agreement"], atol=1e-5)
        a = one["features"]
        near = (a - background[:, :, None, None]).square().sum(1) - (a - objects[:, :, None, None]).square().sum(1)
        reliable = one["uncertainty"] < THRESHOLDS["uncertainty_threshold"]
        mask = (reliable & (one["label"] == (near > 0))).transpose(1, 2).numpy()
        assert (found["mask"] == mask).mean() > 0.995
        np.testing.assert_allclose(found["reliable"], reliable.double().mean(dim=(1, 2)), atol=2e-3)
        shares.append((found["label"].mean(), found["mask"].mean(), reliable.float().mean().item()))
    # The scene is one in which every switch matters.
    label, mask, reliable = np.array(shares).mean(axis=0)
    assert 0.05 < label < 0.95
    assert 0.05 < mask < reliable - 0.02 < 0.95


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


def test_neither_batches_nor_the_order_of_files_change_a_result(items, refine, tmp_path):
    refine(tmp_path / "one", items, batch_size=1)
    refine(tmp_path / "four", items, batch_size=4)
    refine(tmp_path / "turned", items[::-1], batch_size=2)
    for other in ("four", "turned"):
        for item in items:
            a, b = arrays(tmp_path / "one", item["name"]), arrays(tmp_path / other, item["name"])
            for key in ("label", "mask"):
                assert (a[key] == b[key]).mean() >= 0.999
            for key in ("probability", "uncertainty"):
                np.testing.assert_allclose(a[key], b[key], atol=1e-3)


def test_the_encoder_runs_once_a_photograph(network, items, refine, tmp_path):
    sizes, heads = [], []
    network.encoder.register_forward_hook(lambda _, inputs, __: sizes.append(len(inputs[0])))
    network.decoder.register_forward_hook(lambda _, __, output: heads.append(len(output)))
    refine(tmp_path, items, batch_size=2)
    assert sizes == heads == [2, 2, 1]


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


def test_heat_maps_only_add_uncertainty(network, items, refine, tmp_path):
    refine(tmp_path / "prob", items[:3])
    refine(tmp_path / "cam", items[:3], uncertainty="prob+cam")
    for item in items[:3]:
        plain, more = arrays(tmp_path / "prob", item["name"]), arrays(tmp_path / "cam", item["name"])
        assert (more["uncertainty"] >= plain["uncertainty"]).all()
        assert (more["uncertainty"] > plain["uncertainty"] + 0.01).any()
        one = expected_arrays(network, item["image"], item["name"])
        expected = one["uncertainty"].maximum(one["heat"].double().std(dim=0)).transpose(1, 2)
        np.testing.assert_allclose(more["uncertainty"], expected, atol=3e-3)
        np.testing.assert_array_equal(plain["label"], more["label"])


def test_a_deeper_layer_gives_pseudo_labels_too(items, refine, tmp_path):
    refine(tmp_path, items[:2], layer="decoder.blocks.2")
    assert all(arrays(tmp_path, f"p{i}")["mask"].any() for i in range(2))


def test_heat_maps_of_a_deeper_layer_are_refused_before_anything_runs(items, refine, tmp_path):
    with pytest.raises(ValueError, match=r"prob\+cam"):
        refine(tmp_path, items[:1], layer="decoder.blocks.1", uncertainty="prob+cam")


def test_unreadable_photographs_are_left_out(items, refine, tmp_path):
    PseudoLabelStore(tmp_path, "f").pending(items)
    refine(tmp_path, [None, None, items[0], None, items[1]], batch_size=2)
    assert sorted(path.name for path in (tmp_path / "pseudo_labels").iterdir()) == ["p0.npz", "p1.npz"]


@pytest.mark.parametrize(
    ("argument", "words"), [({"uncertainty": "entropy"}, "uncertainty must be"), ({"passes": 1}, "two passes")]
)
def test_bad_arguments_are_refused(items, refine, tmp_path, argument, words):
    with pytest.raises(ValueError, match=words):
        refine(tmp_path, items, **argument)
