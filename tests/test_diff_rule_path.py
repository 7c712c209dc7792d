"""The paths of rules: what of RFC 9535 is matched, what is evaluated on the bodies, and what is refused."""

from __future__ import annotations

import json
import pickle
from typing import Any

import brotli
import pytest

from capture.errors import UsageError
from capture.exchange import Response
from diff.difference import Difference, Kind, Place, normalised_path
from diff.rule_path import Documents, RulePath

ITEMS = {"items": [{"id": 1, "ts": 5}, {"id": 2, "ts": 6}, {"id": 3, "ts": 7}], "it's": {"a\tb": 0}}


def at(path: tuple[str | int, ...], kind: Kind = "value", place: Place = "body") -> Difference:
    return Difference(place, path, kind, 1, 2)


def answer(value: Any, **how: Any) -> Response:
    return Response(200, "OK", "HTTP/1.1", (), json.dumps(value).encode(), **how)


@pytest.mark.parametrize(
    ("pattern", "path", "matches"),
    [
        ("$", (), True),
        ("$", ("a",), False),
        ("$['a']", ("a",), True),
        ('$["a"]', ("a",), True),
        ("$.a", ("a",), True),
        ("$.a", ("a", "b"), False),
        ("$['a'][\"b\"]", ("a", "b"), True),
        ("$['a','b']", ("b",), True),
        ("$.items[*].price", ("items", 3, "price"), True),
        ("$['items'][3]['price']", ("items", 3, "price"), True),
        ("$['items'][4]['price']", ("items", 3, "price"), False),
        ("$.items[0,2].ts", ("items", 2, "ts"), True),
        ("$.items[0:5].ts", ("items", 4, "ts"), True),
        ("$.items[0:5].ts", ("items", 5, "ts"), False),
        ("$.items[1::2]", ("items", 3), True),
        ("$.items[1::2]", ("items", 2), False),
        ("$.items[2:]", ("items", "2"), False),
        ("$.items['2']", ("items", 2), False),
        ("$..price", ("items", 3, "price"), True),
        ("$..price", ("price",), True),
        ("$..price", ("prices",), False),
        ("$..items..id", ("a", "items", 0, "x", "id"), True),
        ("$..items..id", ("id", "items"), False),
        ("$..*", ("a", 0), True),
        ("$..*", (), False),
        ("$..[0]", ("a", "b", 0), True),
        ("$.*", ("a",), True),
        ("$.*", (0,), True),
        ("$.items.*.price", ("items", "x", "price"), True),
        ("$['it\\'s']['\\t']", ("it's", "\t"), True),
        ("$['\\u001F']", ("\x1f",), True),
        ("$['\\\\u0001']", ("\\u0001",), True),
        ("$['\\\\\\u0001']", ("\\\x01",), True),
        ("$['\\u00e9']", ("é",), True),
        ("$.é", ("é",), True),
    ],
)
def test_steps_are_matched_with_the_path_of_a_difference(
    pattern: str, path: tuple[str | int, ...], matches: bool
) -> None:
    rule = RulePath(pattern)
    assert rule.speaks_of(at(path)) == matches
    assert rule.speaks_of(at(path)) == matches  # and as it was remembered
    assert pickle.loads(pickle.dumps(rule)).speaks_of(at(path)) == matches


@pytest.mark.parametrize(
    "path", [(), ("a",), ("items", 12, "it's"), ("", "\\", "'", '"', "\n\x01"), ("a]['b",), ("é", "$", "*")]
)
def test_the_path_that_a_report_gives_speaks_of_that_place(path: tuple[str | int, ...]) -> None:
    assert RulePath(normalised_path(path)).speaks_of(at(path))
    assert not RulePath(normalised_path(path)).speaks_of(at((*path, "x")))


@pytest.mark.parametrize(
    ("pattern", "path", "kind", "matches"),
    [
        ("$.items[-1].ts", ("items", 2, "ts"), "value", True),
        ("$.items[-1].ts", ("items", 1, "ts"), "value", False),
        ("$.items[-1].ts", ("items", 3, "ts"), "extra", True),
        ("$.items[-2:]", ("items", 1), "value", True),
        ("$.items[::-1]", ("items", 0), "value", True),
        ("$.items[?@.id == 2].ts", ("items", 1, "ts"), "value", True),
        ("$.items[?@.id == 2].ts", ("items", 2, "ts"), "value", False),
        ("$.items[?@.id > 1 && @.ts < 7]", ("items", 1), "missing", True),
        ("$..[?search(@.name, 'x')]", ("items", 0), "value", False),
        ("$.items[?@.id < 'x']", ("items", 0), "value", False),
    ],
)
def test_filters_and_counting_from_the_end_are_evaluated_on_the_bodies(
    pattern: str, path: tuple[str | int, ...], kind: Kind, matches: bool
) -> None:
    more = {"items": [*ITEMS["items"], {"id": 4, "ts": 8}]}
    documents = Documents(answer(ITEMS), answer(more))
    assert RulePath(pattern).speaks_of(at(path, kind), documents) == matches
    assert not RulePath(pattern).speaks_of(at(path, kind))


def test_a_body_that_cannot_be_evaluated_selects_nothing() -> None:
    rule, place = RulePath("$.items[-1].ts"), at(("items", 2, "ts"))
    whole = answer(ITEMS)
    assert rule.speaks_of(place, Documents(whole, whole))
    coded = Response(200, "OK", "HTTP/1.1", (("Content-Encoding", "br"),), brotli.compress(json.dumps(ITEMS).encode()))
    assert rule.speaks_of(place, Documents(coded, coded))
    deep = Response(200, "OK", "HTTP/1.1", (), b"[" * 5000 + b"]" * 5000)
    for other in (
        None,
        answer(ITEMS, truncated=True),
        Response(200, "OK", "HTTP/1.1", (), b"{"),
        Response(200, "OK", "HTTP/1.1", (("Content-Encoding", "br"),), brotli.compress(b" " * (5 << 20))),
        deep,
    ):
        assert not rule.speaks_of(place, Documents(other, other))
    assert not RulePath("$..[-1]").speaks_of(at((0,)), Documents(deep, deep))


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("$.a[", "unexpected end of query"),
        ("$['it''s']", "at character 8"),
        ("$.items[01]", "leading zero in index selector at character 9"),
        ("$.a^", "unexpected token '\\^' at character 4"),
        ("$.a | $.b", "unexpected token '\\|' at character 5"),
        ("$['a'*", "at character"),
        ("$['\\u0001'][-1]", "control character"),
    ],
)
def test_what_is_no_query_is_refused_with_its_place(pattern: str, message: str) -> None:
    with pytest.raises(UsageError, match=message) as error:
        RulePath(pattern)
    assert "\n" not in str(error.value)


def test_a_plain_name_stands_for_itself_and_the_star_for_anything() -> None:
    rule = RulePath("header:x-*")
    assert rule.speaks_of(at(("x-version",), place="header"))
    assert not rule.speaks_of(at(("server",), place="header"))
    assert RulePath("cookie:sid*").speaks_of(at(("sid", "Path"), place="cookie"))
    assert not RulePath("$..*").speaks_of(at(("x-version",), place="header"))
