from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from diff.difference import MISSING
from diff.values import are_one_moment, class_of, is_clock_reading, is_volatile, number_of

NOW_NS = 1_790_000_000_000_000_000


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, "null"),
        (MISSING, "absent"),
        (True, "bool"),
        (0, "int"),
        (-(10**400), "int"),
        (1.5, "float"),
        (float("nan"), "nan"),
        (Decimal("1.10"), "float"),
        ("", "empty"),
        ("  ", "blank"),
        ("hello", "text"),
        ("hello world", "text"),
        ("12", "text:int"),
        ("1.5", "text:float"),
        ([], "empty-list"),
        ([1], "list"),
        ({}, "empty-object"),
        ({"a": 1}, "object"),
        (b"", "empty"),
        (b"x", "bytes"),
        (1_790_000_000, "epoch-s"),
        (1_790_000_000_123, "epoch-ms"),
        (1_790_000_000_123_456, "epoch-us"),
        (1_790_000_000_123_456_789, "epoch-ns"),
        (1_790_000_000.5, "epoch-s.f"),
        ("1790000000", "epoch-s"),
        (1_234_567_890, "int"),
        ("3f2b8c1e-7a60-4d6e-a9be-0c7d11f4a2d5", "uuid"),
        ("01ARZ3NDEKTSV4RRFFQ69G5FAV", "ulid"),
        ("507f1f77bcf86cd799439011", "objectid"),
        ("2026-09-21T14:00:00Z", "rfc3339:z"),
        ("2026-09-21T14:00:00.123Z", "rfc3339.f:z"),
        ("2026-09-21T14:00:00+02:00", "rfc3339:offset"),
        ("2026-09-21 14:00:00", "rfc3339"),
        ("2026-09-21", "date"),
        ("14:00:00", "time"),
        ("23:59:59.125", "time"),
        ("24:00:00", "text"),
        ("14:00", "text"),
        ("Mon, 21 Sep 2026 14:00:00 GMT", "http-date"),
        ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln", "jwt"),
        ("https://example.org/a?b", "url"),
        ("/a/b", "path"),
        ("a@example.org", "e-mail"),
        ('W/"abc"', "etag:weak"),
        ('"abc"', "etag"),
        ("deadbeef00", "token:hex:10"),
        ("0123456789abcdef0123456789abcdef", "token:hex:32"),
        ("aB3-xY9_kL2pQ7rT", "token:base64:16"),
        ("internationalisation", "text"),
        ("red-summer-shoes", "text"),
    ],
)
def test_a_value_has_its_class(value: Any, expected: str) -> None:
    assert class_of(value, NOW_NS) == expected


def test_two_made_up_values_of_one_class_say_nothing() -> None:
    assert is_volatile("uuid")
    assert is_volatile("rfc3339.f:z")
    assert is_volatile("token:hex:32")
    assert not is_volatile("token:hex:8")
    assert not is_volatile("text")


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(), st.lists))
def test_every_value_has_one_class_and_always_the_same(value: Any) -> None:
    assert class_of(value, NOW_NS) == class_of(value, NOW_NS) != ""


def test_a_very_long_text_is_text_and_costs_nothing() -> None:
    assert class_of("a" * 10_000_000, NOW_NS) == "text"


@pytest.mark.parametrize(
    ("value", "name", "expected"),
    [
        (NOW_NS // 10**9, "epoch-s", True),
        (NOW_NS // 10**6 - 4_000, "epoch-ms", True),
        (NOW_NS // 10**6 - 6_000, "epoch-ms", False),
        (NOW_NS + 1, "epoch-ns", True),
        (NOW_NS // 10**9, "int", False),
        ("not a time", "rfc3339", False),
    ],
)
def test_a_reading_of_the_clock_is_a_time_within_five_seconds_of_now(value: Any, name: str, expected: bool) -> None:
    assert is_clock_reading(value, name, NOW_NS) is expected


def test_numbers_and_times_have_a_number_and_nothing_else_has() -> None:
    assert number_of("1970-01-01T00:01:00Z") == 60.0
    assert number_of("Thu, 01 Jan 1970 00:00:10 GMT") == 10.0
    assert number_of(True) is None
    assert number_of(10**400) is None
    assert number_of("words only") is None


def test_of_a_time_of_day_the_zone_is_not_known() -> None:
    since_ns = NOW_NS - 60 * 10**9  # NOW_NS is 14:13:20 in UTC

    def one(left: str, right: str) -> bool:
        return are_one_moment(left, right, "time", since_ns, NOW_NS)

    assert one("14:13:00", "14:13:01")
    assert one("08:13:00", "08:12:58")
    assert one("19:43:00.5", "19:43:01")
    assert not one("14:13:00", "14:13:05")
    assert not one("14:10:00", "14:10:01")
    assert not one("14:13:00", "08:13:00")
    assert is_clock_reading("05:13:18", "time", NOW_NS)
    assert not is_clock_reading("05:13:10", "time", NOW_NS)
    midnight_ns = NOW_NS + (86_400 - NOW_NS // 10**9 % 86_400) * 10**9
    assert are_one_moment("23:59:59", "00:00:00", "time", midnight_ns - 10**9, midnight_ns)


def test_two_times_since_the_run_began_and_seconds_apart_are_one_moment_of_it() -> None:
    since_ns = NOW_NS - 60 * 10**9
    now_s = NOW_NS // 10**9

    def one(left: int, right: int) -> bool:
        return are_one_moment(now_s + left, now_s + right, "epoch-s", since_ns, NOW_NS)

    assert one(-40, -41)
    assert one(-40, -38)
    assert not one(-40, -30)
    assert not one(-3000, -3001)
    assert not one(40, 41)
    assert not are_one_moment(1, 2, "int", since_ns, NOW_NS)
