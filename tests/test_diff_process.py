from __future__ import annotations

import datetime
import json
import random
from collections.abc import Callable
from typing import Any

import pytest

from capture.exchange import Exchange, Request, Response, Times
from diff.judge import judge
from diff.odd import GroupKey
from diff.process import ProcessFacts
from diff.report.model import CandidateReport
from diff.settings import DiffConfig
from diff.subject import Subject
from replay.outcome import Outcome, Performance, Role

START_NS = 1_790_000_000 * 10**9
PLACE = GroupKey("GET /health", "$['n']")


def test_a_number_that_grows_or_a_whole_one_that_stays_may_be_the_process_s_own() -> None:
    growing, pid, price = ProcessFacts(), ProcessFacts(), ProcessFacts()
    assert all(growing.is_own(PLACE, count * 0.5) for count in range(100))
    assert all(pid.is_own(PLACE, 4711) for _ in range(100))
    assert [price.is_own(PLACE, 1.5) for _ in range(100)].count(False) == 99


def test_a_counter_may_go_back_by_what_is_under_way_and_no_further() -> None:
    numbers = ProcessFacts()
    assert all(numbers.is_own(PLACE, count ^ 7) for count in range(100))
    assert not numbers.is_own(PLACE, 20)


def test_numbers_that_go_up_and_down_are_of_the_thing_that_was_asked_for() -> None:
    numbers = ProcessFacts()
    told = [numbers.is_own(PLACE, count * 37 % 101) for count in range(200)]
    assert told[100:].count(True) < 5


def test_a_name_with_a_number_is_the_process_s_own_while_it_stays() -> None:
    facts = ProcessFacts()
    assert [facts.is_own_name(PLACE, name) for name in ("node-7", "node-7", "node-8")] == [True, True, False]


def test_a_numbered_name_that_is_of_the_data_is_judged_whatever_production_said() -> None:
    said: dict[str, Said] = {
        "current": lambda number: {"sku": f"item-{number % 20}"},
        "reference": lambda number: {"sku": f"item-{number % 20}"},
        "candidate": lambda number: {"sku": f"item-{number % 20 + 1}"},
    }
    report = judged("GET", said, recorded=lambda number: {"sku": f"item-{number % 20 + 500}"}, count=200)
    assert [finding.path for finding in report.findings] == ["$['sku']"]


def answer(content: dict[str, Any]) -> Response:
    """As JSON; what is called x-serial is a header."""
    headers = [("Content-Type", "application/json")]
    headers += [(name, value) for name, value in content.items() if name == "x-serial"]
    body = json.dumps({name: value for name, value in content.items() if name != "x-serial"}).encode()
    return Response(200, "OK", "HTTP/1.1", tuple(headers), body, len(body))


Said = Callable[[int], dict[str, Any]]


def judged(method: str, said: dict[str, Said], *, recorded: Said | None, count: int = 60) -> CandidateReport:
    """A run with the current build's own process as reference; `said`: what each answers to the n-th request."""
    roles: dict[str, Role] = {"current": "current", "reference": "reference", "candidate": "candidate"}
    performances = []
    for number in range(count):
        at = START_NS + number * 10**9
        outcomes = tuple(
            Outcome(name, role, at, at, at, at + 10**6, response=answer(said[name](number)))
            for name, role in roles.items()
        )
        body = b"x" if method == "POST" else b""
        request = Request(method, f"/things/{number % 20}", "HTTP/1.1", (("Host", "shop"),), body, len(body))
        seen = None if recorded is None else answer(recorded(number))
        exchange = Exchange(f"s-{number}", "s", "relay", 1.0, request, seen, Times(at, at, at, at))
        performances.append(Performance(number, exchange, outcomes))
    subject = Subject(
        lambda: performances, current="current", candidates=["candidate"], reference="reference", one_process=True
    )
    report = judge(subject, DiffConfig(timing=False), (), datetime.date(2026, 9, 21))
    return report.candidates["candidate"]


def own(number: int, *, pid: int, first: int, step: int = 1, second: int = 0) -> dict[str, Any]:
    return {
        "pid": pid,
        "by": f"node-{pid}",
        "requests": first + step * number + second,
        "uptime": first + number * 0.25,
    }


def test_what_a_process_counts_is_no_finding_where_it_was_asked_twice() -> None:
    said: dict[str, Said] = {
        "current": lambda number: own(number, pid=11, first=1, step=2, second=number % 3 % 2),
        "reference": lambda number: own(number, pid=11, first=1, step=2, second=1 - number % 3 % 2),
        "candidate": lambda number: own(number, pid=22, first=0),
    }
    report = judged("GET", said, recorded=lambda number: own(number, pid=33, first=7000))
    assert (report.verdict, report.findings) == ("promote", ())


def test_what_a_process_counts_is_open_where_production_s_answers_were_not_seen() -> None:
    said: dict[str, Said] = {
        "current": lambda number: own(number, pid=11, first=1, step=2, second=number % 3 % 2),
        "reference": lambda number: own(number, pid=11, first=1, step=2, second=1 - number % 3 % 2),
        "candidate": lambda number: own(number, pid=22, first=0),
    }
    report = judged("GET", said, recorded=None)
    assert (report.verdict, report.findings) == ("inconclusive", ())


def test_a_random_number_is_judged_where_production_s_answers_were_not_seen() -> None:
    chance = random.Random(1)
    said: dict[str, Said] = {
        "current": lambda _: {"took": chance.random()},
        "reference": lambda _: {"took": chance.random()},
        "candidate": lambda _: {"took": chance.random()},
    }
    report = judged("GET", said, recorded=None, count=25)
    assert (report.verdict, report.findings) == ("promote", ())
    wrong = judged("GET", {**said, "candidate": lambda _: {"took": 100 + chance.random()}}, recorded=None, count=200)
    assert [finding.path for finding in wrong.findings] == ["$['took']"]


def stored(number: int, *, each: int) -> dict[str, Any]:
    names = [f"note {written // each}" for written in range(number * each)]
    return {"count": len(names), "names": names, "last": names[-1] if names else None}


def test_what_was_written_twice_is_no_finding_where_production_wrote_it_once() -> None:
    said: dict[str, Said] = {
        "current": lambda number: stored(number, each=2),
        "reference": lambda number: stored(number, each=2),
        "candidate": lambda number: stored(number, each=1),
    }
    report = judged("POST", said, recorded=lambda number: stored(number, each=1))
    assert (report.verdict, report.findings) == ("promote", ())


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize(
    ("spoilt", "path"),
    [
        (lambda one: {**one, "count": str(one["count"])}, "$['count']"),
        (lambda one: {**one, "names": None}, "$['names']"),
        (lambda one: {**one, "kind": "memo"}, "$['kind']"),
    ],
)
def test_a_change_beside_what_was_written_twice_is_a_finding(
    method: str, spoilt: Callable[[dict[str, Any]], dict[str, Any]], path: str
) -> None:
    def candidate(number: int) -> dict[str, Any]:
        return spoilt({**stored(3, each=1), "count": number, "kind": "note"})

    def current(number: int) -> dict[str, Any]:
        return {**stored(3, each=1), "count": 2 * number, "kind": "note"}

    report = judged(
        method,
        {"current": current, "reference": current, "candidate": candidate},
        recorded=lambda number: {**stored(3, each=1), "count": number, "kind": "note"},
    )
    assert [finding.path for finding in report.findings] == [path]


def test_numbers_of_data_that_production_had_otherwise_are_judged() -> None:
    said: dict[str, Said] = {
        "current": lambda number: {"price": number * 37 % 101},
        "reference": lambda number: {"price": number * 37 % 101},
        "candidate": lambda number: {"price": number * 37 % 101 + 1},
    }
    report = judged("GET", said, recorded=lambda number: {"price": number * 41 % 103 + 500}, count=200)
    assert [finding.path for finding in report.findings] == ["$['price']"]


def test_a_counter_of_writes_in_a_header_is_no_finding_where_it_was_written_twice() -> None:
    said: dict[str, Said] = {
        "current": lambda number: {"x-serial": str(1000 + 2 * number)},
        "reference": lambda number: {"x-serial": str(1001 + 2 * number)},
        "candidate": lambda number: {"x-serial": str(1000 + number)},
    }
    report = judged("POST", said, recorded=lambda number: {"x-serial": str(1000 + number)})
    assert (report.verdict, report.findings) == ("promote", ())
    same = {**said, "reference": said["current"]}
    assert judged("POST", same, recorded=lambda number: {"x-serial": str(1000 + number)}).verdict == "promote"


def test_a_header_of_words_is_judged_beside_what_was_written_twice() -> None:
    said: dict[str, Said] = {
        "current": lambda _: {"x-serial": "public"},
        "reference": lambda _: {"x-serial": "public"},
        "candidate": lambda _: {"x-serial": "private"},
    }
    report = judged("POST", said, recorded=lambda _: {"x-serial": "shared"})
    assert [finding.path for finding in report.findings] == ["header:x-serial"]


@pytest.mark.parametrize("distance", [1, -1])
def test_a_number_one_off_production_s_is_open_where_the_current_build_was_written_twice(distance: int) -> None:
    said: dict[str, Said] = {
        "current": lambda number: {"count": 2 * number},
        "reference": lambda number: {"count": 2 * number},
        "candidate": lambda number: {"count": number + distance},
    }
    report = judged("POST", said, recorded=lambda number: {"count": number})
    assert (report.verdict, report.findings) == ("inconclusive", ())
    assert any("written twice" in reason and "--reference URL" in reason for reason in report.reasons)


def test_a_number_that_lags_now_and_then_or_lies_elsewhere_altogether_is_not_open() -> None:
    said: dict[str, Said] = {
        "current": lambda number: {"count": 2 * number, "rows": 900 + 2 * number},
        "reference": lambda number: {"count": 2 * number, "rows": 900 + 2 * number},
        "candidate": lambda number: {"count": number - (number % 5 == 0), "rows": 900 + number},
    }
    report = judged("POST", said, recorded=lambda number: {"count": number, "rows": 7000 + number})
    assert (report.verdict, report.findings) == ("promote", ())
