"""Cookies are compared by name and attribute."""

from __future__ import annotations

import pytest

from diff.collector import Collector
from diff.cookies import SetCookie, compare_cookies, parse_set_cookie
from diff.difference import MISSING, Difference, Kind, swapped

NOW_NS = 1_700_000_000 * 10**9  # Tue, 14 Nov 2023 22:13:20 GMT


def differences(left: list[str], right: list[str], right_now_ns: int = NOW_NS) -> list[Difference]:
    mine, other = tuple(("Set-Cookie", line) for line in left), tuple(("set-cookie", line) for line in right)
    collector, backwards = Collector(100, "cookie"), Collector(100, "cookie")
    compare_cookies(mine, other, NOW_NS, right_now_ns, collector)
    compare_cookies(other, mine, right_now_ns, NOW_NS, backwards)
    assert sorted(map(swapped, backwards.differences), key=repr) == sorted(collector.differences, key=repr)
    return collector.differences


def cookie(path: tuple[str, ...], kind: Kind, left: object = MISSING, right: object = MISSING) -> Difference:
    return Difference("cookie", path, kind, left, right)


def test_a_line_is_read_as_browsers_read_it() -> None:
    assert parse_set_cookie('sid="a=b"; Path=/; SECURE; HttpOnly=x; path=/last; ; X=1') == SetCookie(
        "sid", '"a=b"', {"path": "/last", "secure": "", "httponly": "", "x": "1"}
    )
    assert parse_set_cookie("novalue") == SetCookie("", "novalue", {})
    assert parse_set_cookie("") == SetCookie("", "", {})


def test_order_of_cookies_and_attributes_and_spelling_of_names_do_not_matter() -> None:
    assert differences(["a=1; Path=/; Secure", "b=2"], ["b=2", "a=1; secure; path=/"]) == []


def test_a_value_that_changed() -> None:
    assert differences(["sid=1; Path=/"], ["sid=2; Path=/"]) == [cookie(("sid",), "value", "1", "2")]


def test_a_cookie_on_one_side() -> None:
    assert differences(["sid=1", "t=x"], ["t=x", "u=9"]) == [
        cookie(("sid",), "missing", "1"),
        cookie(("u",), "extra", right="9"),
    ]


@pytest.mark.parametrize(
    ("left", "right", "expected"),
    [
        ("Path=/", "Path=/a", cookie(("c", "Path"), "value", "/", "/a")),
        ("Secure", "", cookie(("c", "Secure"), "missing", True)),
        ("", "HttpOnly", cookie(("c", "HttpOnly"), "extra", right=True)),
        ("SameSite=lax", "SameSite=None", cookie(("c", "SameSite"), "value", "Lax", "None")),
        ("Max-Age=60", "Max-Age=61", cookie(("c", "Max-Age"), "value", "60", "61")),
        ("Domain=.a.com", "Domain=b.com", cookie(("c", "Domain"), "value", "a.com", "b.com")),
        ("Odd=1", "Odd=2", cookie(("c", "odd"), "value", "1", "2")),
    ],
)
def test_each_attribute_is_compared(left: str, right: str, expected: Difference) -> None:
    assert differences([f"c=1; {left}"], [f"c=1; {right}"]) == [expected]


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("SameSite=lax", "SameSite=LAX"),
        ("Domain=.A.com", "Domain=a.com"),
        ("Expires=Wed, 15 Nov 2023 22:13:20 GMT", "Expires=Wed, 15-Nov-2023 22:13:40 GMT"),
        ("Expires=Thu, 01 Jan 1970 00:00:00 GMT", "Expires=Tue, 01 Jan 1980 00:00:00 GMT"),
    ],
)
def test_what_means_the_same_is_equal(left: str, right: str) -> None:
    assert differences([f"c=1; {left}"], [f"c=1; {right}"]) == []


def test_expiry_is_compared_as_a_lifetime_from_when_the_response_came() -> None:
    later_ns = NOW_NS + 3600 * 10**9
    day, day_later = "c=1; Expires=Wed, 15 Nov 2023 22:13:20 GMT", "c=1; Expires=Wed, 15 Nov 2023 23:13:20 GMT"
    assert differences([day], [day_later], later_ns) == []
    assert differences([day], [day], later_ns) == [cookie(("c", "Expires"), "value", "in 86400 s", "in 82800 s")]


def test_an_expiry_in_the_past_or_that_is_no_date_is_told_from_one_to_come() -> None:
    day, past = "c=1; Expires=Wed, 15 Nov 2023 22:13:20 GMT", "c=1; Expires=Thu, 01 Jan 1970 00:00:00 GMT"
    assert differences([day], [past]) == [cookie(("c", "Expires"), "value", "in 86400 s", "in the past")]
    assert differences([day], ["c=1; Expires=soon"]) == [
        cookie(("c", "Expires"), "value", "in 86400 s", "not a date: soon")
    ]


def test_cookies_of_one_name_are_paired_by_path() -> None:
    assert differences(["c=1; Path=/a", "c=2; Path=/b"], ["c=2; Path=/b", "c=9; Path=/a"]) == [
        cookie(("c",), "value", "1", "9")
    ]
