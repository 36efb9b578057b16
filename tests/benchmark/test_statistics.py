"""The statistics of the benchmark against sums and ranks worked out by hand."""

from __future__ import annotations

import itertools
import math

import pytest

from bundle.benchmark.statistics import (
    average_over_runs,
    failure_auroc,
    gap_closed,
    mean_and_sd,
    paired_wilcoxon,
    spearman,
)


def test_the_standard_deviation_is_the_sample_s():
    mean, sd = mean_and_sd([1.0, 2.0, 6.0])
    assert mean == pytest.approx(3)
    assert sd == pytest.approx(math.sqrt((4 + 1 + 9) / 2))
    mean, sd = mean_and_sd([0.5])
    assert mean == 0.5
    assert math.isnan(sd)
    with pytest.raises(ValueError, match="nothing to average"):
        mean_and_sd([])


def test_the_gap_is_measured_from_the_source_to_the_ceiling():
    assert gap_closed(0.85, 0.8, 0.9) == pytest.approx(0.5)
    assert gap_closed(0.8, 0.8, 0.9) == 0
    assert gap_closed(0.9, 0.8, 0.9) == 1
    assert gap_closed(0.75, 0.8, 0.9) == pytest.approx(-0.5)
    assert gap_closed(1.0, 0.8, 0.9) == pytest.approx(2)


@pytest.mark.parametrize(("ceiling", "share"), [(0.905, 1.0), (0.9049, None), (0.9, None), (0.8, None)])
def test_a_gap_too_small_to_close_has_no_share(ceiling, share):
    value = gap_closed(ceiling, 0.9, ceiling)
    assert value == (share if share is None else pytest.approx(share))


def test_runs_are_averaged_photograph_by_photograph():
    runs = [{"a": 0.5, "b": 1.0}, {"b": 0.0, "a": 0.7}, {"a": 0.9, "b": 0.5}]
    assert average_over_runs(runs) == pytest.approx({"a": 0.7, "b": 0.5})
    with pytest.raises(ValueError, match="same photographs"):
        average_over_runs([{"a": 1.0}, {"b": 1.0}])
    nothing: tuple[list[dict[str, float]], ...] = ([], [{}])
    for empty in nothing:
        with pytest.raises(ValueError, match="no photograph"):
            average_over_runs(empty)


def signed_rank_p(differences):
    """Exact two-sided p: the share of all sign patterns whose smaller rank sum is at most the one seen."""
    ranks = {d: rank for rank, d in enumerate(sorted(map(abs, differences)), start=1)}
    total = sum(ranks.values())

    def smaller(signs):
        positive = sum(ranks[abs(d)] for d, sign in zip(differences, signs, strict=True) if sign > 0)
        return min(positive, total - positive)

    seen = smaller(differences)
    patterns = list(itertools.product((-1, 1), repeat=len(differences)))
    return sum(smaller(signs) <= seen for signs in patterns) / len(patterns)


@pytest.mark.parametrize("differences", [[0.1, 0.2, -0.05, 0.4, 0.3, 0.25], [0.1, 0.2, 0.3, 0.4, 0.5], [-0.1, 0.2]])
def test_p_is_the_exact_signed_rank_test_s(differences):
    b = {f"n{i}": 0.125 * i for i in range(len(differences))}
    a = {name: b[name] + d for (name, d) in zip(b, differences, strict=True)}
    expected = signed_rank_p(differences)
    assert paired_wilcoxon(a, b) == pytest.approx(expected)
    assert paired_wilcoxon(b, a) == pytest.approx(expected)


def test_photographs_are_paired_by_name_and_not_by_order():
    a = {"x": 0.1, "y": 0.5, "z": 0.9, "w": 0.3}
    b = {name: value - 0.01 * k for k, (name, value) in enumerate(sorted(a.items()), start=1)}
    assert paired_wilcoxon(a, b) == pytest.approx(2 / 16)


def test_equal_scores_do_not_differ():
    assert paired_wilcoxon({"a": 0.5, "b": 0.7}, {"a": 0.5, "b": 0.7}) == 1


def test_other_photographs_are_refused():
    with pytest.raises(ValueError, match="same photographs"):
        paired_wilcoxon({"a": 0.5, "b": 0.7}, {"a": 0.5})
    with pytest.raises(ValueError, match="no photograph"):
        paired_wilcoxon({}, {})


def test_spearman_is_one_minus_six_times_the_squared_rank_differences():
    x = [0.1, 0.4, 0.2, 0.9, 0.5]
    y = [1.0, 30.0, 2.0, 20.0, 10.0]
    squares = [0, 2**2, 0, 1, 1]
    rho, p, n = spearman(x, y)
    assert rho == pytest.approx(1 - 6 * sum(squares) / (5 * 24))
    assert n == 5
    assert 0 < p < 1


def test_spearman_leaves_out_what_was_not_measured_and_needs_three_pairs():
    rho, _, n = spearman([1, 2, math.nan, 3, 4], [2, 4, 100, 6, math.inf])
    assert (rho, n) == (pytest.approx(1), 3)
    for x, y in (([1, 2], [1, 2]), ([1, 1, 1], [1, 2, 3]), ([], [])):
        rho, p, n = spearman(x, y)
        assert math.isnan(rho)
        assert math.isnan(p)
        assert n == len(x)
    with pytest.raises(ValueError, match="shorter|longer"):
        spearman([1, 2, 3], [1, 2])


def test_the_auroc_counts_pairs_in_the_right_order():
    uncertainty, failed = [0.9, 0.4, 0.4, 0.1], [True, False, True, False]
    # Of the four pairs of a failure and a success three are in order and one is a tie.
    assert failure_auroc(uncertainty, failed) == pytest.approx(3.5 / 4)
    assert failure_auroc([1.0 - u for u in uncertainty], failed) == pytest.approx(0.5 / 4)
    assert math.isnan(failure_auroc([0.1, 0.2], [True, True]))
    assert math.isnan(failure_auroc([0.1, 0.2], [False, False]))
    with pytest.raises(ValueError, match="zip\\(\\)"):
        failure_auroc([0.1], [True, False])
