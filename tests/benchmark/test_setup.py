"""Which photographs a stage gets, as a component of its config."""

from __future__ import annotations

from typing import Any

import pytest
from monai.bundle import ConfigParser

from bundle.benchmark.plan import CEILING
from bundle.benchmark.setup import Setup, chosen_photographs
from bundle.data.listing import list_photographs
from bundle.data.splits import split_source
from bundle.stages import BUNDLE_ROOT
from bundle.synthetic.phantoms.photographs import write_dataset


@pytest.fixture
def parser(tmp_path):
    write_dataset(tmp_path, 6, kind="crop", size=64)
    parser = ConfigParser()
    parser.read_config(BUNDLE_ROOT / "configs" / "train.json")
    parser.update({"dataset_dir": str(tmp_path)})
    return parser


def test_the_ceiling_trains_on_all_photographs(parser, tmp_path):
    parser.update({"items": Setup(tmp_path, tmp_path).items("required"), **CEILING})
    training, validation = parser.get_parsed_content("split")
    assert len(training) == 6
    assert len(validation) == 4
    assert all("label" in item for item in training)


def test_a_limit_and_the_held_out_part_reach_the_config(parser, tmp_path):
    cases: list[tuple[Any, bool, int | None, int]] = [("none", False, 2, 2), ("required", True, None, 1)]
    for labels, of_validation, most, expected in cases:
        parser.update({"items": Setup(tmp_path, tmp_path, images=most).items(labels, of_validation)})
        parser.parse(reset=True)
        items = parser.get_parsed_content("items")
        assert len(items) == expected
        assert all(("label" in item) == (labels == "required") for item in items)
    held_out = split_source(list_photographs(tmp_path, labels="required"), 0.2, 0)[1]
    assert chosen_photographs(tmp_path, "required", held_out=True) == held_out
