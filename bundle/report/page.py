"""``report.html``, one page for readers."""

from __future__ import annotations

import base64
import io
import math
import os
import re
from collections.abc import Sequence
from pathlib import Path
from string import Template
from urllib.parse import quote

from PIL import Image

from bundle.io.files import atomic_write
from bundle.morphometry.rims import Rims
from bundle.report.histogram import histogram_svg
from bundle.report.markup import DASH, html_text, shown_number
from bundle.report.overlays import Outlines
from bundle.report.tables import COLUMNS, RIM_COLUMNS, csv_cell, rim_cells, write_csv
from bundle.results import STATUSES, Entry, Row, count_statuses, photograph_count

__all__ = ["Report"]

_STATUS_NAMES = {"ok": "OK", "review": "Review", "no_disc": "No disc", "unreadable": "Unreadable"}
_STATUS_SIGNS = {"ok": "\u2713", "review": "!", "no_disc": "\u2205", "unreadable": "\u2715"}
_NEED_OF_REVIEW = ("unreadable", "no_disc", "review", "ok")


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
            write_csv(path, COLUMNS, ([csv_cell(row, column) for column in COLUMNS] for row in rows))
        with atomic_write(self.output_dir / "measurements.csv") as path:
            write_csv(path, RIM_COLUMNS, map(rim_cells, rows, rims))
        with atomic_write(self.output_dir / "report.html") as path:
            self._write_html(Path(path), rows, entries)
        return count_statuses(rows)

    def _write_html(self, path: Path, rows: Sequence[Row], entries: Sequence[Entry]) -> None:
        head, card, tail = re.split(r"<!-- /?card -->\n", Path(__file__).with_name("page.html").read_text("utf-8"))
        values = {
            "title": html_text(self.title),
            "photographs": photograph_count(len(rows)),
            "model": html_text(self.model) or DASH,
            "counts": "".join(_count(status, number) for status, number in count_statuses(rows).items()),
            "filters": "\n".join(_filter(status) for status in STATUSES),
            "histogram": histogram_svg(rows),
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
        "folder": f"<span>{html_text(folder + slash)}</span>" if folder else "",
        "name": html_text(name),
        "label": html_text(row.image),
        "find": html_text(f"{row.image} {row.reason}".lower()),
        "picture": _picture(row, entry.jpeg, entry.outlines) if entry.jpeg else _no_picture(row),
        "empty": "" if entry.jpeg else " empty",
        "reason": f'<p class="reason">{html_text(row.reason)}</p>' if row.reason.strip() else "",
        "vcdr": shown_number(row.vcdr, 2),
        "hcdr": shown_number(row.hcdr, 2),
        "area_cdr": shown_number(row.area_cdr, 2),
        "disc_height": shown_number(row.disc_height_px, 1, "\u00a0px"),
        "cup_height": shown_number(row.cup_height_px, 1, "\u00a0px"),
        "uncertainty": shown_number(row.uncertainty, 3),
        "rims": _rim_list(entry.rims),
        "links": "".join(_link(text, target) for text, target in links.items() if target),
    }


def _need_of_review(row: Row) -> tuple[int, float, str]:
    uncertainty = -math.inf if math.isnan(row.uncertainty) else row.uncertainty
    return _NEED_OF_REVIEW.index(row.status), -uncertainty, row.image


def _picture(row: Row, jpeg: bytes, outlines: Outlines | None) -> str:
    with Image.open(io.BytesIO(jpeg)) as picture:
        width, height = picture.size
    shown = "Optic disc of" if math.isfinite(row.vcdr) else "Photograph"
    data = base64.b64encode(jpeg).decode("ascii")
    return (
        f'<img loading="lazy" decoding="async" width="{width}" height="{height}" '
        f'alt="{shown} {html_text(row.image)}" src="data:image/jpeg;base64,{data}">{_contours(outlines)}'
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
    entries |= {f"Rim {name}": shown_number(width, 1, "\u00a0px") for name, width in widths.items()}
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
