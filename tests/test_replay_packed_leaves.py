"""What MessagePack and CBOR hold is bound like JSON, and written back with lengths that fit."""

from __future__ import annotations

from typing import Any

import msgpack
import pytest

from capture.exchange import Request, Response, header
from replay.bind import Binder
from replay.carry import carried_values, replace_values
from replay.learn import learn_links
from replay.packed_leaves import looks_packed, packed_leaf_at, packed_leaves, splice_packed
from replay.place import Place
from replay.plan import Planner
from replay.supplies import value_answered
from replay.supply import value_at
from tests.support.cbor import cbor
from tests.support.rude import exchange, get

TOKEN = "tok_9f8e7d6c5b4a3021"
PACKED = [
    pytest.param("application/msgpack", msgpack.packb, id="msgpack"),
    pytest.param("application/cbor", cbor, id="cbor"),
]


def posted(target: str, kind: str, body: bytes) -> Request:
    return get(target, ("Content-Type", kind), ("Content-Length", str(len(body))), method="POST", body=body)


def answered(kind: str, body: bytes) -> Response:
    return Response(200, "OK", "HTTP/1.1", (("Content-Type", kind),), body, len(body))


def links(*exchanges: Any, learned: bool = False) -> list[list[tuple[str, str]]]:
    """For each request the places of its links and those that they come from."""
    binder = Binder(learned=learn_links(exchanges) if learned else None)
    return [
        [(link.place.text(), link.sources[0].place.text()) for link in binder.note(planned)]
        for planned in Planner(True).plan(exchanges)
    ]


@pytest.mark.parametrize(("kind", "pack"), PACKED)
def test_leaves_have_the_places_of_json(kind: str, pack: Any) -> None:
    body = pack({"user": {"id": 17}, "tags": ["a", None, 2], "raw": b"\x00\xff\x00\xff"})
    assert looks_packed(kind)
    assert {place.text(): value for place, value in packed_leaves(body, kind)} == {
        "$['user']['id']": "17",
        "$['tags'][0]": "a",
        "$['tags'][2]": "2",
        "$['raw']": "00ff00ff",
    }
    assert packed_leaf_at(body, kind, ("tags", 2)) == "2"
    assert packed_leaf_at(body, kind, ("tags", 1)) is None
    assert splice_packed(body, kind, {("user", "id"): "70000"}) == pack(
        {"user": {"id": 70000}, "tags": ["a", None, 2], "raw": b"\x00\xff\x00\xff"}
    )


def test_a_body_of_another_kind_has_none_and_stays() -> None:
    assert not looks_packed("application/json")
    assert list(packed_leaves(b"\xa1x", "application/json")) == []
    assert packed_leaf_at(b"\xa1x", "application/json", ()) is None
    assert splice_packed(b"\xa1x", "application/json", {(): "y"}) == b"\xa1x"


@pytest.mark.parametrize(("kind", "pack"), PACKED)
def test_what_an_answer_gave_is_replaced_in_a_later_request_and_nothing_else(kind: str, pack: Any) -> None:
    response = answered(kind, pack({"session": {"token": TOKEN, "next": f"/carts/{TOKEN[4:]}?page=2"}, "id": 4711}))
    request = posted(
        f"/carts/{TOKEN[4:]}", kind, pack({"auth": TOKEN, "n": [1.5, None, 200], "id": 4711, "x": "y" * 40})
    )
    found = links(exchange(0, get("/login"), response), exchange(1, request))[1]
    assert found == [
        ("path[1]", "$['session']['next']/path/1"),
        ("$['auth']", "$['session']['token']"),
    ]
    changed = replace_values(request, {Place("json", ("auth",)): (TOKEN, "short")})
    expected = pack({"auth": "short", "n": [1.5, None, 200], "id": 4711, "x": "y" * 40})
    assert changed.body == expected
    assert header(changed.headers, "content-length") == str(len(expected))


@pytest.mark.parametrize(("kind", "pack"), PACKED)
def test_each_builds_value_is_found_at_the_same_place(kind: str, pack: Any) -> None:
    response = answered(kind, pack({"items": [{"id": "aaaa1111bbbb2222"}, {"id": "cccc3333dddd4444", "u": "/x/9"}]}))
    assert value_at(response, Place("json", ("items", 1, "id"))) == "cccc3333dddd4444"
    assert value_at(response, Place("json", ("items", 1, "u"), ("path", 1))) == "9"
    assert value_at(response, Place("json", ("items", 2, "id"))) is None
    assert value_answered(response, Place("json", ("items", 0, "id")), "zzzz0000zzzz0000") == "aaaa1111bbbb2222"
    assert value_answered(response, Place("json", ("items", 0, "id")), "cccc3333dddd4444") == "cccc3333dddd4444"


@pytest.mark.parametrize(("kind", "pack"), PACKED)
def test_a_part_of_a_longer_text_is_replaced_within_it(kind: str, pack: Any) -> None:
    request = posted("/x", kind, pack({"ref": f"urn:item:{TOKEN}"}))
    place, value = next(item for item in carried_values(request) if item[0].kind == "json")
    assert (place, value) == (Place("json", ("ref",)), f"urn:item:{TOKEN}")
    inside = place._replace(inner=("at", 9))
    assert replace_values(request, {inside: (TOKEN, "other")}).body == pack({"ref": "urn:item:other"})


@pytest.mark.parametrize(("kind", "pack"), PACKED)
def test_small_integers_are_linked_by_their_names_alone(kind: str, pack: Any) -> None:
    created = exchange(0, posted("/orders", kind, pack({})), answered(kind, pack({"id": 7, "count": 2, "status": 200})))
    change = posted("/lines", kind, pack({"order_id": 7, "page": 2, "quantity": 7, "status": 200, "n": [1, 2, 7]}))
    assert links(created, exchange(1, change))[1] == [("$['order_id']", "$['id']")]


@pytest.mark.parametrize(("kind", "pack"), PACKED)
def test_under_keys_that_are_numbers_short_values_are_linked_only_where_the_log_shows_it(kind: str, pack: Any) -> None:
    made = []
    for n, number in enumerate((31, 58, 47, 12, 66, 25)):
        session = f"s{n}"
        answer = answered(kind, pack({1: number, 2: 1}))
        made.append(exchange(2 * n, posted("/things", kind, pack({})), answer, session, 20 * n, 5))
        made.append(exchange(2 * n + 1, posted("/use", kind, pack({1: number, 3: 1})), None, session, 20 * n + 10, 5))
    assert links(*made) == [[]] * 12
    assert links(*made, learned=True) == [[], [("$['1']", "$['1']")]] * 6
