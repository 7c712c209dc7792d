from __future__ import annotations

from capture.exchange import Response
from diff.cause import CascadeLedger, primary
from diff.difference import Difference
from diff.odd import GroupKey
from replay.outcome import Binding, Outcome

CART, TOTAL = GroupKey("POST /cart", "$['id']"), GroupKey("GET /cart/{id}", "$['total']")


def outcome(*origins: str) -> Outcome:
    bindings = tuple(Binding("path[1]", origin) for origin in origins)
    return Outcome("next", "candidate", 0, 0, 0, 1, Response(200, "", "HTTP/1.1", ()), bindings=bindings)


def test_another_status_stands_alone() -> None:
    differences = [Difference("status", (), "value", 200, 500), Difference("header", ("a",), "missing", "x")]
    assert primary(differences) == (differences[:1], True, ())


def test_validators_follow_from_another_body() -> None:
    body = Difference("body", ("a",), "value", 1, 2)
    etag = Difference("header", ("etag",), "value", '"a"', '"b"')
    length = Difference("header", ("content-length",), "value", "1", "2")
    assert primary([etag, length, body]) == ([body], False, (etag, length))


def test_a_validator_that_is_gone_is_news_even_where_the_body_differs() -> None:
    body = Difference("body", ("a",), "value", 1, 2)
    gone = Difference("header", ("etag",), "missing", '"a"')
    assert primary([gone, body]) == ([gone, body], False, ())


def test_a_validator_alone_is_news() -> None:
    etag = Difference("header", ("etag",), "value", '"a"', '"b"')
    assert primary([etag]) == ([etag], False, ())


def test_a_body_of_another_kind_follows_from_its_content_type() -> None:
    retyped = Difference("header", ("content-type",), "value", "application/json", "text/html")
    body = Difference("body", (), "type", {}, "<html>")
    assert primary([retyped, body]) == ([retyped], False, ())


def test_what_repeats_a_location_that_leads_elsewhere_follows_from_it() -> None:
    moved = Difference("header", ("location",), "value", "/products", "/items")
    link = Difference("body", ("html", "a", "@href"), "value", "/products", "/items")
    text = Difference("body", ("html", "p"), "value", "go to /products, please", "go to /items, please")
    other = Difference("body", ("html", "h1"), "value", "see /products", "See /items")
    etag = Difference("header", ("etag",), "value", '"a"', '"b"')
    assert primary([moved, etag, link, text]) == ([moved], False, (etag,))
    assert primary([moved, link, other]) == ([moved, other], False, ())
    assert primary([link, text]) == ([link, text], False, ())


def test_a_request_that_was_fed_from_a_divergence_is_traced_back_to_it() -> None:
    cascades = CascadeLedger()
    for number in range(10):
        cascades.note(f"post{number}", outcome(), [CART])
        cascades.note(f"get{number}", outcome(f"post{number} $['id']"), [TOTAL])
    assert cascades.causes_of(TOTAL, 10) == [CART]
    assert cascades.causes_of(CART, 10) == []


def test_a_change_that_mostly_comes_without_the_other_has_no_cause() -> None:
    cascades = CascadeLedger()
    cascades.note("post", outcome(), [CART])
    cascades.note("get", outcome("post $['id']"), [TOTAL])
    for number in range(10):
        cascades.note(f"get{number}", outcome("unknown $['id']"), [TOTAL])
    assert cascades.causes_of(TOTAL, 11) == []


def test_a_header_causes_what_was_fed_from_it_and_nothing_else() -> None:
    typed, moved = GroupKey("POST /cart", "header:content-type"), GroupKey("POST /cart", "header:location")
    cascades = CascadeLedger()
    for number in range(10):
        cascades.note(f"post{number}", outcome(), [typed, moved])
        cascades.note(f"get{number}", outcome(f"post{number} header:location/path/1"), [TOTAL])
    assert cascades.causes_of(TOTAL, 10) == [moved]


def test_a_body_is_no_cause_of_a_header() -> None:
    cascades = CascadeLedger()
    server = GroupKey("GET /cart/{id}", "header:server")
    for number in range(10):
        cascades.note(f"post{number}", outcome(), [CART])
        cascades.note(f"get{number}", outcome(f"post{number} $['id']"), [server])
    assert cascades.causes_of(server, 10) == []
