"""Items have names, and go together with the outputs that were made of them."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from ignite.engine import Engine
from monai.data import MetaTensor

from bundle.data.items import finished_items, item_name


def test_an_item_without_a_name_is_called_by_its_file():
    path = "folder/a.b.png"
    assert item_name({"image": path, "name": "other"}) == "other"
    assert item_name({"image": path}) == "a.b.png"
    assert item_name({"image": MetaTensor(torch.zeros(3, 2, 2), meta={"filename_or_obj": path})}) == "a.b.png"


def test_items_go_with_their_outputs_and_none_is_lost():
    engine = Engine(lambda *_: None)
    state: Any = engine.state
    state.batch, state.output = [{"name": "a"}, {"name": "b"}], [{"pred": 1}, {"pred": 2}]
    assert [(item["name"], output["pred"]) for item, output in finished_items(engine)] == [("a", 1), ("b", 2)]
    state.output.pop()
    with pytest.raises(ValueError, match="shorter"):
        list(finished_items(engine))
