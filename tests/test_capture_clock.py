"""The clock never goes back, and dates are RFC 3339 with nanoseconds."""

from __future__ import annotations

import time

import pytest

from capture.clock import Clock, rfc3339


def test_the_clock_follows_the_wall_at_first_and_not_its_steps_later(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    before = clock.now_ns()
    assert abs(before - time.time_ns()) < 10**9
    monkeypatch.setattr(time, "time_ns", lambda: 0)
    assert clock.now_ns() >= before


@pytest.mark.parametrize(
    ("at_ns", "text"),
    [
        (0, "1970-01-01T00:00:00.000000000Z"),
        (1_700_000_000_123_456_789, "2023-11-14T22:13:20.123456789Z"),
        (-1, "1969-12-31T23:59:59.999999999Z"),
    ],
)
def test_a_time_is_written_with_all_nine_digits(at_ns: int, text: str) -> None:
    assert rfc3339(at_ns) == text
