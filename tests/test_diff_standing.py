from __future__ import annotations

import json

import pytest

from capture.exchange import Exchange, Request, Response, Times
from diff.standing import Asked, Races, Standing
from replay.outcome import Outcome, Performance, Role
from tests.support.judging import judged
from tests.support.service import NOW_NS

ROLES: dict[str, Role] = {"current": "current", "reference": "reference", "candidate": "candidate"}

PLACE = "$['orders'][*]['number']"


def told(standing: Standing, *marks: int | None, request: int = 1) -> list[bool]:
    """Whether each answer shows what was told before; a mark stands for the values that differ, None for none."""
    found = ({} if mark is None else {PLACE: mark} for mark in marks)
    return [bool(standing.observe(request, one, Asked(0, 1), Races(unseen=True))) for one in found]


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
    assert standing.observe(1, {PLACE: 7, "$['total']": 9}, Asked(0, 1), Races(unseen=True)) == {PLACE}


def sequence(races: Races, *marks: int | None) -> list[bool]:
    """The same with one answer a second, asked at 0, 10, 20..."""
    standing = Standing()
    found = ({} if mark is None else {PLACE: mark} for mark in marks)
    return [bool(standing.observe(1, one, Asked(10 * n, 10 * n + 1), races)) for n, one in enumerate(found)]


def raced(*writes: tuple[int, int]) -> Races:
    races = Races()
    for sent, done in writes:
        races.write(Asked(sent, done))
    return races


def test_writes_one_after_the_other_are_no_race() -> None:
    assert not raced((1, 2), (3, 5), (5, 9)).between(0, 100)
    assert raced((1, 4), (3, 5)).between(0, 100)
    assert not raced((1, 4), (3, 5)).between(6, 100)
    assert raced((4, 5), (1, 9)).between(6, 100)


def test_races_beyond_the_bound_may_have_been_at_any_earlier_time() -> None:
    races = raced(*((10 * n, 10 * n + 20) for n in range(5000)))
    assert races.between(0, 1)
    assert races.between(49_000, 49_001)
    assert not races.between(60_000, 60_001)


def test_what_began_without_a_race_counts_each_time() -> None:
    assert sequence(raced((12, 13), (14, 15)), None, None, 7, 7, 7, 7) == [False] * 6


def test_what_began_with_a_race_is_told_once_and_a_race_at_another_time_is_none() -> None:
    assert sequence(raced((12, 15), (14, 16)), None, None, 7, 7, 7) == [False, False, False, True, True]
    assert sequence(raced((32, 35), (34, 36)), None, None, 7, 7, 7) == [False] * 5


def test_a_change_that_begins_with_a_write_and_no_race_is_found_however_few_show_it() -> None:
    performances = []
    for number in range(200):
        request = Request("PUT" if number == 150 else "GET", "/cart", "HTTP/1.1", (("Host", "x"),), b"", 0)
        at = NOW_NS + number * 10**9
        outcomes = []
        for name, role in ROLES.items():
            total = 9 if name == "candidate" and 150 < number < 159 else 7
            body = json.dumps({"total": total, "lines": number // 170}).encode()
            answer = Response(200, "OK", "HTTP/1.1", (("Content-Type", "application/json"),), body, len(body))
            outcomes.append(Outcome(name, role, at, at, at, at + 10**6, response=answer))
        exchange = Exchange(f"x-{number}", "s", "relay", 1.0, request, None, Times(at, at, at, at))
        performances.append(Performance(number, exchange, tuple(outcomes)))
    report = judged(performances, timing=False)
    assert [finding.path for finding in report.candidates["candidate"].findings] == ["$['total']"]


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
        request = Request("POST" if number in (0, 28, 29) else "GET", "/todos", "HTTP/1.1", (("Host", "x"),), b"", 0)
        at = NOW_NS + min(number, number - (number == 29)) * 10**9  # Two write at the same time.
        outcomes = []
        for name, role in ROLES.items():
            body = shown if name == "candidate" and 30 <= number < 30 + count else lists(2)
            answer = Response(200, "OK", "HTTP/1.1", (("Content-Type", "application/json"),), body, len(body))
            outcomes.append(Outcome(name, role, at, at, at, at + 10**6, response=answer))
        exchange = Exchange(f"x-{number}", f"s{number % 7}", "relay", 1.0, request, None, Times(at, at, at, at))
        performances.append(Performance(number, exchange, tuple(outcomes)))
    report = judged(performances, timing=False)
    assert (report.verdict, report.candidates["candidate"].findings) == (verdict, ())
