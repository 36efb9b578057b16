"""Tables for programs: ``report.csv`` and ``measurements.csv``.

The columns of ``report.csv`` never change, for scripts rely on them; what is measured beyond them goes to
``measurements.csv``.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Sequence
from dataclasses import astuple
from pathlib import Path

from bundle.io.files import atomic_write
from bundle.morphometry.rims import Rims
from bundle.results import Segmentation

__all__ = ["COLUMNS", "RIM_COLUMNS", "write_measurements_table", "write_report_table", "write_selection_table"]

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
    "vcdr_low",
    "vcdr_high",
    "disc_height_mm",
    "disc_width_mm",
    "cup_height_mm",
    "cup_width_mm",
    "disc_area_mm2",
    "cup_area_mm2",
    "rim_inferior_mm",
    "rim_superior_mm",
    "rim_nasal_mm",
    "rim_temporal_mm",
    "rim_left_mm",
    "rim_right_mm",
    "brightness",
    "overexposed",
    "sharpness",
    "disc_cut",
    "disc_confidence",
    "discs",
    "norm_distance",
    "fundus_distance",
)
SELECTION_COLUMNS = ("rank", "image", "vcdr")
"""Columns of ``selection.csv``."""
_DECIMALS = {"vcdr": 4, "hcdr": 4, "area_cdr": 4, "disc_x": 2, "disc_y": 2, "disc_height_px": 2, "cup_height_px": 2}
"""Of each measurement."""


def write_report_table(path: Path, results: Iterable[Segmentation]) -> None:
    """Write ``report.csv``: a row for each photograph with its status and its cup-to-disc ratios."""
    _write_csv(path, COLUMNS, map(_report_cells, results))


def write_selection_table(path: Path, chosen: Sequence[Segmentation]) -> None:
    """Write ``selection.csv``: a row for each photograph that is worth correcting, the first one first."""
    rows = (
        [str(rank), _text(result.image), _number(result.measurements.vcdr, 4)] for rank, result in enumerate(chosen, 1)
    )
    _write_csv(path, SELECTION_COLUMNS, rows)


def write_measurements_table(path: Path, results: Iterable[Segmentation]) -> None:
    """Write ``measurements.csv``: a row for each photograph: rims, eye, the ratio's interval, sizes in mm, quality."""
    _write_csv(path, RIM_COLUMNS, map(_rim_cells, results))


def _write_csv(path: Path, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    # Undecodable bytes of a file name reach Python as lone surrogates, which UTF-8 cannot hold.
    with (
        atomic_write(path) as temporary,
        temporary.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file,
    ):
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)


def _report_cells(result: Segmentation) -> list[str]:
    measured = [_number(getattr(result.measurements, name), decimals) for name, decimals in _DECIMALS.items()]
    return [_text(result.image), result.status, *measured, _number(result.uncertainty, 4), _text(result.reason)]


def _rim_cells(result: Segmentation) -> list[str]:
    ends = (_number(end, 4) for end in result.vcdr_interval)
    sizes = (_number(size, 4) for size in astuple(result.millimetres))
    quality = (_number(value, 0 if name == "discs" else 4) for name, value in result.quality._asdict().items())
    in_pixels = (_number(width, 2) for width in _widths(result.rims))
    in_mm = (_number(width, 4) for width in _widths(result.rims_mm))
    return [_text(result.image), *result.rims.laterality, *in_pixels, *ends, *sizes, *in_mm, *quality]


def _widths(rims: Rims) -> tuple[float, ...]:
    return rims.inferior, rims.superior, rims.nasal, rims.temporal, rims.left, rims.right


def _number(value: float, decimals: int) -> str:
    return f"{value:.{decimals}f}" if math.isfinite(value) else ""


def _text(value: str) -> str:
    # A spreadsheet would run a name such as =HYPERLINK(...) as a formula; the apostrophe makes it text.
    guard = "'" if value.startswith(("=", "+", "-", "@", "\t", "\r", "\n")) else ""
    # The csv module leaves a lone carriage return unquoted, and readers take it for the end of the row.
    return guard + value.replace("\r", r"\r")
