"""What a bound request is sent with: what each build answered at the same place, or what was recorded, and why."""

from __future__ import annotations

import base64
import json

import msgspec
import pytest

from replay.bind import Binder
from replay.outcome import Outcome
from replay.place import Place
from replay.plan import Planner
from replay.supplies import Supplies, value_answered
from tests.support.binding import (
    GRPC,
    OTHER,
    TOKEN,
    answered,
    html,
    links_of,
    login,
    of_type,
    shown,
)
from tests.support.protobuf import field, frame
from tests.support.rude import exchange, get, json_response


@pytest.mark.parametrize(
    ("supplied", "carried", "value"),
    [
        ("Last-Modified", "If-Modified-Since", "Tue, 14 Nov 2023 22:13:20 GMT"),
        ("Last-Modified", "If-Unmodified-Since", "Tue, 14 Nov 2023 22:13:20 GMT"),
        ("ETag", "If-Match", '"3"'),
        ("ETag", "If-None-Match", 'W/"3-a"'),
    ],
)
def test_a_condition_carries_what_the_response_called_otherwise(supplied: str, carried: str, value: str) -> None:
    links = links_of(
        exchange(0, get("/a"), json_response(b"{}", (supplied, value), ("X-Other", value))),
        exchange(1, get("/a", (carried, value))),
    )
    assert shown(links[1]) == [(f"header:{carried.lower()}", f"log-0 header:{supplied.lower()}")]


def test_a_link_that_a_page_still_has_elsewhere_stays() -> None:
    place = Place("html", ("a", "", 0), ("path", 1))
    page = b'<a href="/goods/sku-000041">b</a><a href="/goods/sku-000017">a</a>'
    assert value_answered(html(page), place, "sku-000017") == "sku-000017"
    assert value_answered(html(page), place, "sku-000018") == "sku-000041"


def test_the_value_at_the_same_place_is_taken() -> None:
    place = Place("json", ("data", "token"))
    assert value_answered(answered(b'{"data": {"token": "new"}}'), place, "old") == "new"
    assert value_answered(answered(b'{"data": {}}'), place, "old") is None
    assert value_answered(None, place, "old") is None


def test_a_value_that_the_build_still_knows_elsewhere_in_the_list_stays() -> None:
    place = Place("json", ("items", 1, "id"))
    assert value_answered(answered(b'{"items": [{"id": 5}, {"id": 9}]}'), place, "5") == "5"
    assert value_answered(answered(b'{"items": [{"id": 6}, {"id": 9}]}'), place, "5") == "9"


def test_a_request_is_bound_with_what_each_build_answered_and_says_so() -> None:
    first, second = (
        login(b'{"token": "%b"}' % TOKEN.encode()),
        exchange(1, get("/me", ("Authorization", f"Bearer {TOKEN}"))),
    )
    links = links_of(first, second)[1]
    supplies = Supplies(3, 1 << 20)
    from replay.outcome import Failure

    for index, body in enumerate((b'{"token": "%b"}' % OTHER.encode(), b'{"token": "%b"}' % TOKEN.encode())):
        supplies.keep(first, 0, 0, index, Outcome("b", "current", 0, 1, 2, 3, answered(body)))
    supplies.keep(first, 0, 0, 2, Outcome("b", "current", 0, 1, 2, 3, None, Failure("reset", "body")))
    bound, bindings = supplies.bind(second.request, links, "s", 0, 0)
    assert bound is not None
    assert bound.headers[1] == ("Authorization", f"Bearer {OTHER}")
    assert [(b.place, b.origin) for b in bindings] == [("header:authorization", "log-0 $['token']")]
    assert supplies.bind(second.request, links, "s", 0, 1)[0] is None
    bound, bindings = supplies.bind(second.request, links, "s", 0, 2)
    assert bound is None
    assert bindings[0].origin == "unresolved:log-0 $['token']"
    assert (supplies.resolved[0], supplies.resolved[1], supplies.unresolved[2]) == (1, 1, 1)
    assert not supplies.resolvable(links, "s", 0, 2)


def test_what_an_earlier_part_of_the_run_bound_is_counted_with_it() -> None:
    from replay.outcome import Binding, Performance

    origins = ("log-0 $['token']", "log-1 cookie:sid", "unresolved:log-0 $['token']", "injected:X-Key", "hook:X-Signed")
    bindings = tuple(Binding("header:x", origin) for origin in origins)
    outcomes = tuple(Outcome(b, "current", 0, 1, 2, 3, answered(b"{}"), bindings=bindings) for b in ("a", "b"))
    performance = Performance(0, exchange(0, get("/me")), outcomes)
    supplies = Supplies(2, 1 << 20)
    supplies.take_over(performance, 1, outcomes[1])
    assert (supplies.resolved, supplies.unresolved) == ({1: 2}, {1: 1})


def test_what_is_kept_of_the_answers_is_bounded() -> None:

    supplies = Supplies(1, 10_000)
    for number in range(100):
        supplies.keep(
            exchange(number, get("/"), session=str(number)), number, 0, 0,
            Outcome("b", "current", 0, 1, 2, 3, answered(b"x" * 1000)),
        )  # fmt: skip
    assert supplies.forgotten >= 90


def _signed_by_the_client(claims: dict[str, object]) -> str:
    parts = [json.dumps({"alg": "HS256"}), json.dumps(claims), "signature"]
    return ".".join(base64.urlsafe_b64encode(part.encode()).decode().rstrip("=") for part in parts)


def test_a_value_in_a_token_that_the_client_signed_cannot_be_replaced_and_the_request_says_so() -> None:

    first = login(b'{"session": "%b"}' % TOKEN.encode())
    carrying = exchange(1, get("/me", ("Authorization", f"Bearer {_signed_by_the_client({'sid': TOKEN})}")))
    links = links_of(first, carrying)[1]
    assert shown(links) == [("header:authorization/signed/sid", "log-0 $['session']")]
    supplies = Supplies(2, 1 << 20)
    for index, token in enumerate((OTHER, TOKEN)):
        answer = answered(b'{"session": "%b"}' % token.encode())
        supplies.keep(first, 0, 0, index, Outcome("b", "current", 0, 1, 2, 3, answer))
    assert not supplies.resolvable(links, "s", 0, 0)
    bound, bindings = supplies.bind(carrying.request, links, "s", 0, 0)
    assert bound is None
    assert bindings[0].origin == "unresolved:log-0 $['session']"
    assert supplies.resolvable(links, "s", 0, 1)  # this build gave the very same value


def test_a_header_that_is_injected_needs_nothing_from_a_response() -> None:
    first = login(b'{"token": "%b"}' % TOKEN.encode())
    carrying = exchange(1, get(f"/me/{TOKEN}", ("Authorization", f"Bearer {TOKEN}")))
    links = links_of(first, carrying)[1]
    supplies = Supplies(2, 1 << 20, injected=[frozenset(("authorization",)), frozenset()])
    assert [link.place.kind for link in links] == ["path", "header"]
    assert supplies.resolvable(links[1:], "s", 0, 0)
    assert not supplies.resolvable(links[1:], "s", 0, 1)
    assert not supplies.resolvable(links, "s", 0, 0)


def test_a_message_of_grpc_is_sent_with_what_each_build_answered() -> None:

    created = exchange(0, get("/shop.Carts/Create", GRPC, method="POST"), of_type(GRPC[1], frame(field(1, TOKEN))))
    asked = get("/shop.Carts/Get", GRPC, ("Content-Length", "23"), method="POST", body=frame(field(1, TOKEN)))
    links = links_of(created, exchange(1, asked))[1]
    supplies = Supplies(1, 1 << 20)
    answer = of_type(GRPC[1], frame(field(1, "tok_longer_than_before")))
    supplies.keep(created, 0, 0, 0, Outcome("b", "current", 0, 1, 2, 3, answer))
    request, bindings = supplies.bind(asked, links, "s", 0, 0)
    assert request is not None
    assert request.body == frame(field(1, "tok_longer_than_before"))
    assert request.headers[-1] == ("Content-Length", "29")
    assert [binding.place for binding in bindings] == ["protobuf:0:1:0"]


def test_of_a_part_and_one_inside_it_the_wider_one_is_bound() -> None:
    given = exchange(0, get("/login"), json_response(json.dumps({"password": f'["a", true].{TOKEN}'}).encode()))
    coded = base64.b64encode(f'anna:["a", true].{TOKEN}'.encode()).decode()
    links = links_of(given, exchange(1, get("/x", ("X-Service-Auth", coded))))[1]
    assert shown(links) == [("header:x-service-auth/base64/at/5", "log-0 $['password']")]


def test_a_uuid_in_another_case_is_bound_and_keeps_the_clients_case() -> None:

    upper, other = "550E8400-E29B-41D4-A716-446655440000", "12345678-ABCD-4EF0-8123-456789ABCDEF"
    first = login(b'{"file": "%b"}' % upper.encode())
    carrying = exchange(1, get(f"/files/{upper.lower()}"))
    links = links_of(first, carrying)[1]
    supplies = Supplies(1, 1 << 20)
    answer = answered(b'{"file": "%b"}' % other.encode())
    supplies.keep(first, 0, 0, 0, Outcome("b", "current", 0, 1, 2, 3, answer))
    bound, _ = supplies.bind(carrying.request, links, "s", 0, 0)
    assert bound is not None
    assert bound.target == f"/files/{other.lower()}"


def test_the_sessions_used_longest_ago_are_forgotten_where_all_hold_too_much(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("replay.bind._HELD_MAX", 10)
    binder = Binder()
    answers = [
        json_response(b'{"a": "%b-%d", "b": "%b+%d"}' % (TOKEN.encode(), n, TOKEN.encode(), n)) for n in range(8)
    ]
    exchanges = [msgspec.structs.replace(exchange(n, get("/a"), answers[n]), session=f"session-{n}") for n in range(8)]
    last = msgspec.structs.replace(exchange(8, get(f"/x?q={TOKEN}-7")), session="session-7")
    first = msgspec.structs.replace(exchange(9, get(f"/x?q={TOKEN}-0")), session="session-0")
    links = [binder.note(planned) for planned in Planner().plan([*exchanges, last, first])]
    assert [place for place, _ in shown(links[8])] == ["query:q"]
    assert links[9] == ()
    assert binder.forgotten > 0
