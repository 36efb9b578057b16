"""Labels that say what they do not tell."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import pytest
import torch
from monai.data import MetaTensor

from bundle.data.partial_labels import NOT_CUP, RIM_OR_CUP, UNLABELLED, PartialLabeld
from bundle.errors import CallError

WHOLE = [0, 1, 2]


@pytest.mark.parametrize(
    ("structures", "wanted"),
    [("both", [0, 1, 2]), ("disc", [0, RIM_OR_CUP, RIM_OR_CUP]), ("cup", [NOT_CUP, NOT_CUP, 2])],
)
def test_the_missing_structure_is_left_open(structures, wanted):
    item: dict[Hashable, Any] = {"image": torch.zeros(3, 1, 3), "label": MetaTensor(torch.tensor([[WHOLE]]).float())}
    found = PartialLabeld()(item | {"structures": structures})["label"]
    assert found[0, 0].tolist() == wanted
    assert found.dtype == torch.float32
    assert item["label"][0, 0].tolist() == WHOLE


def test_a_photograph_without_label_gets_one_that_tells_nothing():
    image = MetaTensor(torch.rand(3, 4, 5), meta={"filename_or_obj": "eye.png"})
    found = PartialLabeld()({"image": image, "structures": "none"})["label"]
    assert found.shape == (1, 4, 5)
    assert (found == UNLABELLED).all()


def test_unknown_structures_are_refused():
    with pytest.raises(CallError, match="'macula'"):
        PartialLabeld()({"image": torch.zeros(3, 1, 1), "label": torch.zeros(1, 1, 1), "structures": "macula"})
