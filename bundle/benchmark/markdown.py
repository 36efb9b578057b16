"""Markdown tables, and numbers as their cells show them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from bundle.benchmark.statistics import mean_and_sd

__all__ = ["NONE", "average", "change", "p_value", "points", "share", "spread", "table"]

NONE = "–"
"""The cell of what was not measured."""


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Lines of a Markdown table.

    Example:
        >>> table(["recipe", "Dice"], [["bn", "90.1"]])
        ['| recipe | Dice |', '| --- | --- |', '| bn | 90.1 |']
    """
    return [f"| {' | '.join(cells)} |" for cells in (header, ["---"] * len(header), *rows)]


def spread(values: Sequence[float | None], scale: float = 1, decimals: int = 2) -> str:
    """Mean and standard deviation of the values that are known, times ``scale``."""
    known = [scale * value for value in values if value is not None]
    if not known:
        return NONE
    mean, sd = mean_and_sd(known)
    return f"{mean:.{decimals}f}" + ("" if math.isnan(sd) else f" ± {sd:.{decimals}f}")


def change(values: Sequence[float]) -> str:
    """Mean and standard deviation of differences of shares, in points, with a sign."""
    if not values:
        return NONE
    mean, sd = mean_and_sd([100 * value for value in values])
    return f"{mean:+.2f}" + ("" if math.isnan(sd) else f" ± {sd:.2f}")


def points(value: float) -> str:
    """A share in [0, 1], in points of a hundred."""
    return NONE if math.isnan(value) else f"{100 * value:.2f}"


def average(values: Iterable[float]) -> str:
    """Mean of shares, in points; none where one is missing, because averages of different targets do not compare."""
    values = list(values)
    return points(sum(values) / len(values))


def share(value: float | None) -> str:
    """A share in whole per cent."""
    return NONE if value is None else f"{100 * value:.0f} %"


def p_value(value: float) -> str:
    """A p to three decimals."""
    return NONE if math.isnan(value) else "< 0.001" if value < 0.001 else f"{value:.3f}"
