"""The page of the scores shows what the bundle and MONAI compute."""

from __future__ import annotations

import runpy
from importlib.metadata import version

import pytest

from bundle.stages import BUNDLE_ROOT

SCRIPT = runpy.run_path(str(BUNDLE_ROOT / "scripts" / "compare_metrics.py"))
PAGE = (BUNDLE_ROOT / "docs" / "reference" / "metrics.md").read_text(encoding="utf-8")
HEAD, _, *ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in PAGE.split("<!-- metrics -->\n")[1].split("<!-- end of metrics -->")[0].splitlines()
]


def test_the_table_has_every_pair_and_the_versions_in_use():
    assert [row[0] for row in ROWS] == list(SCRIPT["pairs"]())
    assert HEAD[1:3] == ["bundle", f"MONAI {version('monai')}"]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_the_numbers_of_bundle_and_monai_are_on_the_page(row):
    for name, shown in zip(("bundle", "MONAI"), row[1:], strict=False):
        _, measured = SCRIPT["LIBRARIES"][name]
        assert SCRIPT["cell"](measured, *SCRIPT["pairs"]()[row[0]]) == shown
