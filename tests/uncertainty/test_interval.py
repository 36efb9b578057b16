"""Intervals of the vertical ratio."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from bundle.errors import CallError
from bundle.stages import BUNDLE_ROOT
from bundle.uncertainty.interval import Interval, RatioInterval, spread_of

CONTENT = {"floor": 0.02, "slope": 0.5, "scores": np.linspace(-2, 3, 99).tolist()}


def test_intervals_hold_as_often_as_promised_on_errors_of_the_same_kind():
    rng = np.random.default_rng(0)
    share = []
    for _ in range(100):
        uncertainty, true = rng.uniform(0, 0.2, 400), rng.uniform(0.3, 0.7, 400)
        # A model whose cups are too small, the more so the less sure it is.
        predicted = true - spread_of(uncertainty, 0.02, 0.5) * rng.normal(0.5, 1, 400)
        scores = ((true - predicted) / spread_of(uncertainty, 0.02, 0.5))[:200]
        interval = RatioInterval.of({**CONTENT, "scores": scores.tolist()}, coverage=0.9)
        ends = [interval(p, u) for p, u in zip(predicted[200:], uncertainty[200:], strict=True)]
        share.append(np.mean([low <= t <= high for (low, high), t in zip(ends, true[200:], strict=True)]))
    assert np.mean(share) == pytest.approx(0.9, abs=0.01)


def test_it_widens_with_uncertainty_and_coverage_and_stays_between_zero_and_one():
    narrow, wide = (RatioInterval.of(CONTENT, coverage) for coverage in (0.5, 0.9))
    width = [high - low for low, high in (narrow(0.5, 0.05), wide(0.5, 0.05), wide(0.5, 0.1))]
    assert width[0] < width[1] < width[2]
    assert narrow(0.5, 0.05).low < 0.5 < narrow(0.5, 0.05).high
    assert wide(0.99, 0.5).high == 1
    assert wide(0.02, 0.5).low == 0


def test_the_measured_ratio_lies_in_its_interval_however_biased_the_calibration():
    interval = RatioInterval.of({**CONTENT, "scores": np.linspace(1, 2, 99).tolist()})
    assert interval(0.5, 0.0).low == 0.5 < interval(0.5, 0.0).high


def test_without_a_ratio_there_is_no_interval():
    assert all(map(math.isnan, RatioInterval.of(CONTENT)(math.nan, 0.1)))
    assert all(map(math.isnan, Interval()))


@pytest.mark.parametrize(
    "content",
    ["", "[]", "{}", json.dumps({**CONTENT, "floor": 0}), json.dumps({**CONTENT, "scores": [1.0] * 9}),
     json.dumps({**CONTENT, "scores": ["x"]})],
)  # fmt: skip
def test_an_unfit_calibration_is_told(tmp_path, content):
    path = tmp_path / "interval.json"
    path.write_text(content)
    with pytest.raises(CallError, match=r"bundle\.benchmark\.intervals"):
        RatioInterval(path)
    with pytest.raises(CallError, match="cannot be read"):
        RatioInterval(tmp_path / "missing.json")


def test_the_shipped_calibration_gives_intervals_that_are_of_use():
    interval = RatioInterval(BUNDLE_ROOT / "models" / "vcdr_interval.json")
    widths = [interval(0.5, uncertainty).high - interval(0.5, uncertainty).low for uncertainty in (0.03, 0.06, 0.15)]
    assert 0.05 < widths[0] < widths[1] < widths[2] < 0.8
