"""Every variant of every format is read as another decoder reads it, or refused with a reason, and the page says so."""

from __future__ import annotations

import pytest

from bundle.stages import BUNDLE_ROOT

pytest.importorskip("imagecodecs", reason="needs pip install -e '.[formats]'")
pytest.importorskip("SimpleITK", reason="needs pip install -e '.[formats]'")
pytest.importorskip("png", reason="needs pip install -e '.[formats]'")

from tests.robustness.formats.table import all_outcomes, differences, page_with_table  # noqa: E402


def test_no_variant_is_read_differently_and_the_page_says_which_are_read():
    found = all_outcomes()
    assert differences(found) == []
    page = (BUNDLE_ROOT / "docs" / "reference" / "formats.md").read_text(encoding="utf-8")
    assert page == page_with_table(page, found), "run python -m tests.robustness.formats"


def test_the_table_counts_what_is_read_and_gives_the_reasons():
    found = {"TIFF": [("a", "same"), ("b", "different: by 3.00"), ("c", "refused: too odd: save it")]}
    assert differences(found) == ["TIFF, b: different: by 3.00"]
    lines = page_with_table("before\n<!-- formats -->\nold\n<!-- end of formats -->\nafter\n", found).splitlines()
    assert lines[0] == "before"
    assert "| TIFF | 3 | 1 | 1 | too odd |" in lines
    assert lines[-1] == "after"
