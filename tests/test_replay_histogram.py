"""The histogram: its quantiles are within the stated error, and merging loses nothing."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from replay.histogram import RELATIVE_ERROR, Histogram

VALUES = st.lists(st.integers(0, 10**12), min_size=1, max_size=50)


def filled(values: list[int]) -> Histogram:
    histogram = Histogram()
    for value in values:
        histogram.add(value)
    return histogram


@given(VALUES, st.floats(0.01, 1.0))
@example([0, 33554431, 33554431, 34078720], 0.5)
def test_a_quantile_is_within_the_stated_error(values: list[int], share: float) -> None:
    exact = sorted(values)[max(0, -(-int(share * len(values) * 10**9) // 10**9) - 1)]
    near = sorted(values)[min(len(values) - 1, max(0, round(share * len(values))))]
    found = filled(values).quantile(share)
    low, high = min(exact, near), max(exact, near)
    assert low * (1 - RELATIVE_ERROR) - 1 <= found <= high * (1 + RELATIVE_ERROR) + 1


@given(VALUES, VALUES)
def test_several_values_at_once_are_counted_as_one_by_one(first: list[int], then: list[int]) -> None:
    histogram = filled(first)
    histogram.extend(then)
    assert histogram.buckets() == filled(first + then).buckets()


@given(VALUES, VALUES)
def test_merging_is_the_same_as_counting_together(left: list[int], right: list[int]) -> None:
    merged = filled(left)
    merged.merge(Histogram.from_buckets(filled(right).buckets()))
    assert merged.as_dict() == filled(left + right).as_dict()


def test_small_values_and_the_largest_are_exact() -> None:
    histogram = filled([0, 1, 2, 3, 1_000_003])
    assert histogram.quantile(0.5) == 2
    assert histogram.as_dict()["max_ns"] == 1_000_003
    assert histogram.quantile(1.0) == 1_000_003 or histogram.quantile(1.0) <= 1_000_003


def test_an_empty_one_is_zero_and_a_negative_value_counts_as_zero() -> None:
    assert Histogram().as_dict() == {"count": 0, "p50_ns": 0, "p90_ns": 0, "p99_ns": 0, "max_ns": 0}
    assert filled([-5]).quantile(0.5) == 0
