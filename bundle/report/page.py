"""``report.html``, one page for readers."""

# Markup has its own quotes.
# flake8: noqa: B907

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
from bundle.report.interval_bar import interval_bar
from bundle.report.markup import DASH, html_text, shown_number
from bundle.report.outlines import Outlines
from bundle.report.pictures import Pictures
from bundle.results import STATUSES, Segmentation, count_statuses, photograph_count

__all__ = ["write_page"]

_STATUS_NAMES = {"ok": "Not flagged", "review": "Review", "no_disc": "No disc", "unreadable": "Unreadable"}
_STATUS_SIGNS = {"ok": "\u2713", "review": "!", "no_disc": "\u2205", "unreadable": "\u2715"}
_NEED_OF_REVIEW = ("unreadable", "no_disc", "review", "ok")


def write_page(
    path: Path,
    results: Sequence[Segmentation],
    entries: Sequence[tuple[Segmentation, Pictures]],
    model: str,
    title: str,
    to_correct: Sequence[str] = (),
) -> None:
    """Write the page, whole or not at all.

    Args:
        path: its file.
        results: of all photographs, in the order of the tables.
        entries: the same with their pictures; each is looked at once and not kept.
        model: which model drew the contours, in words.
        title: heading of the page.
        to_correct: names of the photographs to correct first, for a reader who draws cups otherwise.
    """
    head, card, tail = re.split(r"<!-- /?card -->\n", Path(__file__).with_name("page.html").read_text("utf-8"))
    values = {
        "title": html_text(title),
        "photographs": photograph_count(len(results)),
        "model": html_text(model) or DASH,
        "counts": "".join(_count(status, number) for status, number in count_statuses(results).items()),
        "filters": "\n".join(_filter(status) for status in STATUSES),
        "histogram": histogram_svg(results),
        "to_correct": _to_correct(to_correct),
    }
    with (
        atomic_write(path) as temporary,
        temporary.open("w", encoding="utf-8", errors="backslashreplace", newline="\n") as file,
    ):
        file.write(Template(head).substitute(values))
        for index in sorted(range(len(results)), key=lambda index: _need_of_review(results[index])):
            file.write(Template(card).substitute(_card(*entries[index])))
        file.write(Template(tail).substitute(values))


def _to_correct(names: Sequence[str]) -> str:
    if len(names) < 2:
        return ""
    listed = ", ".join(f"<b>{html_text(name)}</b>" for name in names)
    return (
        '<p class="correct">Do your readers draw cups otherwise? Correct these first, whose cups go from small to '
        f"large, and adapt again with <code>--few_labels</code>: {listed} "
        '(<a href="./selection.csv">selection.csv</a>).</p>'
    )


def _card(result: Segmentation, pictures: Pictures) -> dict[str, str]:
    folder, slash, name = result.image.rpartition("/")
    links = {"Overlay": pictures.overlay, "Mask file": pictures.mask, "DICOM report": pictures.structured_report}
    measured = result.measurements
    return {
        "status": result.status,
        "status_name": _STATUS_NAMES[result.status],
        "sign": _STATUS_SIGNS[result.status],
        "folder": f"<span>{html_text(folder + slash)}</span>" if folder else "",
        "name": html_text(name),
        "label": html_text(result.image),
        "find": html_text(f"{result.image} {result.reason}".lower()),
        "picture": _picture(result, pictures) if pictures.jpeg else _no_picture(result.status),
        "empty": "" if pictures.jpeg else " empty",
        "reason": f'<p class="reason">{html_text(result.reason)}</p>' if result.reason.strip() else "",
        "vcdr": shown_number(measured.vcdr, 2),
        "interval": interval_bar(measured.vcdr, result.vcdr_interval),
        "hcdr": shown_number(measured.hcdr, 2),
        "area_cdr": shown_number(measured.area_cdr, 2),
        "disc_height": _length(measured.disc_height_px, result.millimetres.disc_height_mm),
        "cup_height": _length(measured.cup_height_px, result.millimetres.cup_height_mm),
        "uncertainty": shown_number(result.uncertainty, 3),
        "rims": _rim_list(result.rims, result.rims_mm),
        "links": "".join(_link(text, target) for text, target in links.items() if target) + _fill(pictures.outlines),
    }


def _need_of_review(result: Segmentation) -> tuple[int, float, str]:
    uncertainty = -math.inf if math.isnan(result.uncertainty) else result.uncertainty
    return _NEED_OF_REVIEW.index(result.status), -uncertainty, result.image


def _picture(result: Segmentation, pictures: Pictures) -> str:
    with Image.open(io.BytesIO(pictures.jpeg)) as picture:
        width, height = picture.size
    shown = "Optic disc of" if math.isfinite(result.measurements.vcdr) else "Photograph"
    data = base64.b64encode(pictures.jpeg).decode("ascii")
    return (
        f'<img loading="lazy" decoding="async" width="{width}" height="{height}" '
        f'alt="{shown} {html_text(result.image)}" src="data:image/jpeg;base64,{data}">{_contours(pictures.outlines)}'
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


def _no_picture(status: str) -> str:
    text = "Could not be read" if status == "unreadable" else "No picture"
    return f'<span><span aria-hidden="true">{_STATUS_SIGNS[status]}</span>{text}</span>'


def _length(pixels: float, millimetres: float) -> str:
    """A length in pixels and, if it is known, in millimetres."""
    known = shown_number(millimetres, 2, "\u00a0mm") if math.isfinite(millimetres) else ""
    return shown_number(pixels, 1, "\u00a0px") + (f" ({known})" if known else "")


def _rim_list(rims: Rims, in_mm: Rims) -> str:
    """The eye and the rim's widths, by the picture's sides if the eye is unknown; nothing if nothing is known."""
    eye, source = rims.laterality
    sides = (
        {"left of picture": "left", "right of picture": "right"}
        if eye == "unknown"
        else {"nasal": "nasal", "temporal": "temporal"}
    )
    names = {"inferior": "inferior", "superior": "superior"} | sides
    widths = {shown: (getattr(rims, name), getattr(in_mm, name)) for shown, name in names.items()}
    if eye == "unknown" and not any(math.isfinite(width) for width, _ in widths.values()):
        return ""
    entries = {"Eye": f"{eye} ({source})" if source == "guessed" else eye}
    entries |= {f"Rim {name}": _length(*width) for name, width in widths.items()}
    listed = "".join(f"<dt>{name}</dt><dd>{value}</dd>\n" for name, value in entries.items())
    return f'<dl class="rims">\n{listed}</dl>\n'


def _link(text: str, name: str) -> str:
    # The leading ./ keeps a name such as "//host" or "data:x" from being read as anything but a path.
    return f'<a href="./{quote(os.fsencode(name).lstrip(b"/"))}">{text}</a>'


def _fill(outlines: Outlines | None) -> str:
    """What shows the mask in colours; its file holds the values 0, 1 and 2, which look black."""
    return "" if outlines is None else '<button type="button" class="fill" hidden>Mask in colours</button>'


def _count(status: str, number: int) -> str:
    none = "" if number else " none"
    chip = f'<span class="chip"><span aria-hidden="true">{_STATUS_SIGNS[status]}</span>{_STATUS_NAMES[status]}</span>'
    return f'<li class="count {status}{none}"><b>{number}</b>{chip}</li>'


def _filter(status: str) -> str:
    return f'<button type="button" data-status="{status}" aria-pressed="false">{_STATUS_NAMES[status]}</button>'
