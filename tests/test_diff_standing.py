from __future__ import annotations

import json

import pytest

from capture.exchange import Exchange, Request, Response, Times
from diff.standing import Standing
from replay.outcome import Outcome, Performance, Role
from tests.support.judging import judged
from tests.support.service import NOW_NS

ROLES: dict[str, Role] = {"current": "current", "reference": "reference", "candidate": "candidate"}

PLACE = "$['orders'][*]['number']"


def told(standing: Standing, *marks: int | None, request: int = 1) -> list[bool]:
    """Whether each answer shows what was told before; a mark stands for the values that differ, None for none."""
    return [bool(standing.observe(request, {} if mark is None else {PLACE: mark})) for mark in marks]


def test_what_came_after_an_equal_answer_and_stays_is_told_once() -> None:
    assert told(Standing(), None, 7, 7, 7) == [False, False, True, True]


def test_what_differs_from_the_first_answer_on_counts_each_time() -> None:
    assert told(Standing(), 7, 7, 7) == [False, False, False]


def test_what_comes_and_goes_counts_each_time_it_comes() -> None:
    assert told(Standing(), None, 7, None, 7, None, 7) == [False] * 6


def test_other_values_are_another_difference() -> None:
    assert told(Standing(), None, 7, 8, 8) == [False, False, False, True]


def test_requests_are_kept_apart_and_only_the_place_that_stands_is_told() -> None:
    standing = Standing()
    assert told(standing, None, 7) == [False, False]
    assert told(standing, 7, 7, request=2) == [False, False]
    assert standing.observe(1, {PLACE: 7, "$['total']": 9}) == {PLACE}


def lists(last: int, *, total: int = 3) -> bytes:
    return json.dumps({"todos": [{"id": 1, "of": "ann"}, {"id": last, "of": "bob"}], "total": total}).encode()


@pytest.mark.parametrize(
    ("shown", "count", "verdict"),
    [
        (lists(3), 4, "promote"),
        (lists(3), 20, "inconclusive"),
        (lists(2, total=4), 4, "inconclusive"),
        (lists(2, total=4), 2, "promote"),
    ],
    ids=["a list for a while", "a list for long", "a number for a while", "a number twice"],
)
def test_who_is_in_a_list_may_stand_otherwise_for_longer_than_what_is_beside_it(
    shown: bytes, count: int, verdict: str
) -> None:
    performances = []
    for number in range(61):
        request = Request("POST" if number == 0 else "GET", "/todos", "HTTP/1.1", (("Host", "x"),), b"", 0)
        at = NOW_NS + number * 10**9
        outcomes = []
        for name, role in ROLES.items():
            body = shown if name == "candidate" and 30 <= number < 30 + count else lists(2)
            answer = Response(200, "OK", "HTTP/1.1", (("Content-Type", "application/json"),), body, len(body))
            outcomes.append(Outcome(name, role, at, at, at, at + 10**6, response=answer))
        exchange = Exchange(f"x-{number}", f"s{number % 7}", "relay", 1.0, request, None, Times(at, at, at, at))
        performances.append(Performance(number, exchange, tuple(outcomes)))
    report = judged(performances, timing=False)
    assert (report.verdict, report.candidates["candidate"].findings) == (verdict, ())
