from __future__ import annotations

import math

import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from diff.statistics import (
    adjusted_p,
    binomial_tail,
    clopper_pearson,
    discoveries,
    fisher_tail,
    median_of_sorted,
    quantile_of_sorted,
    student_quantile,
    wilson,
)


def test_five_of_five_at_one_third() -> None:
    assert binomial_tail(5, 5, 1 / 3) == pytest.approx(1 / 243)


def test_no_success_is_certain() -> None:
    assert binomial_tail(0, 10, 0.3) == 1.0


def test_more_successes_than_trials_are_refused() -> None:
    with pytest.raises(ValueError, match="no such binomial"):
        binomial_tail(4, 3, 0.5)


@given(st.integers(0, 3000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))), st.floats(0.001, 0.999))
def test_the_binomial_tail_is_that_of_scipy(counts: tuple[int, int], probability: float) -> None:
    successes, trials = counts
    expected = float(scipy.stats.binom.sf(successes - 1, trials, probability))
    assert binomial_tail(successes, trials, probability) == pytest.approx(expected, rel=1e-6, abs=1e-12)


@given(st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_the_exact_interval_is_that_of_scipy(counts: tuple[int, int]) -> None:
    successes, trials = counts
    expected = scipy.stats.binomtest(successes, trials).proportion_ci(method="exact")
    low, high = clopper_pearson(successes, trials)
    assert low == pytest.approx(expected.low, abs=1e-9)
    assert high == pytest.approx(expected.high, abs=1e-9)


@given(st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilsons_interval_is_that_of_scipy(counts: tuple[int, int]) -> None:
    successes, trials = counts
    expected = scipy.stats.binomtest(successes, trials).proportion_ci(method="wilson")
    assert wilson(successes / trials, trials) == pytest.approx((expected.low, expected.high), abs=1e-9)


@pytest.mark.parametrize("freedom", [1, 2, 3, 4, 5, 7, 10, 30, 300])
@pytest.mark.parametrize("probability", [0.9, 0.975, 0.995, 0.9995])
def test_students_quantile_is_that_of_scipy(freedom: int, probability: float) -> None:
    assert student_quantile(probability, freedom) == pytest.approx(scipy.stats.t.ppf(probability, freedom), rel=0.003)


def test_without_freedom_the_interval_is_endless() -> None:
    assert student_quantile(0.975, 0) == math.inf


@given(st.lists(st.floats(1e-12, 1), min_size=1, max_size=30))
def test_adjusted_p_values_are_those_of_scipy(tests: list[float]) -> None:
    expected = scipy.stats.false_discovery_control(tests, method="bh")
    assert adjusted_p(tests) == pytest.approx(list(expected))


@given(st.lists(st.floats(1e-12, 1), min_size=1, max_size=30))
def test_discoveries_are_the_tests_whose_adjusted_p_is_small(tests: list[float]) -> None:
    found = discoveries([(p, 0.0) for p in tests], 0.01)
    assert found == [p <= 0.01 for p in adjusted_p(tests)]


def test_tests_that_could_never_be_significant_do_not_hide_one_that_is() -> None:
    hopeless = [(0.5, 0.5)] * 1000
    assert discoveries([(0.004, 0.004), *hopeless], 0.01) == [True] + [False] * 1000
    assert discoveries([(0.004, 0.004), *[(0.5, 0.0)] * 1000], 0.01)[0] is False


def test_nothing_tested_is_nothing_found() -> None:
    assert discoveries([], 0.01) == []


def test_quantiles_are_interpolated() -> None:
    assert median_of_sorted([1, 2, 4, 8]) == 3
    assert quantile_of_sorted([0, 10], 0.95) == pytest.approx(9.5)


@pytest.mark.parametrize("table", [(5, 6, 3, 40), (49, 50, 3, 300), (1, 10, 9, 10), (10, 10, 0, 10)])
def test_fishers_exact_test_is_that_of_scipy(table: tuple[int, int, int, int]) -> None:
    inside, affected, outside, rest = table
    counts = [[inside, affected - inside], [outside, rest - outside]]
    assert fisher_tail(*table) == pytest.approx(
        scipy.stats.fisher_exact(counts, alternative="greater").pvalue, rel=1e-9
    )
