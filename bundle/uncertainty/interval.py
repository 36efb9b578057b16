"""How far a measured cup-to-disc ratio may lie from a reader's."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from bundle._root import BUNDLE_ROOT
from bundle.errors import CallError

__all__ = ["Interval", "RatioInterval", "spread_of"]


_SHIPPED = BUNDLE_ROOT / "models" / "vcdr_interval.json"
_REMEDY = "Make the calibration with python -m bundle.benchmark.intervals."


class Interval(NamedTuple):
    """Two ends of an interval of a ratio, both in [0, 1]; NaN where nothing was measured.

    Attributes:
        low: lower end.
        high: upper end.
    """

    low: float = math.nan
    high: float = math.nan


def spread_of(uncertainty: Any, floor: float, slope: float) -> Any:
    """The error to expect of a ratio, up to a factor: the same for every photograph, and more the surer it is not.

    Args:
        uncertainty: of the photograph's contours, in [0, 1]; a number or an array.
        floor: of a photograph without any uncertainty, above 0.
        slope: added for each unit of uncertainty, at least 0.

    Example:
        >>> round(spread_of(0.05, floor=0.02, slope=0.4), 3)
        0.04
    """
    return floor + slope * uncertainty


class RatioInterval:
    """Interval in which a reader's vertical cup-to-disc ratio lies with a given probability.

    Split conformal prediction with normalised scores (Papadopoulos et al., ECML 2002; Lei et al., JASA 113, 2018): on
    labelled photographs that the model had not seen, the signed error of each ratio was divided by ``spread_of`` its
    uncertainty. The ends are the prediction plus the quantiles of these scores times the photograph's own spread; each
    end is missed equally often, so that the interval need not lie evenly around the prediction. It holds for new
    photographs as far as they are like those of the calibration: their cameras and their readers.

    Args:
        calibration: JSON file with ``floor``, ``slope`` and ``scores``, as ``python -m bundle.benchmark.intervals``
            writes it.
        coverage: the probability, in (0, 1).

    Raises:
        CallError: the file is missing or holds something else, or it holds too few scores for the coverage.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder, "interval.json")
        ...     scores = [score / 10 for score in range(-20, 21)]
        ...     _ = path.write_text(json.dumps({"floor": 0.03, "slope": 0.4, "scores": scores}))
        ...     interval = RatioInterval(path, coverage=0.9)
        >>> [round(end, 3) for end in interval(0.6, uncertainty=0.05)]
        [0.505, 0.695]
    """

    def __init__(self, calibration: str | Path = _SHIPPED, coverage: float = 0.9) -> None:
        try:
            content = json.loads(Path(calibration).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise CallError(
                f"the calibration {calibration} cannot be read ({type(error).__name__}).", _REMEDY
            ) from None
        self._calibrate(content, coverage)

    @classmethod
    def of(cls, content: Any, coverage: float = 0.9) -> RatioInterval:
        """The same from the file's content."""
        made = cls.__new__(cls)
        made._calibrate(content, coverage)
        return made

    def _calibrate(self, content: Any, coverage: float) -> None:
        try:
            self.floor, self.slope = float(content["floor"]), float(content["slope"])
            scores = [float(score) for score in content["scores"]]
        except (ValueError, KeyError, TypeError) as error:
            message = f"the calibration of intervals lacks floor, slope or scores ({type(error).__name__})."
            raise CallError(message, _REMEDY) from None
        self.low, self.high = _quantiles(scores, coverage)
        if not (self.floor > 0 and self.slope >= 0 and math.isfinite(self.low) and math.isfinite(self.high)):
            raise CallError(f"{len(scores)} scores are too few for an interval of {coverage:g}.", _REMEDY)

    def __call__(self, ratio: float, uncertainty: float) -> Interval:
        """The interval of a measured ratio; NaN where the ratio is.

        Args:
            ratio: in [0, 1], or NaN.
            uncertainty: of the photograph's contours, in [0, 1].
        """
        if math.isnan(ratio):
            return Interval()
        spread = spread_of(uncertainty, self.floor, self.slope)
        ends = (ratio + quantile * spread for quantile in (self.low, self.high))
        low, high = (min(max(end, 0.0), 1.0) for end in ends)
        # A bias of the calibration may leave the measured value outside; it is shown with its interval.
        return Interval(min(low, ratio), max(high, ratio))


def _quantiles(scores: Sequence[float] | np.ndarray, coverage: float) -> tuple[float, float]:
    """Scores that bound a new one with at least the given probability, each side missing half; infinite if too few.

    Example:
        >>> _quantiles(list(range(1, 20)), 0.8)
        (2.0, 18.0)
        >>> _quantiles([1, 2, 3], 0.9)
        (-inf, inf)
    """
    ordered, count = np.sort(np.asarray(scores, dtype=float)), len(scores)
    # One more than the scores, because the new photograph is one of them.
    rank = math.ceil(round((count + 1) * (1 + coverage) / 2, 9))
    if rank > count:
        return -math.inf, math.inf
    return float(ordered[count - rank]), float(ordered[rank - 1])
