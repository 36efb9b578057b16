"""A pseudo-label file takes the place of its path."""

from __future__ import annotations

from typing import Any

import numpy as np

from bundle.transforms.pseudo_labels import LoadPseudoLabeld


def test_pseudo_labels_take_the_place_of_their_path(tmp_path):
    rng = np.random.default_rng(0)
    arrays: dict[str, Any] = {
        key: rng.random((2, 4, 6)) > 0.5 for key in ("label", "mask", "probability", "uncertainty")
    }
    np.savez(tmp_path / "a.npz", **arrays)
    d = LoadPseudoLabeld("pseudo_label")({"pseudo_label": str(tmp_path / "a.npz"), "name": "a"})
    assert set(d) == {"label", "mask", "probability", "name"}
    for key in ("label", "mask", "probability"):
        np.testing.assert_array_equal(d[key].numpy(), arrays[key].transpose(0, 2, 1))
