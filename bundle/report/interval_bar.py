"""The interval of a ratio on the page."""

from __future__ import annotations

import math

from bundle.uncertainty.interval import Interval

__all__ = ["interval_bar"]


def interval_bar(ratio: float, interval: Interval) -> str:
    """A ratio between 0 and 1 with its interval, as an SVG and in words; nothing where the interval is not known.

    Example:
        >>> "0.41 to 0.63" in interval_bar(0.52, Interval(0.41, 0.63)), interval_bar(0.52, Interval())
        (True, '')
    """
    if math.isnan(interval.low):
        return ""
    words = f"{interval.low:.2f} to {interval.high:.2f}"
    ends = f'x="{100 * interval.low:.1f}" width="{max(100 * (interval.high - interval.low), 0.5):.1f}"'
    return (
        f'<span class="interval"><svg viewBox="0 0 100 6" preserveAspectRatio="none" role="img" '
        f'aria-label="interval of the vertical ratio: {words}"><rect class="track" width="100" height="6"/>'
        f'<rect class="range" {ends} height="6"/>'
        f'<rect class="value" x="{min(max(100 * ratio - 0.75, 0), 98.5):.1f}" width="1.5" height="6"/></svg>'
        f"{words}</span>"
    )
