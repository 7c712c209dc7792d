"""Whole runs judged: the current build as its own candidate, planted defects, and what explains them."""

from __future__ import annotations

import gzip
import json
import random
from typing import Any

import msgspec
import pytest

from capture.exchange import Response
from diff.judge import learn_routes
from diff.report.json import as_json
from diff.settings import DiffConfig
from diff.subject import Subject
from replay.outcome import Binding, Performance
from tests.support.defects import DEFECTS, Planted, header, on, put, status
from tests.support.judging import judged, told
from tests.support.service import Answer, Call, run


@pytest.mark.slow
@pytest.mark.parametrize("first", range(0, 100, 20))
def test_the_current_build_as_its_own_candidate_is_promoted_for_a_hundred_seeds(first: int) -> None:
    for seed in range(first, first + 20):
        report = judged(run(seed, requests=300))
        assert (report.verdict, told(report)) == ("promote", []), (seed, report.reasons)


def test_without_a_reference_the_current_build_is_promoted_too_and_the_report_says_what_is_missing() -> None:
    for seed in range(10):
        report = judged(run(seed, requests=400, reference=False), reference=False)
        assert (report.verdict, told(report)) == ("promote", []), (seed, report.reasons)
        assert any("replay with --reference" in reason for reason in report.reasons)


@pytest.mark.parametrize("planted", DEFECTS, ids=lambda planted: planted.name)
def test_a_planted_defect_is_exactly_one_finding_at_its_place(planted: Planted) -> None:
    report = judged(run(11, requests=900, defect=planted.defect), timing=False)
    assert report.verdict == "hold"
    (finding,) = report.candidates["candidate"].findings
    assert (finding.route, finding.path) == (planted.route, planted.path)
    assert finding.kind in planted.kinds
    assert finding.examples
    assert 0 < finding.share_low <= finding.share <= finding.share_high <= 1


def test_a_new_field_without_content_breaks_nobody() -> None:
    report = judged(run(11, requests=900, defect=on("/products/{}", put("digest", None))), timing=False)
    (finding,) = report.candidates["candidate"].findings
    assert (finding.path, finding.kind, finding.severity) == ("$['digest']", "extra", "behavioural")


def test_a_list_whose_elements_changed_in_several_ways_counts_each_pair_once() -> None:
    chance = random.Random(1)

    def with_ads(one: Performance) -> Performance:
        outcomes = []
        for outcome in one.outcomes:
            none = False if outcome.build == "candidate" else None
            ads = [chance.choice([none, {"id": chance.getrandbits(64)}]) for _ in range(6)]
            body = json.dumps({"ads": ads}).encode()
            answer = Response(200, "OK", "HTTP/1.1", (("Content-Type", "application/json"),), body, len(body))
            outcomes.append(msgspec.structs.replace(outcome, response=answer))
        return msgspec.structs.replace(one, outcomes=tuple(outcomes))

    report = judged([with_ads(one) for one in run(1, requests=200, rare=0)], timing=False)
    findings = report.candidates["candidate"].findings
    assert {finding.path for finding in findings} == {"$['ads'][*]"}
    assert all(0 < finding.count <= finding.pairs for finding in findings)
    assert all(0 < finding.share <= 1 for finding in findings)


def test_examples_show_the_rare_change_and_not_the_noise_that_is_beside_it() -> None:
    chance = random.Random(2)

    def failing(one: Performance) -> Performance:
        outcomes = []
        for outcome in one.outcomes:
            code = (
                503 if chance.random() < 0.1 else 500 if outcome.build == "candidate" and not one.position % 50 else 0
            )
            if code and outcome.response is not None:
                outcome = msgspec.structs.replace(
                    outcome, response=msgspec.structs.replace(outcome.response, status=code)
                )
            outcomes.append(outcome)
        return msgspec.structs.replace(one, outcomes=tuple(outcomes))

    performances = [failing(one) for one in run(1, requests=1200, rare=0)]
    report = judged(performances, timing=False)
    (finding,) = report.candidates["candidate"].findings
    assert (finding.path, finding.to_class) == ("status", "500")
    by_id = {one.exchange.id: one for one in performances}
    assert finding.examples
    for identity in finding.examples:
        outcome = by_id[identity].outcome_of("candidate")
        assert outcome is not None
        assert outcome.response is not None
        assert outcome.response.status == 500


@pytest.mark.parametrize(("pairs", "verdict"), [(1, "promote"), (2, "promote"), (3, "inconclusive")])
def test_a_body_that_once_or_twice_was_not_compressed_does_not_forbid_to_promote(pairs: int, verdict: str) -> None:
    def packed(one: Performance) -> Performance:
        outcomes = []
        for outcome in one.outcomes:
            assert outcome.response is not None
            is_plain = outcome.build == "candidate" and one.position in (20, 30, 40)[:pairs]
            coding = () if is_plain else (("Content-Encoding", "gzip"), ("Vary", "Accept-Encoding"))
            body = b'{"a": 1}' if is_plain else gzip.compress(b'{"a": 1}', mtime=0)
            answer = Response(200, "OK", "HTTP/1.1", (*outcome.response.headers, *coding), body, len(body))
            outcomes.append(msgspec.structs.replace(outcome, response=answer))
        return msgspec.structs.replace(one, outcomes=tuple(outcomes))

    chosen = [one for one in run(1, requests=300, rare=0) if one.exchange.request.target == "/products"][:60]
    performances = [msgspec.structs.replace(one, position=number) for number, one in enumerate(chosen)]
    report = judged([packed(one) for one in performances], timing=False)
    assert (report.verdict, told(report)) == (verdict, [])


def test_several_defects_at_once_are_each_told_once() -> None:
    chosen = [
        one for one in DEFECTS if one.name in ("a value", "a lost element", "one language", "a counter that stopped")
    ]

    def all_of_them(call: Call, found: Answer) -> Answer:
        for one in chosen:
            found = one.defect(call, found)
        return found

    report = judged(run(3, requests=900, defect=all_of_them), timing=False)
    assert sorted((route, path) for route, path, _ in told(report)) == sorted((one.route, one.path) for one in chosen)


def test_what_one_language_sees_is_explained_by_it() -> None:
    (planted,) = (one for one in DEFECTS if one.name == "one language")
    (finding,) = judged(run(1, requests=900, defect=planted.defect)).candidates["candidate"].findings
    (explanation,) = finding.explained_by
    assert (explanation.dimension, explanation.value) == ("header:accept-language", "tr")


def test_what_one_language_sees_on_later_pages_alone_is_explained_by_both_together() -> None:
    def later_in_turkish(call: Call) -> bool:
        return call.language == "tr" and "page=" in call.target

    defect = on("/search", put("internal", 1), when=later_in_turkish)
    (finding,) = judged(run(1, requests=3000, defect=defect, pages=3)).candidates["candidate"].findings
    first = finding.explained_by[0]
    assert first.predicate == "header:accept-language: tr and query:page present"
    assert (first.inside, first.outside) == (1.0, 0.0)


def test_a_value_of_one_language_in_a_run_with_pages_is_explained_by_the_language_alone() -> None:
    defect = on("/search", put("internal", 1), when=lambda call: call.language == "tr")
    (finding,) = judged(run(1, requests=3000, defect=defect, pages=3)).candidates["candidate"].findings
    assert [one.predicate for one in finding.explained_by] == ["header:accept-language: tr"]


def test_a_value_of_pairs_chosen_by_chance_is_explained_by_nothing() -> None:
    for seed in range(5):
        chance = random.Random(seed)
        defect = on("/search", put("internal", 1), when=lambda call, chance=chance: chance.random() < 0.2)  # type: ignore[misc]
        (finding,) = judged(run(seed, requests=1500, defect=defect, pages=3)).candidates["candidate"].findings
        assert finding.explained_by == ()


def test_a_slower_route_holds_without_any_finding() -> None:
    report = judged(run(1, requests=600, slower=lambda call: 20.0 if call.route == "/search" else 0.0))
    assert (report.verdict, told(report)) == ("hold", [])
    slower = [row.route for row in report.candidates["candidate"].timing if row.verdict == "slower"]
    assert slower == ["GET /search"]


def test_the_same_run_gives_the_same_bytes() -> None:
    performances = run(5, requests=300, defect=DEFECTS[0].defect)
    assert as_json(judged(performances)) == as_json(judged(performances))


def test_an_ignored_difference_is_expected_and_promoted() -> None:
    performances = run(1, requests=300, defect=on("/products/{}", put("currency", "USD")))
    tables = {"ignore": [{"path": "$.currency", "reason": "we moved"}]}
    report = judged(performances, tables=tables)
    totals = report.candidates["candidate"].totals
    assert report.verdict == "promote"
    assert totals.expected > 0
    assert [(row.state, row.count) for row in report.candidates["candidate"].expected] == [("seen", totals.expected)]


def test_an_expected_change_that_does_not_show_is_a_finding() -> None:
    report = judged(run(1, requests=300), tables={"expect": [{"path": "$.currency", "reason": "we move"}]})
    assert report.verdict == "hold"
    assert report.candidates["candidate"].findings[0].to_class == "never seen"


def test_a_cascade_along_a_session_is_rolled_up_under_its_cause() -> None:
    wrong = on("/products/{}", put("sku", lambda call, body: body["sku"] + "X"), when=lambda call: call.number % 2 == 0)
    performances = []
    last: dict[str, tuple[str, bool]] = {}

    for one in run(2, requests=900, sessions=30, defect=wrong):
        session, target = one.exchange.session, one.exchange.request.target
        if target.startswith("/products/"):
            last[session] = (one.exchange.id, one.position % 2 == 0)
        elif target.startswith("/cart/") and session in last:
            origin, apart = last[session]
            outcomes = list(one.outcomes)
            response = outcomes[2].response
            assert response is not None
            assert response.body is not None
            body = response.body.replace(b'"n": 2', b'"n": 3') if apart else response.body
            outcomes[2] = msgspec.structs.replace(
                outcomes[2],
                response=msgspec.structs.replace(response, body=body),
                bindings=(Binding("query:sku", f"{origin} $['sku']"),),
            )
            one = msgspec.structs.replace(one, outcomes=tuple(outcomes))
        performances.append(one)
    report = judged(performances)
    assert told(report) == [("GET /products/{id}", "$['sku']", "value")]
    first, second = report.candidates["candidate"].findings
    assert (second.path, second.caused_by) == ("$['lines'][*]['n']", first.id)


def test_places_beyond_the_bound_are_counted_together_and_forbid_to_promote() -> None:
    def many(call: Call, found: Answer) -> Answer:
        code, headers, body = found
        return (
            (code, headers, {**body, **{f"x{call.number}a{i}": i for i in range(5)}}) if call.route == "/me" else found
        )

    report = judged(run(1, requests=300, defect=many), paths_max=50)
    assert report.verdict == "hold"
    assert any("more than 50 places differ" in reason for reason in report.reasons)


def test_what_only_the_first_request_of_a_session_sees_is_explained_by_its_place() -> None:
    seen: set[int] = set()

    def first_alone(call: Call, found: Answer) -> Answer:
        first = call.session not in seen
        seen.add(call.session)
        return on("/products/{}", put("currency", "USD"))(call, found) if first else found

    (finding,) = judged(run(4, requests=1500, sessions=500, defect=first_alone)).candidates["candidate"].findings
    assert ("place in session", "1") in {(one.dimension, one.value) for one in finding.explained_by}


@pytest.mark.parametrize("requests", [5, 8])
def test_a_value_that_differs_in_all_of_very_few_pairs_is_never_promoted(requests: int) -> None:
    defect = on("/products/{}", put("currency", "USD"))
    report = judged(run(3, requests=requests, rare=0, defect=defect, reference=False), reference=False)
    assert (report.verdict, told(report)) == ("inconclusive", [])
    assert any("too few to be sure" in reason for reason in report.reasons)


def test_a_request_id_that_is_the_same_in_every_answer_is_one_finding() -> None:
    report = judged(
        run(1, requests=400, defect=header("/search", "X-Request-Id", "0e8400e2-9b41-4d16-a716-446655440000"))
    )
    (finding,) = report.candidates["candidate"].findings
    assert (finding.path, finding.kind) == ("header:x-request-id", "value")
    assert (finding.from_class, finding.to_class) == ("uuid, varying", "uuid, repeating")


def test_a_connection_that_ends_with_every_answer_is_one_finding() -> None:
    report = judged(run(1, requests=400, defect=header("*", "Connection", "close")))
    (finding,) = report.candidates["candidate"].findings
    assert (finding.path, finding.kind, finding.count) == ("header:connection", "value", 400)


def test_connections_that_only_the_candidate_drops_now_and_then_are_one_finding() -> None:
    def dropping(build: str, one: Performance) -> Performance:
        outcomes = tuple(
            msgspec.structs.replace(outcome, attempts=2) if outcome.build == build else outcome
            for outcome in one.outcomes
        )
        return msgspec.structs.replace(one, outcomes=outcomes)

    performances = run(1, requests=400)
    report = judged([dropping("candidate", one) if one.position % 25 == 0 else one for one in performances])
    (finding,) = report.candidates["candidate"].findings
    assert (finding.path, finding.from_class, finding.to_class) == ("header:connection", "keep-alive", "dropped")
    assert finding.count == 16
    builds = ("current", "reference", "candidate")
    alike = judged([dropping(builds[one.position % 3], one) for one in performances])
    assert (alike.verdict, told(alike)) == ("promote", [])
    unwitnessed = judged(
        [dropping("candidate", one) if one.position % 5 == 0 else one for one in performances], reference=False
    )
    assert {path for _, path, _ in told(unwitnessed)} == {"header:connection"}
    alone = judged(
        [dropping(builds[one.position % 2 * 2], one) if one.position % 5 == 0 else one for one in performances],
        reference=False,
    )
    assert (alone.verdict, told(alone)) == ("promote", [])


def test_a_header_that_changed_in_the_only_pairs_of_a_route_is_never_promoted_and_decided_by_repeating_them() -> None:
    once = run(1, requests=60, rare=1, defect=header("/rare/report", "Server", "shop/2"))
    report = judged(once)
    assert (report.verdict, told(report)) == ("inconclusive", [])
    assert any("header:server" in reason and "--loop 8" in reason for reason in report.reasons)
    often = [
        msgspec.structs.replace(one, position=one.position + 60 * loop, iteration=loop)
        for loop in range(8)
        for one in once
    ]
    report = judged(often, timing=False)
    assert (report.verdict, told(report)) == ("hold", [("GET /rare/report", "header:server", "value")])


def test_one_element_more_in_one_pair_of_many_is_promoted_and_in_three_it_is_not() -> None:
    numbers = [one.position for one in run(1, requests=400) if one.exchange.request.target.startswith("/search")]
    for count, verdict in ((1, "promote"), (2, "promote"), (3, "inconclusive")):
        some = frozenset(numbers[:count])

        def one_more(call: Call, body: Any) -> None:
            body["hits"] = [*body["hits"], {"sku": "SKU9999", "name": "just made"}]

        defect = on("/search", one_more, when=lambda call, some=some: call.number in some)  # type: ignore[misc]
        report = judged(run(1, requests=400, defect=defect))
        assert (report.verdict, told(report)) == (verdict, []), (count, report.reasons)


def test_what_two_sessions_wrote_the_other_way_round_counts_once_however_often_it_is_read() -> None:
    lists = [one.position for one in run(1, requests=400) if one.exchange.request.target == "/products"]

    def other_number(call: Call, body: Any) -> None:
        body["items"][2]["stock"] += 1

    for last, method, verdict in ((60, "GET", "hold"), (60, "POST", "inconclusive"), (5, "POST", "promote")):
        since = lists[-last]
        defect = on("/products", other_number, when=lambda call, since=since: call.number >= since)  # type: ignore[misc]
        performances = list(run(1, requests=400, defect=defect))
        for number, one in enumerate(performances[:2]):
            request = msgspec.structs.replace(one.exchange.request, method=method)
            # The second one is under way from then on.
            outcomes = tuple(
                msgspec.structs.replace(o, sent_ns=0, end_ns=o.end_ns + number * 10**15) for o in one.outcomes
            )
            exchange = msgspec.structs.replace(one.exchange, request=request)
            performances[number] = msgspec.structs.replace(one, exchange=exchange, outcomes=outcomes)
        report = judged(performances, timing=False)
        assert report.verdict == verdict, (last, method, report.reasons)


def test_a_number_that_differs_in_the_only_pair_is_promoted_only_where_production_had_said_another_one() -> None:
    first = next(one for one in run(3, requests=50, rare=0) if one.exchange.request.target.startswith("/products/"))
    defect = on("/products/{}", put("price", 99.5))
    (changed,) = (one for one in run(3, requests=50, rare=0, defect=defect) if one.position == first.position)
    assert judged([changed]).verdict == "inconclusive"
    (moved,) = (one for one in run(3, requests=50, rare=0, defect=defect) if one.position == first.position)
    response = moved.exchange.response
    assert response is not None
    assert response.body is not None
    body = {**msgspec.json.decode(response.body), "price": 12.0}
    response = msgspec.structs.replace(response, body=msgspec.json.encode(body))
    moved = msgspec.structs.replace(moved, exchange=msgspec.structs.replace(moved.exchange, response=response))
    assert judged([moved]).verdict == "promote"


def test_a_segment_that_was_bound_to_an_earlier_answer_is_an_identifier_in_the_names_of_routes() -> None:
    performances = []
    for performance in run(20, requests=20):
        exchange = performance.exchange
        request = msgspec.structs.replace(exchange.request, target="/b/abcd5")
        bound = (Binding("path[1]", "x-0 $['id']"),) if performance.position % 2 else ()
        outcomes = tuple(msgspec.structs.replace(one, bindings=bound) for one in performance.outcomes)
        exchange = msgspec.structs.replace(exchange, request=request)
        performances.append(msgspec.structs.replace(performance, exchange=exchange, outcomes=outcomes))
    subject = Subject(lambda: performances, current="current", candidates=["candidate"], reference="reference")
    routes, _ = learn_routes(subject, DiffConfig())
    assert routes.of("GET", "/b/abcd5") == "GET /b/{token}"


@pytest.mark.parametrize(("loops", "verdict"), [(1, "inconclusive"), (4, "hold")])
def test_a_rare_error_of_a_route_of_many_sessions_is_decided_by_repeating_the_log(loops: int, verdict: str) -> None:
    rare = status(410, when=lambda call: call.number in (40, 90, 140))
    once = list(run(1, requests=400, sessions=100, defect=rare))
    performances = [
        msgspec.structs.replace(one, iteration=loop, position=one.position) for loop in range(loops) for one in once
    ]
    assert judged(performances, timing=False).verdict == verdict
