"""Runs judged by what came of the requests: failures, timeouts, refusals, streams that were left, nothing at all."""

from __future__ import annotations

import random

import msgspec
import pytest

from capture.exchange import Response
from diff.report.html import as_html
from diff.report.json import as_plain
from replay.outcome import Failure, Performance
from tests.support.defects import status
from tests.support.judging import judged, told
from tests.support.service import run


def test_one_request_that_got_no_answer_holds() -> None:
    report = judged(run(1, requests=300, failure=lambda call: "reset" if call.number == 7 else None))
    assert report.verdict == "hold"
    (finding,) = report.candidates["candidate"].findings
    assert (finding.path, finding.count, finding.severity) == ("outcome", 1, "breaking")


def test_a_candidate_that_never_answers_holds_and_is_one_finding() -> None:
    report = judged(run(1, requests=300, failure=lambda call: "refused"))
    assert report.verdict == "hold"
    assert told(report) == [("*", "outcome", "type")]
    assert report.candidates["candidate"].totals.different == 300


def test_one_error_of_the_candidate_alone_is_inconclusive() -> None:
    report = judged(run(1, requests=300, defect=status(500, when=lambda call: call.number == 7)))
    assert (report.verdict, told(report)) == ("inconclusive", [])
    assert any("status: value 200 -> 500 in 1 of" in reason and "too rare" in reason for reason in report.reasons)


def test_a_current_build_that_fails_once_is_inconclusive() -> None:
    performances = run(1, requests=300)
    failed = performances[5].outcomes[0]
    broken = msgspec.structs.replace(failed, response=None, failure=Failure("timeout", "first_byte"))
    performances[5] = msgspec.structs.replace(performances[5], outcomes=(broken, *performances[5].outcomes[1:]))
    report = judged(performances)
    assert report.verdict == "inconclusive"
    assert any("the current build 'current' gave no answer to 1 of 300" in reason for reason in report.reasons)
    assert report.candidates["candidate"].totals.not_comparable == {"current failed: timeout": 1}


def test_an_empty_run_is_inconclusive() -> None:
    report = judged([])
    assert report.verdict == "inconclusive"
    assert any("the run is empty" in reason for reason in report.reasons)


def test_a_run_in_which_nothing_was_sent_is_inconclusive() -> None:
    skipped = [Performance(one.position, one.exchange, skipped="unsafe method") for one in run(1, requests=20)]
    report = judged(skipped)
    assert report.verdict == "inconclusive"
    assert any("all 20 planned requests were skipped (unsafe method 20)" in reason for reason in report.reasons)


def test_a_partial_run_is_never_promoted() -> None:
    report = judged(run(1, requests=300), partial="interrupted after 300 of 900")
    assert report.verdict == "inconclusive"
    assert any("partial: interrupted" in reason for reason in report.reasons)


def test_the_ledger_adds_up_for_every_mix_of_outcomes() -> None:
    for seed in range(20):
        chance = random.Random(seed)
        mixed = []
        for one in run(seed, requests=60):
            fate = chance.random()
            if fate < 0.2:
                mixed.append(Performance(one.position, one.exchange, skipped=chance.choice(["unsafe method", "cut"])))
                continue
            outcomes = [
                msgspec.structs.replace(each, response=None, failure=Failure("reset", "body"))
                if chance.random() < 0.2
                else each
                for each in one.outcomes
            ]
            mixed.append(msgspec.structs.replace(one, outcomes=tuple(outcomes)))
        judged(mixed)


def test_builds_that_all_refuse_what_production_answered_are_not_promoted() -> None:
    performances = run(3, requests=200)
    refused = msgspec.structs.replace(
        performances[0].outcomes[0].response, status=401, headers=(), body=b"", body_bytes=0
    )
    alike = [
        msgspec.structs.replace(
            one, outcomes=tuple(msgspec.structs.replace(o, response=refused, failure=None) for o in one.outcomes)
        )
        for one in performances
    ]
    report = judged(alike)
    assert (report.verdict, told(report)) == ("inconclusive", [])
    assert "with an error that production had answered without" in report.reasons[0]
    assert judged(alike, refused_max=1.0).verdict == "promote"


def late(performances: list[Performance], builds: tuple[str, ...], every: int, left: bool = False) -> list[Performance]:
    """The same, but in each `every`th these builds do not answer in time. left: nor had production's been answered."""
    failure = Failure("timeout", "first_byte")
    return [
        one
        if number % every
        else msgspec.structs.replace(
            one,
            outcomes=tuple(
                msgspec.structs.replace(outcome, response=None, failure=failure, left=left)
                if outcome.build in builds
                else outcome
                for outcome in one.outcomes
            ),
        )
        for number, one in enumerate(performances)
    ]


ALL = ("current", "reference", "candidate")


def test_where_all_builds_are_late_alike_it_is_not_held_against_the_candidate() -> None:
    report = judged(late(run(1, requests=300), ALL, 30))
    assert (report.verdict, told(report)) == ("inconclusive", [])
    assert any("no build, candidate among them, answered 10 of 300 requests in time" in one for one in report.reasons)
    assert not any("candidate: no answer" in reason for reason in report.reasons)


def test_a_candidate_that_alone_is_late_is_held_among_those_that_all_are() -> None:
    report = judged(late(late(run(1, requests=300), ALL, 30), ("candidate",), 75))
    assert report.verdict == "hold"
    assert any("candidate: no answer to 2 of 300 requests (timeout 2)" in reason for reason in report.reasons)


@pytest.mark.parametrize("left", [False, True])
def test_a_run_of_timeouts_alone_is_inconclusive(left: bool) -> None:
    report = judged(late(run(1, requests=50), ALL, 1, left))
    assert report.verdict == "inconclusive"
    assert any("none of 50 pairs could be compared" in reason for reason in report.reasons)


def test_requests_that_production_left_without_an_answer_too_do_not_keep_from_promoting() -> None:
    report = judged(late(run(1, requests=300), ALL, 30, left=True))
    assert (report.verdict, told(report)) == ("promote", [])
    assert any("no build had answered 10 requests when production's client had left" in one for one in report.reasons)
    assert report.candidates["candidate"].totals.not_comparable.total() == 10


def test_a_dead_candidate_is_never_promoted_whatever_production_left() -> None:
    report = judged(late(run(1, requests=300), ("candidate",), 1, left=False))
    assert report.verdict == "hold"


def streams(count: int, changed: bool = False) -> list[Performance]:
    """Streams of events that all builds were left on, after very different times, and so after more or fewer events."""
    performances = []
    for number, one in enumerate(run(2, requests=count)):
        outcomes = []
        for place, outcome in enumerate(one.outcomes):
            price = "prize" if changed and outcome.role == "candidate" else "price"
            events = [
                f'event: tick\ndata: {{"n": {n}, "{price}": {n % 3}}}\n\n' for n in range(3 + number % 4 + 2 * place)
            ]
            body = "".join(events).encode() + b"event: tick\nda"
            response = Response(200, "OK", "HTTP/1.1", (("Content-Type", "text/event-stream"),), body, len(body))
            sent = outcome.sent_ns or 0
            listened = 10**9 * (1 + 5 * place)  # the candidate's were listened to for longer
            outcomes.append(
                msgspec.structs.replace(
                    outcome,
                    response=response,
                    failure=None,
                    left=True,
                    first_byte_ns=sent + 10**6,
                    end_ns=sent + listened,
                )
            )
        performances.append(msgspec.structs.replace(one, outcomes=tuple(outcomes)))
    return performances


def test_streams_that_were_left_are_the_same_however_long_they_were_listened_to() -> None:
    report = judged(streams(120))
    assert (report.verdict, told(report)) == ("promote", [])
    assert report.candidates["candidate"].totals.same == 120
    assert any("120 answers of 'current' were left before their end" in reason for reason in report.reasons)
    assert as_plain(report)["ledger"]["left"] == {"candidate": 120, "current": 120, "reference": 120}
    assert '<td class="n">120 (120 left before their end)</td>' in as_html(report, "run")
    assert {row.verdict for row in report.candidates["candidate"].timing} <= {"same", "unknown"}


def test_a_change_in_the_events_of_a_stream_that_was_left_holds() -> None:
    report = judged(streams(120, changed=True))
    assert report.verdict == "hold"
    assert {path for _, path, _ in told(report)} <= {"$[*]['data']['price']", "$[*]['data']['prize']"}
    assert told(report) != []
