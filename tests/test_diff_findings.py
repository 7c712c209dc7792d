from __future__ import annotations

import gzip

import msgspec

from diff.report.model import Report
from replay.outcome import Performance
from tests.support.defects import header
from tests.support.judging import judged
from tests.support.service import Answer, Call, Defect, as_response, run

PAGE = (
    "<!doctype html><html><head><title>Shop</title><link rel='icon' href='/a.png'></head>"
    "<body class='old'><h1>Shop</h1><p id='price'>1 EUR</p><footer>by us</footer></body></html>"
)
REDESIGNED = (
    "<!doctype html><html lang='en'><head><title>The shop</title><link rel='icon' href='/b.png'></head>"
    "<body class='new'><h1>Shop!</h1><p id='cost'>1 EUR</p><footer>by you</footer></body></html>"
)


def with_page(candidate: str, *, methods: tuple[str, ...] = ("GET",)) -> list[Performance]:
    """A run in which /page is HTML, another one on the candidate, asked for by these methods in turn."""
    performances = []
    for number, one in enumerate(run(5, requests=900, sessions=90)):
        if one.exchange.request.target == "/page":
            texts = {outcome.build: candidate if outcome.build == "candidate" else PAGE for outcome in one.outcomes}
            answers = tuple(
                msgspec.structs.replace(
                    outcome, response=as_response((200, [("Content-Type", "text/html")], texts[outcome.build]))
                )
                for outcome in one.outcomes
            )
            request = msgspec.structs.replace(one.exchange.request, method=methods[number % len(methods)])
            exchange = msgspec.structs.replace(one.exchange, request=request, response=None)
            one = msgspec.structs.replace(one, exchange=exchange, outcomes=answers)
        performances.append(one)
    return performances


def found(report: Report) -> list[tuple[str, str, str]]:
    return [(one.route, one.path, one.kind) for one in report.candidates["candidate"].findings]


def test_a_header_that_is_new_everywhere_is_one_finding() -> None:
    report = judged(run(5, requests=900, defect=header("*", "X-New", "1")), timing=False)
    assert found(report) == [("*", "header:x-new", "extra")]
    assert "GET /products/{id}" in report.candidates["candidate"].findings[0].routes


def on_two_routes(name: str, value: str) -> Defect:
    def defect(call: Call, answer: Answer) -> Answer:
        return header("/search", name, value)(call, header("/products", name, value)(call, answer))

    return defect


def test_a_change_of_a_cookie_on_two_routes_is_one_finding_and_of_a_header_two() -> None:
    report = judged(run(5, requests=900, defect=on_two_routes("Set-Cookie", "seen=1; Path=/")), timing=False)
    assert found(report) == [("*", "cookie:seen", "extra")]
    assert report.candidates["candidate"].findings[0].routes == ("GET /products", "GET /search")
    report = judged(run(5, requests=900, defect=on_two_routes("X-New", "1")), timing=False)
    assert sorted(found(report)) == [(f"GET /{of}", "header:x-new", "extra") for of in ("products", "search")]


def test_what_servers_say_of_a_compressed_answer_goes_with_its_coding() -> None:
    def compressed(one: Performance) -> Performance:
        answers = []
        for outcome in one.outcomes:
            assert outcome.response is not None
            body = gzip.compress(outcome.response.body or b"", mtime=0)
            said = (("Content-Encoding", "gzip"), ("Vary", "Accept-Encoding"))
            if outcome.build == "candidate":
                body, said = outcome.response.body or b"", (("Accept-Ranges", "bytes"),)
            response = msgspec.structs.replace(
                outcome.response, headers=(*outcome.response.headers, *said), body=body, body_bytes=len(body)
            )
            answers.append(msgspec.structs.replace(outcome, response=response))
        return msgspec.structs.replace(one, outcomes=tuple(answers))

    (finding,) = (
        judged([compressed(one) for one in run(5, requests=900)], timing=False).candidates["candidate"].findings
    )
    assert (finding.route, finding.path, finding.kind) == ("*", "header:content-encoding", "missing")
    assert sorted(finding.parts) == ["header:accept-ranges", "header:vary"]
    report = judged(run(5, requests=900, defect=header("*", "Vary", "Accept-Language")), timing=False)
    assert found(report) == [("*", "header:vary", "extra")]


def test_a_page_that_was_redesigned_is_one_finding_with_its_parts() -> None:
    (finding,) = judged(with_page(REDESIGNED), timing=False).candidates["candidate"].findings
    assert finding.route == "GET /page"
    assert len(finding.parts) >= 5
    assert "$['html']['@lang']" in (finding.path, *finding.parts)


def test_two_changes_of_one_page_are_two_findings() -> None:
    report = judged(with_page(PAGE.replace("1 EUR", "2 EUR").replace("'old'", "'new'")), timing=False)
    assert sorted(path for _, path, _ in found(report)) == [
        "$['html']['body'][*]['@class']",
        "$['html']['body'][*]['p'][*]['#text'][*]",
    ]


def test_the_same_change_for_two_methods_of_one_target_is_said_once() -> None:
    report = judged(with_page(PAGE.replace("1 EUR", "2 EUR"), methods=("GET", "POST")), timing=False)
    (finding,) = report.candidates["candidate"].findings
    assert (finding.route, finding.routes) == ("*", ("GET /page", "POST /page"))
