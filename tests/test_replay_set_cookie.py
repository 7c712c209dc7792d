"""What a response sets and takes away, by name."""

from __future__ import annotations

import pytest

from replay.set_cookie import cookies_set


@pytest.mark.parametrize(
    ("value", "cookie"),
    [
        ("sid=a1; Path=/; HttpOnly", ("sid", "a1")),
        ("sid = a=1 ;Path=/", ("sid", "a=1")),
        ("sid=a1; Max-Age=60; Expires=Thu, 01 Jan 1970 00:00:00 GMT", ("sid", "a1")),
        ("sid=a1; Expires=Fri, 27 Nov 2026 08:47:05 GMT", ("sid", "a1")),
        ("sid=a1; expires=soon; max-age=later", ("sid", "a1")),
        ("sid=a1; Max-Age=0", ("sid", "")),
        ("sid=a1; max-age = -1", ("sid", "")),
        ("sid=a1; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Path=/x", ("sid", "")),
        ("sid=; Path=/", ("sid", "")),
    ],
)
def test_a_cookie_is_set_or_taken_away(value: str, cookie: tuple[str, str]) -> None:
    assert list(cookies_set((("X-Other", "a=b"), ("set-cookie", value)))) == [cookie]


def test_what_has_no_equals_sign_sets_nothing() -> None:
    assert list(cookies_set((("Set-Cookie", "flag"),))) == []
