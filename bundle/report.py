"""The report on a folder of photographs: tables for programs and ``report.html``, one page, for readers.

The columns of ``report.csv`` never change, for scripts rely on them; what is measured beyond them goes to
``measurements.csv``.
"""

from __future__ import annotations

import base64
import csv
import html
import io
import itertools
import math
import os
import re
import statistics
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from string import Template
from typing import Any
from urllib.parse import quote

from PIL import Image

from bundle.folders import atomic_write
from bundle.laterality import Laterality
from bundle.measurements import Measurements
from bundle.overlays import Outlines
from bundle.rims import Rims

__all__ = [
    "COLUMNS",
    "RIM_COLUMNS",
    "STATUSES",
    "Entry",
    "Report",
    "Row",
    "count_statuses",
    "small_jpeg",
    "summary_line",
]

STATUSES = ("ok", "review", "no_disc", "unreadable")
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
_STATUS_NAMES = {"ok": "OK", "review": "Review", "no_disc": "No disc", "unreadable": "Unreadable"}
_STATUS_SIGNS = {"ok": "\u2713", "review": "!", "no_disc": "\u2205", "unreadable": "\u2715"}
_NEED_OF_REVIEW = ("unreadable", "no_disc", "review", "ok")
_THUMBNAIL_SIDE = 512
_THUMBNAIL_QUALITIES = (85, 75, 65, 50)
_THUMBNAIL_BYTES = 26_000
"""The largest close-up. In base64 and with its contours it stays below 40 kB, so that hundreds fit on one page."""
_BINS = 20
_DASH = "\u2013"


@dataclass
class Row:
    """One photograph's line in the report; NaN stands for what could not be measured.

    Args:
        image: path relative to the folder of photographs, in posix form.
        status: one of ``STATUSES``.
        vcdr: vertical cup-to-disc ratio.
        hcdr: horizontal cup-to-disc ratio.
        area_cdr: area cup-to-disc ratio.
        disc_x: x of the disc's centroid in pixels of the photograph.
        disc_y: y of the disc's centroid in pixels of the photograph.
        disc_height_px: height of the disc in pixels of the photograph.
        cup_height_px: height of the cup in pixels of the photograph.
        uncertainty: the larger, the more a reader's look is needed.
        reason: why the status is not ``ok``, in words.

    Raises:
        ValueError: if the status is none of ``STATUSES``.
    """

    image: str
    status: str
    vcdr: float = math.nan
    hcdr: float = math.nan
    area_cdr: float = math.nan
    disc_x: float = math.nan
    disc_y: float = math.nan
    disc_height_px: float = math.nan
    cup_height_px: float = math.nan
    uncertainty: float = math.nan
    reason: str = ""

    def __post_init__(self) -> None:
        if self.status not in STATUSES:
            raise ValueError(f"status {self.status!r} is none of {', '.join(STATUSES)}")

    @classmethod
    def of(
        cls, image: str, status: str, measured: Measurements, uncertainty: float = math.nan, reason: str = ""
    ) -> Row:
        """A row with the values that were measured on the photograph's label map."""
        names = {field.name for field in fields(cls)} & {field.name for field in fields(measured)}
        values = {name: getattr(measured, name) for name in names}
        return cls(image, status, uncertainty=uncertainty, reason=reason, **values)


@dataclass(frozen=True)
class Entry:
    """A photograph's part of the report.

    Args:
        row: what is known of the photograph.
        jpeg: the card's picture; empty for none.
        mask_name: path of the mask relative to the report's folder, in posix form, e.g. ``masks/a.png``.
        overlay_name: path of the overlay, likewise.
        outlines: contours that the page lays over the picture and can hide.
        rims: widths of the rim and which eye it is.
    """

    row: Row
    jpeg: bytes = b""
    mask_name: str | None = None
    overlay_name: str | None = None
    outlines: Outlines | None = None
    rims: Rims = Rims()

    def to_json(self) -> dict[str, Any]:
        """What ``from_json`` makes the same entry of; it goes into JSON."""
        return asdict(self) | {"jpeg": base64.b64encode(self.jpeg).decode("ascii")}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Entry:
        """The entry that ``to_json`` was called on."""
        rims = {**content["rims"], "laterality": Laterality(*content["rims"]["laterality"])}
        return cls(
            Row(**content["row"]),
            base64.b64decode(content["jpeg"]),
            content["mask_name"],
            content["overlay_name"],
            content["outlines"] and Outlines(*content["outlines"]),
            Rims(**rims),
        )


def small_jpeg(picture: Image.Image) -> bytes:
    """The picture as a JPEG of at most 26 kB for an ``Entry``: the best quality that fits, then fewer pixels."""
    picture = picture.convert("RGB")
    side = _THUMBNAIL_SIDE
    while True:
        reduced = picture.copy()
        reduced.thumbnail((side, side))
        for quality in _THUMBNAIL_QUALITIES:
            file = io.BytesIO()
            reduced.save(file, "JPEG", quality=quality, optimize=True)
            if file.tell() <= _THUMBNAIL_BYTES:
                return file.getvalue()
        side = side * 3 // 4


def count_statuses(rows: Iterable[Row]) -> dict[str, int]:
    """Number of photographs for every status of ``STATUSES``, in that order."""
    found = Counter(row.status for row in rows)
    return {status: found[status] for status in STATUSES}


def summary_line(counts: Mapping[str, int]) -> str:
    """One line such as ``12 photographs: 9 ok, 2 review, 1 no_disc, 0 unreadable``."""
    return f"{_photographs(sum(counts.values()))}: " + ", ".join(
        f"{number} {status}" for status, number in counts.items()
    )


class Report:
    """Writes ``report.csv``, ``measurements.csv`` and ``report.html``.

    The same entries give the same bytes, whenever and in however many runs they were made.

    Args:
        output_dir: folder of the report, made if it is missing.
        title: heading of the page.
        model: which model drew the contours, in words for the page.
    """

    def __init__(self, output_dir: str | os.PathLike[str], title: str = "Optic disc and cup", model: str = "") -> None:
        self.output_dir = Path(output_dir)
        self.title = title
        self.model = model

    def write(self, entries: Sequence[Entry]) -> dict[str, int]:
        """Write all files, each whole or not at all.

        Args:
            entries: one a photograph, in the order of the tables. Each is looked at twice and none is kept, so a
                sequence that reads them from disk needs no memory for their pictures.

        Returns:
            ``count_statuses`` of them.
        """
        rows, rims = [], []
        for entry in entries:
            rows.append(entry.row)
            rims.append(entry.rims)
        with atomic_write(self.output_dir / "report.csv") as path:
            _write_csv(path, COLUMNS, ([_cell(row, column) for column in COLUMNS] for row in rows))
        with atomic_write(self.output_dir / "measurements.csv") as path:
            _write_csv(path, RIM_COLUMNS, map(_rim_cells, rows, rims))
        with atomic_write(self.output_dir / "report.html") as path:
            self._write_html(Path(path), rows, entries)
        return count_statuses(rows)

    def _write_html(self, path: Path, rows: Sequence[Row], entries: Sequence[Entry]) -> None:
        head, card, tail = re.split(
            r"<!-- /?card -->\n", Path(__file__).with_name("report_page.html").read_text("utf-8")
        )
        values = {
            "title": _text(self.title),
            "photographs": _photographs(len(rows)),
            "model": _text(self.model) or _DASH,
            "counts": "".join(_count(status, number) for status, number in count_statuses(rows).items()),
            "filters": "\n".join(_filter(status) for status in STATUSES),
            "histogram": _histogram(rows),
        }
        with path.open("w", encoding="utf-8", errors="backslashreplace", newline="\n") as file:
            file.write(Template(head).substitute(values))
            for index in sorted(range(len(rows)), key=lambda index: _need_of_review(rows[index])):
                file.write(Template(card).substitute(_card(entries[index])))
            file.write(Template(tail).substitute(values))


def _card(entry: Entry) -> dict[str, str]:
    row = entry.row
    folder, slash, name = row.image.rpartition("/")
    links = {"Overlay": entry.overlay_name, "Mask": entry.mask_name}
    return {
        "status": row.status,
        "status_name": _STATUS_NAMES[row.status],
        "sign": _STATUS_SIGNS[row.status],
        "folder": f"<span>{_text(folder + slash)}</span>" if folder else "",
        "name": _text(name),
        "label": _text(row.image),
        "find": _text(f"{row.image} {row.reason}".lower()),
        "picture": _picture(row, entry.jpeg, entry.outlines) if entry.jpeg else _no_picture(row),
        "empty": "" if entry.jpeg else " empty",
        "reason": f'<p class="reason">{_text(row.reason)}</p>' if row.reason.strip() else "",
        "vcdr": _number(row.vcdr, 2),
        "hcdr": _number(row.hcdr, 2),
        "area_cdr": _number(row.area_cdr, 2),
        "disc_height": _number(row.disc_height_px, 1, "\u00a0px"),
        "cup_height": _number(row.cup_height_px, 1, "\u00a0px"),
        "uncertainty": _number(row.uncertainty, 3),
        "rims": _rim_list(entry.rims),
        "links": "".join(_link(text, target) for text, target in links.items() if target),
    }


def _photographs(number: int) -> str:
    return f"{number} photograph{'' if number == 1 else 's'}"


def _write_csv(path: Path, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    # Undecodable bytes of a file name reach Python as lone surrogates, which UTF-8 cannot hold.
    with path.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)


def _rim_cells(row: Row, rims: Rims) -> list[str]:
    """The cells of ``RIM_COLUMNS``."""
    widths = (rims.inferior, rims.superior, rims.nasal, rims.temporal, rims.left, rims.right)
    cells = [f"{width:.2f}" if math.isfinite(width) else "" for width in widths]
    return [_cell(row, "image"), *rims.laterality, *cells]


def _cell(row: Row, column: str) -> str:
    value = getattr(row, column)
    if column in _DECIMALS:
        return f"{value:.{_DECIMALS[column]}f}" if math.isfinite(value) else ""
    # A spreadsheet would run a name such as =HYPERLINK(...) as a formula; the apostrophe makes it text.
    guard = "'" if value.startswith(("=", "+", "-", "@", "\t", "\r", "\n")) else ""
    # The csv module leaves a lone carriage return unquoted, and readers take it for the end of the row.
    return guard + value.replace("\r", r"\r")


def _need_of_review(row: Row) -> tuple[int, float, str]:
    uncertainty = -math.inf if math.isnan(row.uncertainty) else row.uncertainty
    return _NEED_OF_REVIEW.index(row.status), -uncertainty, row.image


def _text(value: str) -> str:
    r"""Escape for HTML text and quoted attributes; control characters, which HTML forbids or folds, as e.g. ``\n``."""
    visible = "".join(
        repr(character)[1:-1] if character < " " or character == "\x7f" else character for character in value
    )
    return html.escape(visible, quote=True)


def _number(value: float, decimals: int, unit: str = "") -> str:
    return f"{value:.{decimals}f}{unit}" if math.isfinite(value) else _DASH


def _picture(row: Row, jpeg: bytes, outlines: Outlines | None) -> str:
    with Image.open(io.BytesIO(jpeg)) as picture:
        width, height = picture.size
    shown = "Optic disc of" if math.isfinite(row.vcdr) else "Photograph"
    data = base64.b64encode(jpeg).decode("ascii")
    return (
        f'<img loading="lazy" decoding="async" width="{width}" height="{height}" '
        f'alt="{shown} {_text(row.image)}" src="data:image/jpeg;base64,{data}">{_contours(outlines)}'
    )


def _contours(outlines: Outlines | None) -> str:
    """Both contours as an SVG to lay over the picture, each with the dark edge that keeps it visible on any ground."""
    if outlines is None:
        return ""
    paths = "".join(
        f'<path class="{name} halo" d="{path}"/><path class="{name}" d="{path}"/>'
        for name, path in (("disc", outlines.disc), ("cup", outlines.cup))
        if path
    )
    return f'<svg class="contours" viewBox="0 0 {outlines.width} {outlines.height}" aria-hidden="true">{paths}</svg>'


def _no_picture(row: Row) -> str:
    text = "Could not be read" if row.status == "unreadable" else "No picture"
    return f'<span><span aria-hidden="true">{_STATUS_SIGNS[row.status]}</span>{text}</span>'


def _rim_list(rims: Rims) -> str:
    """The eye and the rim's widths, by the picture's sides if the eye is unknown; nothing if nothing is known."""
    eye, source = rims.laterality
    sides = (
        {"left of picture": rims.left, "right of picture": rims.right}
        if eye == "unknown"
        else {"nasal": rims.nasal, "temporal": rims.temporal}
    )
    widths = {"inferior": rims.inferior, "superior": rims.superior} | sides
    if eye == "unknown" and not any(map(math.isfinite, widths.values())):
        return ""
    entries = {"Eye": f"{eye} ({source})" if source == "guessed" else eye}
    entries |= {f"Rim {name}": _number(width, 1, "\u00a0px") for name, width in widths.items()}
    listed = "".join(f"<dt>{name}</dt><dd>{value}</dd>\n" for name, value in entries.items())
    return f'<dl class="rims">\n{listed}</dl>\n'


def _link(text: str, name: str) -> str:
    # The leading ./ keeps a name such as "//host" or "data:x" from being read as anything but a path.
    return f'<a href="./{quote(os.fsencode(name).lstrip(b"/"))}">{text}</a>'


def _count(status: str, number: int) -> str:
    none = "" if number else " none"
    chip = f'<span class="chip"><span aria-hidden="true">{_STATUS_SIGNS[status]}</span>{_STATUS_NAMES[status]}</span>'
    return f'<li class="count {status}{none}"><b>{number}</b>{chip}</li>'


def _filter(status: str) -> str:
    return f'<button type="button" data-status="{status}" aria-pressed="false">{_STATUS_NAMES[status]}</button>'


def _histogram(rows: Sequence[Row]) -> str:
    """The vertical cup-to-disc ratios as an SVG with its caption; ``review`` is stacked on ``ok``."""
    measured = [row for row in rows if math.isfinite(row.vcdr) and row.status in ("ok", "review")]
    bins = Counter((min(max(int(row.vcdr * _BINS), 0), _BINS - 1), row.status) for row in measured)
    tallest = max([1, *(bins[index, "ok"] + bins[index, "review"] for index in range(_BINS))])
    median = statistics.median(row.vcdr for row in measured) if measured else math.nan
    label = f"Histogram of the vertical cup-to-disc ratio of {len(measured)} photographs, median {_number(median, 2)}"
    return (
        f'<svg viewBox="0 0 520 190" role="img" aria-label="{label}">{"".join(_histogram_marks(bins, tallest, median))}'
        "</svg><figcaption><span><b>Vertical cup-to-disc ratio</b></span>"
        '<span><span class="swatch"></span>OK</span><span><span class="swatch review"></span>Review</span>'
        f"<span>median <b>{_number(median, 2)}</b></span></figcaption>"
    )


def _histogram_marks(bins: Counter[tuple[int, str]], tallest: int, median: float) -> Iterator[str]:
    left, right, top, bottom = 30.0, 510.0, 14.0, 164.0
    step, unit = (right - left) / _BINS, (bottom - top) / tallest
    for tick in range(0, tallest + 1, _tick_step(tallest)):
        y = bottom - tick * unit
        yield f'<line class="axis" x1="{left}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}"/>'
        yield f'<text x="{left - 8}" y="{y + 4:.1f}" text-anchor="end">{tick}</text>'
    for index in range(_BINS):
        low, high = index / _BINS, (index + 1) / _BINS
        y = bottom
        for status in ("ok", "review"):
            count = bins[index, status]
            y -= count * unit
            if count:
                yield (
                    f'<rect class="{status}" x="{left + index * step + 1.5:.1f}" y="{y:.1f}" width="{step - 3:.1f}" '
                    f'height="{count * unit:.1f}"><title>{low:.2f} to {high:.2f}: {count}</title></rect>'
                )
    for tenth in range(0, 11, 2):
        yield f'<text x="{left + tenth / 10 * (right - left):.1f}" y="182" text-anchor="middle">{tenth / 10:.1f}</text>'
    if math.isfinite(median):
        x = left + min(max(median, 0.0), 1.0) * (right - left)
        yield f'<line class="median" x1="{x:.1f}" x2="{x:.1f}" y1="{top - 8}" y2="{bottom}"/>'


def _tick_step(tallest: int) -> int:
    """The smallest of 1, 2, 5, 10, 20, 50, ... that needs no more than four steps to the tallest bar."""
    return next(
        step for power in itertools.count() for step in (10**power, 2 * 10**power, 5 * 10**power) if 4 * step >= tallest
    )
