"""Label maps become nested masks."""

from __future__ import annotations

import torch

from bundle.transforms.label_maps import NestedRegionsd


def test_label_map_becomes_two_nested_masks():
    label = torch.tensor([[[0, 1, 2], [2, 0, 1]]])
    d = NestedRegionsd(keys=["label", "pred"], allow_missing_keys=True)({"label": label, "name": "a"})
    assert d["name"] == "a"
    assert d["label"].dtype == torch.uint8
    assert d["label"].tolist() == [[[0, 1, 1], [1, 0, 1]], [[0, 0, 1], [1, 0, 0]]]
