from __future__ import annotations

import datetime
from typing import Any

import pytest

from capture.config import Settings
from capture.errors import UsageError
from diff.difference import Difference, Kind
from diff.odd import Seen, seen_of
from diff.rules import Rule, RuleBook, read_rules

TODAY = datetime.date(2026, 9, 21)


def rules(**tables: list[dict[str, Any]]) -> list[Rule]:
    return read_rules(Settings("understudy.toml", tables, {}))


def seen(path: tuple[str | int, ...], left: Any = 1, right: Any = 2, kind: Kind = "value") -> Seen:
    return seen_of(Difference("body", path, kind, left, right), 0)


def left_over(found: list[Rule], one: Seen, route: str = "GET /a", build: str = "next") -> int:
    return len(RuleBook(found, build, TODAY).sift(route, [one])[0])


def test_a_place_outside_the_body_is_a_text_with_asterisks() -> None:
    found = rules(ignore=[{"path": "header:x-*", "reason": "r"}])
    yes = seen_of(Difference("header", ("x-a",), "value", "1", "2"), 0)
    no = seen_of(Difference("header", ("server",), "value", "1", "2"), 0)
    assert (left_over(found, yes), left_over(found, no)) == (0, 1)


def test_a_rule_holds_for_its_route_kind_and_build_alone() -> None:
    found = rules(ignore=[{"route": "GET /a*", "kind": "value", "build": "next", "reason": "r"}])
    assert left_over(found, seen(("a",))) == 0
    assert left_over(found, seen(("a",)), route="GET /b") == 1
    assert left_over(found, seen(("a",), kind="missing")) == 1
    assert left_over(found, seen(("a",)), build="other") == 1


def test_an_expired_rule_no_longer_holds_and_is_reported() -> None:
    found = rules(ignore=[{"path": "$.a", "reason": "r", "expires": TODAY}])
    book = RuleBook(found, "next", TODAY)
    assert len(book.sift("GET /a", [seen(("a",))])[0]) == 1
    assert [row.state for row in book.rows()] == ["expired"]


@pytest.mark.parametrize(
    ("limits", "left", "right", "tolerated"),
    [
        ({"absolute": 0.01}, 1.00, 1.01, True),
        ({"absolute": 0.01}, 1.00, 1.02, False),
        ({"relative": 0.1}, 100, 109, True),
        ({"relative": 0.1}, 100, 111, False),
        ({"absolute": 5}, "1", "2", False),
        ({"absolute": 5}, True, False, False),
        ({"class": True}, "one", "two", True),
        ({"class": True}, "one", 2, False),
        ({"absolute": 1}, float("nan"), 1.0, False),
    ],
)
def test_a_tolerance_takes_what_is_near_enough(limits: dict[str, Any], left: Any, right: Any, tolerated: bool) -> None:
    found = rules(tolerate=[{"path": "$.a", "reason": "r", **limits}])
    assert left_over(found, seen(("a",), left, right)) == (0 if tolerated else 1)


def test_an_expected_change_is_counted_once_a_pair_and_must_show() -> None:
    found = rules(expect=[{"path": "$.items[*].x", "reason": "r", "min": 2, "max": 3}])
    book = RuleBook(found, "next", TODAY)
    both = [seen(("items", 0, "x")), seen(("items", 1, "x"))]
    assert [row.state for row in book.rows()] == ["missing"]
    book.sift("GET /a", both)
    assert [(row.count, row.state) for row in book.rows()] == [(1, "missing")]
    book.sift("GET /a", both)
    assert [(row.count, row.state) for row in book.rows()] == [(2, "seen")]
    for _ in range(2):
        book.sift("GET /a", both)
    assert [(row.count, row.state) for row in book.rows()] == [(4, "exceeded")]


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        ({"ignore": [{"path": "$.a", "raeson": "r"}]}, "unknown key 'raeson'; did you mean 'reason'"),
        ({"ignore": [{"path": "$.a"}]}, "reason is missing"),
        ({"ignore": [{"reason": "r"}]}, "would match every difference"),
        ({"ignore": [{"path": "$.a", "kind": "valeu", "reason": "r"}]}, "did you mean 'value'"),
        ({"ignore": {"path": "$.a", "reason": "r"}}, r"write \[\[ignore\]\]"),
        ({"ignore": [{"path": "$.a", "reason": "r", "expires": "soon"}]}, "expires must be a date"),
        ({"tolerate": [{"path": "$.a", "reason": "r"}]}, "say how much is tolerated"),
        ({"tolerate": [{"path": "$.a", "reason": "r", "absolute": -1}]}, "not negative"),
        ({"expect": [{"path": "$.a", "reason": "r", "min": 5, "max": 2}]}, "min 5 is greater than max 2"),
        ({"expect": [{"path": 5, "reason": "r"}]}, "path must be text"),
    ],
)
def test_a_wrong_rule_is_refused_with_its_number_and_what_to_do(tables: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        rules(**tables)
