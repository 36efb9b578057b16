"""How predicted ratios agree with true ones. The figure needs Matplotlib, an optional dependency."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy import stats

from bundle.io.files import atomic_write

__all__ = ["Agreement", "agreement", "bland_altman"]

Ratios = tuple[Sequence[float], Sequence[float]]


class Agreement(NamedTuple):
    """Agreement of predicted with true values.

    Attributes:
        error: mean absolute difference.
        bias: mean of predicted minus true.
        slope: of the straight line that predicts best (least squares) the predicted from the true value.
        correlation: Pearson's.
        low: lower limit of agreement, 1.96 standard deviations of the differences below the bias.
        high: upper limit.
    """

    error: float
    bias: float
    slope: float
    correlation: float
    low: float
    high: float


def agreement(predicted: Sequence[float], true: Sequence[float]) -> Agreement:
    """Compare predicted with true values (Bland and Altman, Lancet 327, 1986).

    Args:
        predicted: at least two.
        true: as many, not all the same.

    Example:
        >>> found = agreement([0.45, 0.50, 0.55], [0.3, 0.5, 0.7])
        >>> round(found.error, 3), round(found.bias, 3), round(found.slope, 3), round(found.correlation, 3)
        (0.1, 0.0, 0.25, 1.0)
    """
    difference = np.subtract(predicted, true)
    line = stats.linregress(true, predicted)
    bias, spread = float(difference.mean()), float(difference.std(ddof=1))
    error = float(np.abs(difference).mean())
    limits = bias - 1.96 * spread, bias + 1.96 * spread
    return Agreement(error, bias, float(line.slope), float(line.rvalue), *limits)


def bland_altman(ratios: Mapping[str, Ratios], title: str, path: Path) -> None:
    """Draw, for each model, difference against mean, with bias and limits of agreement.

    Args:
        ratios: predicted and true ratios by the model's name.
        title: of the figure.
        path: of the PNG to write.
    """
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(
        1, len(ratios), figsize=(3.1 * len(ratios), 3.3), sharey=True, squeeze=False, layout="constrained"
    )
    for axis, (name, (predicted, true)) in zip(axes[0], ratios.items(), strict=True):
        found = agreement(predicted, true)
        axis.axhline(0, color="#8a9499", linewidth=0.8)
        axis.axhline(found.bias, color="#c8102e")
        axis.axhspan(found.low, found.high, color="#c8102e", alpha=0.08, linewidth=0)
        axis.scatter(np.add(predicted, true) / 2, np.subtract(predicted, true), s=12, color="#0b5fa5", alpha=0.7)
        axis.set_title(f"{name}\nbias {found.bias:+.3f}, slope {found.slope:.2f}", fontsize=9)
        axis.set_xlabel("mean of predicted and true")
        axis.spines[["top", "right"]].set_visible(False)
    axes[0][0].set_ylabel("predicted minus true")
    figure.suptitle(f"Vertical cup-to-disc ratio: {title}", fontsize=11)
    with atomic_write(path) as temporary:
        figure.savefig(temporary, format="png", dpi=110)
    plt.close(figure)
