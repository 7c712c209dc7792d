"""What many sessions show to be passed on is linked, and what is equal by chance or by its nature is not."""

from __future__ import annotations

import json

from capture.exchange import Exchange, Response
from replay.bind import Binder
from replay.learn import learn_links
from replay.plan import Planner
from tests.support.protobuf import field, frame
from tests.support.rude import exchange, get, json_response

GRPC = ("Content-Type", "application/grpc")
JSON = ("Content-Type", "application/json")


def visits(values: list[int], field: str, sent: list[int] | None = None) -> list[Exchange]:
    """In each session GET /me answers with an id, and POST /things sends it, or something else, in a field."""
    made = []
    for turn, value in enumerate(values):
        body = json.dumps({field: value if sent is None else sent[turn]}).encode()
        made.append(exchange(2 * turn, get("/me"), json_response(b'{"id": %d, "x": 1}' % value), session=f"s{turn}"))
        made.append(exchange(2 * turn + 1, get("/things", JSON, method="POST", body=body), session=f"s{turn}"))
    return made


def linked(exchanges: list[Exchange]) -> int:
    binder = Binder(learned=learn_links(exchanges))
    return sum(bool(binder.note(planned)) for planned in Planner(allow_writes=True).plan(exchanges))


def test_a_small_number_that_is_always_passed_on_is_linked() -> None:
    assert linked(visits([17, 21, 30, 42, 51], "owner_id")) == 5


def test_a_number_in_protobuf_is_linked_where_it_is_always_passed_on_and_only_there() -> None:
    def calls(sent: list[int]) -> list[Exchange]:
        made = []
        for turn, number in enumerate(sent):
            answer = frame(field(1, 17 + 4 * turn) + field(2, 3))
            created = Response(200, "", "HTTP/1.1", (GRPC,), answer, len(answer))
            get_it = get("/Carts/Get", GRPC, method="POST", body=frame(field(4, field(1, number)) + field(2, turn % 3)))
            made.append(exchange(2 * turn, get("/Carts/Create", GRPC, method="POST"), created, session=f"s{turn}"))
            made.append(exchange(2 * turn + 1, get_it, session=f"s{turn}"))
        return made

    assert linked(calls([17, 21, 25, 29, 33, 37])) == 6
    assert linked(calls([17, 21, 1, 2, 3, 4])) == 0


def test_without_enough_sessions_it_is_not() -> None:
    assert linked(visits([17, 21, 30], "owner_id")) == 0


def test_a_number_that_is_always_the_same_shows_nothing() -> None:
    assert linked(visits([17] * 8, "owner_id")) == 0


def test_a_number_that_is_equal_now_and_then_is_not_linked() -> None:
    assert linked(visits([17, 21, 30, 42, 51, 60, 70, 80], "owner_id", [17, 21, 30, 42, 9, 9, 9, 9])) == 0


def test_an_amount_is_not_linked_however_often_it_is_equal() -> None:
    assert linked(visits([17, 21, 30, 42, 51], "quantity")) == 0
