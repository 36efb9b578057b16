"""Pseudo-labels hold exactly what the method says, and depend on neither batches nor order."""

from __future__ import annotations

import numpy as np
import torch

from bundle.data.dataset import LeftOut
from bundle.refinement.pseudo_labels import PseudoLabelStore
from tests.support.refinement import (
    HEIGHT,
    KEYS,
    THRESHOLDS,
    WIDTH,
    arrays,
    expected_arrays,
)


def test_files_hold_what_the_method_says_upright(network, items, refine, tmp_path):
    refine(tmp_path, items)
    stored = torch.load(tmp_path / "prototypes.pt", weights_only=True)
    objects, background = stored["objects"], stored["background"]
    expected = {item["name"]: expected_arrays(network, item["image"], item["name"]) for item in items}
    for c in range(2):
        sums: dict[bool, list[torch.Tensor]] = {True: [], False: []}
        counts: dict[bool, list[torch.Tensor]] = {True: [], False: []}
        for one in expected.values():
            reliable = one["uncertainty"][c] < THRESHOLDS["uncertainty_threshold"]
            for is_object, p in ((True, one["probability"][c]), (False, 1 - one["probability"][c])):
                w = p * (reliable & (one["label"][c] == is_object))
                sums[is_object].append((w * one["features"][c]).sum(dim=(1, 2)))
                counts[is_object].append(w.sum())
        for is_object, prototypes in ((True, objects), (False, background)):
            mean = torch.stack(sums[is_object]).sum(dim=0) / torch.stack(counts[is_object]).sum()
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


def test_unreadable_photographs_are_left_out(items, refine, tmp_path):
    PseudoLabelStore(tmp_path, "f").pending(items)
    refine(tmp_path, [LeftOut("a"), LeftOut("b"), items[0], LeftOut("c"), items[1]], batch_size=2)
    assert sorted(path.name for path in (tmp_path / "pseudo_labels").iterdir()) == ["p0.npz", "p1.npz"]
