"""docs/reference/readers.md says what other programs make of our files: each row is run where its program is here."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bundle.stages import BUNDLE_ROOT
from tests.support.readers import END, ROWS, START, Row, write_files


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("highdicom")
    made = tmp_path_factory.mktemp("readers")
    write_files(made)
    return made


def described() -> dict[tuple[str, str], str]:
    """What the page says, by file and program."""
    text = (BUNDLE_ROOT / "docs" / "reference" / "readers.md").read_text(encoding="utf-8")
    table = text.partition(START)[2].partition(END)[0]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in re.findall(r"^\|.*\|$", table, re.M)]
    return {(file, program): outcome for file, program, _, outcome in cells[2:]}


def test_the_page_has_these_rows_in_this_order() -> None:
    assert list(described()) == [(row.file, row.program) for row in ROWS]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.program} on {row.file}")
def test_a_program_makes_of_a_file_what_the_page_says(row: Row, folder: Path) -> None:
    if not row.version():
        pytest.skip(f"{row.program} is not here: make test-archive")
    assert row.outcome(folder) == described()[row.file, row.program]
