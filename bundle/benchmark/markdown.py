"""Markdown tables, and the format of the numbers in their cells."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from bundle.benchmark.statistics import mean_and_sd

__all__ = ["NONE", "average", "change", "p_value", "points", "share", "spread", "table"]

NONE = "–"
"""The cell for a value that was not measured."""


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Lines of a Markdown table.

    Example:
        >>> table(["recipe", "Dice"], [["bn", "90.1"]])
        ['| recipe | Dice |', '| --- | --- |', '| bn | 90.1 |']
    """
    return [f"| {' | '.join(cells)} |" for cells in (header, ["---"] * len(header), *rows)]


def spread(values: Sequence[float | None], scale: float = 1, decimals: int = 2) -> str:
    """Mean and standard deviation of the known values, times ``scale``.

    Example:
        >>> spread([0.9, None, 0.8], scale=100, decimals=1)
        '85.0 ± 7.1'
    """
    known = [scale * value for value in values if value is not None]
    if not known:
        return NONE
    mean, sd = mean_and_sd(known)
    return f"{mean:.{decimals}f}" + ("" if math.isnan(sd) else f" ± {sd:.{decimals}f}")


def change(values: Sequence[float]) -> str:
    """Mean and standard deviation of differences of shares, in points of a hundred, with a sign.

    Example:
        >>> change([0.02])
        '+2.00'
    """
    if not values:
        return NONE
    mean, sd = mean_and_sd([100 * value for value in values])
    return f"{mean:+.2f}" + ("" if math.isnan(sd) else f" ± {sd:.2f}")


def points(value: float) -> str:
    """A share in [0, 1], in points of a hundred.

    Example:
        >>> points(0.9)
        '90.00'
    """
    return NONE if math.isnan(value) else f"{100 * value:.2f}"


def average(values: Iterable[float]) -> str:
    """Mean of shares, in points; ``NONE`` if one is NaN, because means over different targets cannot be compared.

    Example:
        >>> average([0.9, 0.8]), average([0.9, math.nan])
        ('85.00', '–')
    """
    values = list(values)
    return points(sum(values) / len(values))


def share(value: float | None) -> str:
    """A share in whole per cent.

    Example:
        >>> share(0.456)
        '46 %'
    """
    return NONE if value is None else f"{100 * value:.0f} %"


def p_value(value: float) -> str:
    """A p-value to three decimals.

    Example:
        >>> p_value(0.0123), p_value(0.0001)
        ('0.012', '< 0.001')
    """
    return NONE if math.isnan(value) else "< 0.001" if value < 0.001 else f"{value:.3f}"
