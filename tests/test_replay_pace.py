"""Due times: absolute, and they never go back."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replay.pace import Closed, Rate, Recorded, due_ns


@pytest.mark.parametrize(
    ("pace", "number", "offset_ns", "due"),
    [
        (Recorded(1.0), 7, 0, 1000),
        (Recorded(1.0), 7, 500, 1500),
        (Recorded(2.0), 7, 500, 1250),
        (Recorded(0.5), 7, 500, 2000),
        (Recorded(1.0), 7, -500, 1000),
        (Rate(2.0), 0, 99, 1000),
        (Rate(2.0), 1, 99, 500_001_000),
        (Rate(3.0), 3, 99, 1_000_001_000),
        (Closed(4), 3, 99, None),
    ],
)
def test_a_request_is_due_as_the_pace_says(
    pace: Recorded | Rate | Closed, number: int, offset_ns: int, due: int | None
) -> None:
    assert due_ns(pace, 1000, number, offset_ns) == due


@given(
    pace=st.floats(1e-3, 1e6).map(Recorded) | st.floats(1e-3, 1e6).map(Rate),
    start=st.integers(0, 2**62),
    steps=st.lists(st.integers(0, 10**12), max_size=30),
)
def test_due_times_never_go_back(pace: Recorded | Rate, start: int, steps: list[int]) -> None:
    offset, before = 0, start
    for number, step in enumerate(steps):
        offset += step
        due = due_ns(pace, start, number, offset)
        assert due is not None
        assert due >= before
        before = due


@pytest.mark.parametrize("value", [0, -1, math.inf, math.nan])
def test_a_pace_that_is_not_a_positive_number_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match="positive"):
        Recorded(value)
    with pytest.raises(ValueError, match="positive"):
        Rate(value)


def test_a_closed_loop_needs_at_least_one() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        Closed(0)
