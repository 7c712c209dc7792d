from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from typing import Any

from capture.exchange import Exchange, Request, Response, Times
from diff.report.model import Report
from replay.outcome import Outcome, Performance, Role
from tests.support.judging import judged
from tests.support.service import NOW_NS

ROLES: dict[str, Role] = {"current": "current", "reference": "reference", "candidate": "candidate"}
THINGS = 40
READS = 8

Ids = Mapping[int, int]
"""The number that a build gave to the n-th thing, where it is not the one that its place in the plan would give it."""

SWAPPED: Ids = {9: 10, 10: 9}


def named(number: int) -> str:
    """A global id, as Relay's: one character more of the number may be four characters more here."""
    return base64.b64encode(f"Person:{number:d}".encode()).decode()


def report_of(
    said: Mapping[str, Callable[[str, int], tuple[dict[str, Any], int]]], *, sessions: int = 1, reads: int = READS
) -> Report:
    """A run in which things are made and then read; said: body and serial of a build by method and thing."""
    performances = []
    for position in range(THINGS * (reads + 1)):
        made, step = divmod(position, reads + 1)
        method, thing = ("GET", max(0, made - step % 3)) if step else ("POST", made)
        target = f"/things/{thing}" if step else "/things"
        at = NOW_NS + position * 10**8
        outcomes = []
        for name, role in ROLES.items():
            content, serial = said[name](method, thing)
            body = json.dumps(content).encode()
            fields = (("Content-Type", "application/json"), ("X-Serial", str(serial)))
            answer = Response(200, "OK", "HTTP/1.1", fields, body, len(body))
            outcomes.append(Outcome(name, role, at, at, at, at + 10**6, response=answer))
        request = Request(method, target, "HTTP/1.1", (("Host", "x"),), b"", 0)
        exchange = Exchange(
            f"x-{position}", f"s{position % sessions}", "relay", 1.0, request, None, Times(at, at, at, at)
        )
        performances.append(Performance(position, exchange, tuple(outcomes)))
    return judged(performances, timing=False)


def ids(changed: Ids, name: Callable[[int], Any] = named) -> Callable[[str, int], tuple[dict[str, Any], int]]:
    return lambda _method, thing: ({"id": name(changed.get(thing, thing) + 91)}, 7)


def told(report: Report) -> tuple[str, list[str]]:
    return report.verdict, [finding.path for finding in report.candidates["candidate"].findings]


def test_two_ids_that_a_build_gave_the_other_way_round_are_one_event_in_however_many_answers() -> None:
    report = report_of({"current": ids({}), "reference": ids({}), "candidate": ids(SWAPPED)}, reads=20)
    assert told(report) == ("promote", [])


def test_so_are_ids_that_are_numbers() -> None:
    said = {"current": ids({}, int), "reference": ids({}, int), "candidate": ids(SWAPPED, int)}
    assert told(report_of(said, reads=20)) == ("promote", [])


def test_an_id_that_is_longer_because_its_number_has_one_digit_more_is_no_change_where_the_reference_renames_too() -> (
    None
):
    longer: Ids = {8: 9, 9: 8}  # 99 and 100
    assert len(named(99)) != len(named(100))
    said = {"current": ids({}), "reference": ids({20: 21, 21: 20, 30: 31, 31: 30}), "candidate": ids(longer)}
    assert told(report_of(said, reads=20)) == ("promote", [])


def test_ids_that_are_cut_are_found_beside_ids_that_were_given_the_other_way_round() -> None:
    def cut(method: str, thing: int) -> tuple[dict[str, Any], int]:
        return {"id": named(thing + 91)[:-4]}, 7

    report = report_of({"current": ids({}), "reference": ids({20: 21, 21: 20}), "candidate": cut})
    assert told(report) == ("hold", ["$['id']", "$['id']"])


def test_one_id_for_all_is_found_beside_ids_that_were_given_the_other_way_round() -> None:
    constant = ids(dict.fromkeys(range(THINGS), 3))
    report = report_of({"current": ids({}), "reference": ids({20: 21, 21: 20}), "candidate": constant})
    assert report.verdict == "hold"


def test_numbers_that_changed_places_where_no_write_gave_them_out_are_found() -> None:
    def ranks(*order: int) -> Callable[[str, int], tuple[dict[str, Any], int]]:
        return lambda method, thing: ({"rank": order[thing % 5]} if method == "GET" else {}, 7)

    said = {"current": ranks(1, 2, 3, 4, 5), "reference": ranks(1, 2, 3, 4, 5), "candidate": ranks(5, 4, 3, 2, 1)}
    assert told(report_of(said)) == ("hold", ["$['rank']"])


def serial(late: Callable[[int, int], bool], distance: int = -1) -> Callable[[str, int], tuple[dict[str, Any], int]]:
    """A counter of writes; late: whether an answer about that thing came just before the last write was done."""
    asked = iter(range(10**6))

    def say(_method: str, thing: int) -> tuple[dict[str, Any], int]:
        return {}, 1000 + thing + (distance if late(thing, next(asked)) else 0)

    return say


def in_step(_thing: int, _number: int) -> bool:
    return False


def test_a_counter_of_writes_that_is_read_before_the_last_write_now_and_then_is_no_finding() -> None:
    said = {
        "current": serial(in_step),
        "reference": serial(lambda thing, _: thing in (5, 28)),
        "candidate": serial(lambda thing, _: 11 <= thing < 18),
    }
    assert told(report_of(said)) == ("promote", [])
    assert told(report_of(said, sessions=40)) == ("promote", [])


def test_a_counter_that_is_off_from_the_first_answer_on_is_found() -> None:
    said = {
        "current": serial(in_step),
        "reference": serial(lambda thing, _: thing in (5, 28)),
        "candidate": serial(lambda _, __: True),
    }
    assert told(report_of(said)) == ("hold", ["header:x-serial", "header:x-serial"])


def test_a_counter_that_stays_behind_for_good_may_be_one_event_and_is_inconclusive() -> None:
    said = {
        "current": serial(in_step),
        "reference": serial(lambda thing, _: thing in (5, 28)),
        "candidate": serial(lambda thing, _: thing > 20),
    }
    report = report_of(said)
    assert told(report) == ("inconclusive", [])
    assert any("on the candidate alone: one or two requests" in reason for reason in report.reasons)


def test_a_counter_that_goes_up_by_two_is_found() -> None:
    def twice(_method: str, thing: int) -> tuple[dict[str, Any], int]:
        return {}, 1000 + 2 * thing

    said = {"current": serial(in_step), "reference": serial(lambda thing, _: thing in (5, 28)), "candidate": twice}
    assert told(report_of(said))[0] == "hold"
