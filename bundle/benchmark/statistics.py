"""Statistics that compare recipes: over seeds, over photographs, and with the best that can be reached.

A score is any measure that is better when it is higher, such as Dice in [0, 1].
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from scipy import stats

__all__ = ["average_over_runs", "failure_auroc", "gap_closed", "mean_and_sd", "paired_wilcoxon", "spearman"]


def mean_and_sd(values: Sequence[float]) -> tuple[float, float]:
    """Mean and sample standard deviation (n - 1); a single value has a standard deviation of NaN.

    Raises:
        ValueError: there is no value.

    Example:
        >>> mean_and_sd([1.0, 2.0, 3.0])
        (2.0, 1.0)
    """
    if not values:
        raise ValueError("there is nothing to average.")
    return float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else math.nan


def gap_closed(score: float, source: float, ceiling: float, least: float = 0.005) -> float | None:
    """Share of the way from the source model to the supervised one, (score - source) / (ceiling - source).

    Args:
        score: of the adapted model.
        source: of the model before.
        ceiling: of the model adapted with labels.
        least: a smaller gap is regarded as none, because its share would be noise.

    Returns:
        0 for the source, 1 for the ceiling, negative where adapting does harm; None where the gap is smaller than
        ``least``.

    Example:
        >>> gap_closed(0.85, source=0.8, ceiling=0.9)
        0.4999...
    """
    gap = ceiling - source
    # Scores that differ by the least on paper may do so by a little less in floating point.
    return None if gap < least - 1e-9 else (score - source) / gap


def average_over_runs(runs: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Mean score of each photograph over the runs.

    Args:
        runs: for each run the score of every photograph by its name.

    Raises:
        ValueError: there is no run, or the runs do not score the same photographs.

    Example:
        >>> average_over_runs([{"eye": 0.5}, {"eye": 1.0}])
        {'eye': 0.75}
    """
    _check_same_photographs(runs)
    return {name: float(np.mean([run[name] for run in runs])) for name in runs[0]}


def paired_wilcoxon(a: Mapping[str, float], b: Mapping[str, float]) -> float:
    """Two-sided p of Wilcoxon's signed-rank test on the photographs' differences (``scipy.stats.wilcoxon``).

    Args:
        a: score of every photograph by its name.
        b: the same photographs' scores by another model.

    Returns:
        p in [0, 1]; 1 where no photograph differs.

    Raises:
        ValueError: the two do not score the same photographs, or there are none.

    Example:
        >>> paired_wilcoxon({"a": 0.9, "b": 0.8, "c": 0.7}, {"a": 0.8, "b": 0.6, "c": 0.4})
        0.25
    """
    _check_same_photographs([a, b])
    differences = np.array([a[name] - b[name] for name in a])
    return float(stats.wilcoxon(differences).pvalue) if differences.any() else 1.0


def failure_auroc(uncertainty: Sequence[float], failed: Sequence[bool]) -> float:
    """Area under the ROC curve of finding failures by uncertainty: how often a failure has more of it than a success.

    Returns:
        0.5 for an uncertainty that tells nothing, 1 for one that is higher for all failures than for all successes;
        ties count half. NaN if nothing failed, or everything.

    Raises:
        ValueError: the two are not equally long.

    Example:
        >>> failure_auroc([0.1, 0.2, 0.9], [False, False, True])
        1.0
    """
    pairs = list(zip(uncertainty, failed, strict=True))
    bad, good = ([u for u, failure in pairs if bool(failure) is kind] for kind in (True, False))
    if not bad or not good:
        return math.nan
    return float(stats.mannwhitneyu(bad, good).statistic) / (len(bad) * len(good))


def spearman(x: Sequence[float], y: Sequence[float]) -> tuple[float, float, int]:
    """Spearman's rank correlation (``scipy.stats.spearmanr``), its two-sided p, and the number of pairs.

    Pairs that are not finite are left out; rho and p are NaN if fewer than three are left or one side is constant.

    Raises:
        ValueError: the two are not equally long.

    Example:
        >>> rho, p, pairs = spearman([1, 2, 3, 4], [1, 4, 9, 16])
        >>> round(rho, 6), pairs
        (1.0, 4)
    """
    pairs = np.array([pair for pair in zip(x, y, strict=True) if np.isfinite(pair).all()]).reshape(-1, 2)
    if len(pairs) < 3 or (pairs == pairs[0]).all(axis=0).any():
        return math.nan, math.nan, len(pairs)
    result = stats.spearmanr(pairs[:, 0], pairs[:, 1])
    return float(result.statistic), float(result.pvalue), len(pairs)


def _check_same_photographs(runs: Sequence[Mapping[str, float]]) -> None:
    if not runs or not runs[0]:
        raise ValueError("there is no photograph to compare.")
    if any(run.keys() != runs[0].keys() for run in runs):
        raise ValueError("the runs do not score the same photographs.")
