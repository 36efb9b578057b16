"""Tables for programs: ``report.csv`` and ``measurements.csv``.

The columns of ``report.csv`` never change, for scripts rely on them; what is measured beyond them goes to
``measurements.csv``.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Sequence
from pathlib import Path

from bundle.morphometry.rims import Rims
from bundle.results import Row

__all__ = ["COLUMNS", "RIM_COLUMNS", "csv_cell", "rim_cells", "write_csv"]

COLUMNS = (
    "image",
    "status",
    "vcdr",
    "hcdr",
    "area_cdr",
    "disc_x",
    "disc_y",
    "disc_height_px",
    "cup_height_px",
    "uncertainty",
    "reason",
)
RIM_COLUMNS = (
    "image",
    "laterality",
    "laterality_source",
    "rim_inferior_px",
    "rim_superior_px",
    "rim_nasal_px",
    "rim_temporal_px",
    "rim_left_px",
    "rim_right_px",
)
_DECIMALS = {column: 4 for column in ("vcdr", "hcdr", "area_cdr", "uncertainty")} | {
    column: 2 for column in ("disc_x", "disc_y", "disc_height_px", "cup_height_px")
}


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    # Undecodable bytes of a file name reach Python as lone surrogates, which UTF-8 cannot hold.
    with path.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)


def rim_cells(row: Row, rims: Rims) -> list[str]:
    """The cells of ``RIM_COLUMNS``."""
    widths = (rims.inferior, rims.superior, rims.nasal, rims.temporal, rims.left, rims.right)
    cells = [f"{width:.2f}" if math.isfinite(width) else "" for width in widths]
    return [csv_cell(row, "image"), *rims.laterality, *cells]


def csv_cell(row: Row, column: str) -> str:
    value = getattr(row, column)
    if column in _DECIMALS:
        return f"{value:.{_DECIMALS[column]}f}" if math.isfinite(value) else ""
    # A spreadsheet would run a name such as =HYPERLINK(...) as a formula; the apostrophe makes it text.
    guard = "'" if value.startswith(("=", "+", "-", "@", "\t", "\r", "\n")) else ""
    # The csv module leaves a lone carriage return unquoted, and readers take it for the end of the row.
    return guard + value.replace("\r", r"\r")
