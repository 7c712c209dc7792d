"""Header fields are compared by what they say, not by how they are spelt."""

from __future__ import annotations

import pytest

from capture.exchange import Headers
from diff.collector import Collector
from diff.difference import Difference, swapped
from diff.header_grammar import GRAMMARS, meaning, split_outside_quotes
from diff.headers import compare_headers
from diff.volatile import FRAMING_HEADERS, VOLATILE_HEADERS


def differences(left: Headers, right: Headers, *, lengths: bool = False) -> list[Difference]:
    collector = Collector(100, "header")
    compare_headers(left, right, collector, lengths=lengths)
    backwards = Collector(100, "header")
    compare_headers(right, left, backwards, lengths=lengths)
    key = repr
    assert sorted(map(swapped, backwards.differences), key=key) == sorted(collector.differences, key=key)
    return collector.differences


def test_names_are_compared_without_case_and_in_any_order() -> None:
    assert differences((("X-A", "1"), ("Server", "s")), (("server", "s"), ("x-a", "1"))) == []


def test_a_missing_and_an_extra_header_are_one_difference_each() -> None:
    assert differences((("X-A", "1"), ("X-B", "2")), (("X-A", "1"), ("X-C", "3"))) == [
        Difference("header", ("x-b",), "missing", "2"),
        Difference("header", ("x-c",), "extra", right="3"),
    ]


def test_a_changed_value_is_one_difference_with_both_values() -> None:
    assert differences((("Location", "/a"),), (("Location", "/b"),)) == [
        Difference("header", ("location",), "value", "/a", "/b")
    ]


def test_lines_of_one_name_are_the_list_they_stand_for() -> None:
    assert differences((("X-L", "a"), ("X-L", "b")), (("X-L", "a, b"),)) == []


def test_repeated_lines_in_another_order_have_lost_their_order() -> None:
    assert differences((("X-L", "a"), ("X-L", "b")), (("X-L", "b"), ("X-L", "a"))) == [
        Difference("header", ("x-l",), "order", "a, b", "b, a")
    ]


def test_ordered_lists_tell_order_from_value() -> None:
    assert differences((("Content-Language", "de, en"),), (("Content-Language", "en, de"),))[0].kind == "order"
    assert differences((("Content-Language", "de, en"),), (("Content-Language", "en, fr"),))[0].kind == "value"


@pytest.mark.parametrize(
    ("name", "left", "right"),
    [
        ("vary", "Accept, Origin", "origin,accept"),
        ("allow", "GET, HEAD", "HEAD,GET"),
        ("cache-control", "max-age=60, Public", 'public, MAX-AGE="60"'),
        ("accept-patch", "text/a;charset=x, text/b", "text/b,text/a; charset=x"),
        ("accept-encoding", "gzip;q=1.0, br", "br, gzip"),
        ("content-type", "Text/HTML; Charset=UTF-8", 'text/html;charset="utf-8"'),
        ("content-disposition", 'attachment; filename="x y"', 'Attachment;filename="x y"'),
        ("link", '</2>; rel="next"; title="a,b", </9>; rel=last', '</9>;rel="last",</2>;title="a,b";rel=next'),
        ("strict-transport-security", "max-age=1; includeSubDomains", "includesubdomains;max-age=1"),
        ("content-security-policy", "default-src 'self' a.b; img-src *", "img-src *; default-src a.b 'self'"),
        ("server-timing", "db;dur=12, app;dur=7.1", "app;dur=9, db"),
        ("access-control-allow-headers", "X-A, x-b", "x-B,x-a"),
        ("access-control-max-age", "600", "0600"),
        ("content-security-policy", "script-src 'nonce-aB3=' 'self'", "script-src 'self' 'nonce-zz9_'"),
        ("www-authenticate", 'Digest realm="a", nonce="x", opaque="1"', 'digest nonce="y",opaque="2",realm=a'),
        ("www-authenticate", 'Basic realm="a, b", Bearer', 'Bearer, Basic realm="a, b"'),
        ("www-authenticate", "Negotiate YII=, Basic realm=a", "Basic realm=a, negotiate YII="),
        ("permissions-policy", 'geo=(self "https://a.b"), usb=()', 'usb=(), geo=("https://a.b" self)'),
        ("alt-svc", 'h3=":443"; ma=5, h2=":443"', 'h3=":443";ma=5,h2=":443"'),
        ("nel", '{"max_age": 1, "report_to": "x"}', '{"report_to":"x","max_age":1}'),
        ("expires", "Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT"),
        ("last-modified", "Sun, 06 Nov 1994 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"),
        ("timing-allow-origin", "a, b", "b,a"),
        ("content-digest", "sha-256=:YQ==:, sha-512=:Yg==:", "sha-512=:Yg==:,sha-256=:YQ==:"),
    ],
)
def test_two_spellings_of_the_same_are_equal(name: str, left: str, right: str) -> None:
    assert differences(((name, left),), ((name, right),)) == []


@pytest.mark.parametrize(
    ("name", "left", "right"),
    [
        ("vary", "Accept", "Accept, Origin"),
        ("allow", "GET", "get"),
        ("cache-control", "max-age=60", "max-age=61"),
        ("cache-control", "public", "private"),
        ("accept-encoding", "gzip;q=0.5", "gzip"),
        ("content-type", "text/html", "text/html; charset=utf-8"),
        ("content-type", "text/html; charset=utf-8", "text/html; charset=latin-1"),
        ("content-disposition", "attachment; filename=A", "attachment; filename=a"),
        ("link", "</2>; rel=next", "</3>; rel=next"),
        ("server-timing", "db;dur=12, app;dur=7.1", "db;dur=12"),
        ("content-security-policy", "default-src 'self'", "default-src *"),
        ("www-authenticate", 'Basic realm="a"', 'Basic realm="b"'),
        ("etag", 'W/"1"', '"1"'),
        ("content-security-policy", "script-src 'nonce-aB3='", "script-src 'unsafe-inline'"),
        ("content-security-policy", "script-src 'nonce-aB3='", "script-src"),
        ("www-authenticate", 'Digest realm="a", nonce="x"', 'Digest realm="a", nonce=""'),
        ("www-authenticate", 'Digest realm="a", nonce="x"', 'Digest realm="a"'),
        ("www-authenticate", "Basic realm=a, Bearer", "Basic realm=a"),
        ("www-authenticate", "Negotiate YII=", "Negotiate YIJ="),
        ("permissions-policy", "geo=(self)", "geo=()"),
        ("expires", "Thu, 01 Jan 1970 00:00:00 GMT", "0"),
        ("expires", "-1", "0"),
        ("retry-after", "120", "60"),
        ("nel", "{broken", "{"),
    ],
)
def test_what_is_not_the_same_differs_once(name: str, left: str, right: str) -> None:
    assert differences(((name, left),), ((name, right),)) == [Difference("header", (name,), "value", left, right)]


@pytest.mark.parametrize("name", sorted(VOLATILE_HEADERS - {"server-timing"}))
def test_of_a_volatile_header_presence_counts_and_the_value_does_not(name: str) -> None:
    one, two = ((name, "one"), ("X-A", "1")), ((name, "two"), ("X-A", "1"))
    assert differences(one, two) == []
    assert differences(one, (("X-A", "1"), (name.upper(), "two"))) == []
    assert differences(one, (("X-A", "1"),)) == [Difference("header", (name,), "missing", "one")]
    assert differences(one, ((name, ""), ("X-A", "1"))) == [Difference("header", (name,), "value", "one", "")]


@pytest.mark.parametrize("name", sorted(FRAMING_HEADERS))
def test_framing_headers_are_not_compared(name: str) -> None:
    assert differences(((name, "1"),), ()) == []
    assert differences(((name, "1"),), ((name, "2"),)) == []


def test_content_length_is_compared_where_there_are_no_bodies_to_compare() -> None:
    assert differences((("Content-Length", "10"),), (("Content-Length", "11"),), lengths=True) == [
        Difference("header", ("content-length",), "value", "10", "11")
    ]


def test_a_quoted_comma_separates_nothing() -> None:
    assert split_outside_quotes(r'a="x,\"y", <u,v>;p, , b', ",") == [r'a="x,\"y"', "<u,v>;p", "b"]
    assert split_outside_quotes('an unclosed "quote, here', ",") == ['an unclosed "quote, here']


@pytest.mark.parametrize("name", sorted(GRAMMARS))
def test_no_grammar_stumbles_over_garbage(name: str) -> None:
    for value in ("", ",", ";;", '"', "=", ",;=", "<", ';="\\', "é\x80", "a;q=x", " "):
        meaning(name, value)
        differences(((name, value),), ((name, "else"),))
