"""The histogram of cup-to-disc ratios on the page."""

# Markup has its own quotes.
# flake8: noqa: B907

from __future__ import annotations

import itertools
import math
import statistics
from collections import Counter
from collections.abc import Iterator, Sequence

from bundle.report.markup import shown_number
from bundle.results import Segmentation

__all__ = ["histogram_svg"]

_BINS = 20


def histogram_svg(results: Sequence[Segmentation]) -> str:
    """The vertical cup-to-disc ratios as an SVG with its caption; ``review`` is stacked on ``ok``."""
    measured = [
        (result.measurements.vcdr, result.status)
        for result in results
        if math.isfinite(result.measurements.vcdr) and result.status in ("ok", "review")
    ]
    bins = Counter((min(max(int(vcdr * _BINS), 0), _BINS - 1), status) for vcdr, status in measured)
    tallest = max([1, *(bins[index, "ok"] + bins[index, "review"] for index in range(_BINS))])
    median = statistics.median(vcdr for vcdr, _ in measured) if measured else math.nan
    label = (
        f"Histogram of the vertical cup-to-disc ratio of {len(measured)} photographs, median {shown_number(median, 2)}"
    )
    return (
        f'<svg viewBox="0 0 520 190" role="img" aria-label="{label}">{"".join(_histogram_marks(bins, tallest, median))}'
        "</svg><figcaption><span><b>Vertical cup-to-disc ratio</b></span>"
        '<span><span class="swatch"></span>Not flagged</span><span><span class="swatch review"></span>Review</span>'
        f"<span>median <b>{shown_number(median, 2)}</b></span></figcaption>"
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
