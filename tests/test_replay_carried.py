"""What requests carry: with it less is kept of the answers, and the very same links are found."""

from __future__ import annotations

import base64
import json
import uuid
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import replay.carried
from capture.exchange import Exchange, Response
from replay.bind import Binder
from replay.carried import Carried, carried_by, gives_much
from replay.learn import learn_links
from replay.link import Link
from replay.plan import Planner
from tests.support.rude import exchange, get

UUIDS = [str(uuid.UUID(int=n * 0x9E3779B97F4A7C15F39CC0605CEDC835 % (1 << 128))) for n in range(1, 4)]
STRONG = [*UUIDS, "tok_9f8e7d6c5b4a", "a.b-c_d.e5f6a7b8", "grün-ß-9f8e7d6c", "zz%41zz-11223344"]
VALUES = st.sampled_from([*STRONG, "7", "17", "red", "things", "***", UUIDS[0].upper()])


def inside(value: str, way: int) -> Any:
    """A value as answers have it: as it is, in an address, in base64, in JSON in a string, in a text, as a number."""
    ways: list[Any] = [
        value,
        f"/things/{value}?page={value}&x=1",
        base64.b64encode(json.dumps({"id": value}).encode()).decode(),
        base64.urlsafe_b64encode(value.encode()).decode().rstrip("="),
        json.dumps({"deep": [value]}),
        f"a text about {value}, and more",
        "eyJhbGciOiJub25lIn0."
        + base64.urlsafe_b64encode(json.dumps({"sub": value}).encode()).decode().rstrip("=")
        + ".c2ln",
        int(value) if value.isdigit() else f"https://shop.example/{value}/",
    ]
    return ways[way]


ANSWERS = st.lists(
    st.tuples(st.sampled_from(["id", "thing_id", "name", "next", "page", "color"]), VALUES, st.integers(0, 7)),
    max_size=5,
)
REQUESTS = st.tuples(
    st.sampled_from(
        ["/things/{}", "/api/v1/things/{}", "/x?page={}", "/x?color={}&next={}", "/x?q=a:{}:b", "/y/{}.txt"]
    ),
    VALUES,
    st.booleans(),
)


def recorded(steps: list[tuple[tuple[str, str, bool], list[tuple[str, str, int]]]]) -> list[Exchange]:
    found = []
    for number, ((target, value, basic), answer) in enumerate(steps):
        body = json.dumps({"items": [{key: inside(text, way)} for key, text, way in answer]}).encode()
        headers = [("Authorization", "Basic " + base64.b64encode(f"me:{value}".encode()).decode())] if basic else []
        shown = target.replace("{}", value if value.isascii() else "g%C3%BCn")
        response = Response(200, "OK", "HTTP/1.1", (("Content-Type", "application/json"),), body, len(body))
        found.append(exchange(number, get(shown, *headers), response, "s", number * 10, 5))
    return found


def links_of(exchanges: list[Exchange], carried: Carried | None, *rules: str) -> list[tuple[Link, ...]]:
    binder = Binder(learned=learn_links(exchanges), carried=carried, feeds=rules)
    return [binder.note(planned) for planned in Planner().plan(exchanges)]


@given(st.lists(st.tuples(REQUESTS, ANSWERS), max_size=8))
def test_the_same_links_are_found_as_where_everything_is_kept(
    steps: list[tuple[tuple[str, str, bool], list[tuple[str, str, int]]]],
) -> None:
    exchanges = recorded(steps)
    assert links_of(exchanges, carried_by(exchanges, learn_links(exchanges))) == links_of(exchanges, None)


@given(
    st.lists(st.tuples(REQUESTS, ANSWERS), max_size=8),
    st.sampled_from(["* /things/* $['items'][0]['id']", "GET /x $['items']*", "* * $['items'][0]['name']"]),
)
def test_the_same_links_are_found_with_rules_which_need_values_that_nobody_carries(
    steps: list[tuple[tuple[str, str, bool], list[tuple[str, str, int]]]], source: str
) -> None:
    exchanges = recorded(steps)
    rules = (f"{source} -> GET /x query:page", f"{source} -> * * header:authorization")
    known = carried_by(exchanges, learn_links(exchanges))
    assert links_of(exchanges, known, *rules) == links_of(exchanges, None, *rules)


def test_with_a_rule_no_more_is_kept_of_other_answers_than_without() -> None:
    steps = [((f"/y/{n}.txt", "red", False), [("name", f"value-{n}-{k}", 0) for k in range(9)]) for n in range(40)]
    exchanges = recorded(steps)
    binder = Binder(feeds=("GET /start $.id -> * * query:q",), carried=carried_by(exchanges, {}))
    for planned in Planner().plan(exchanges):
        binder.note(planned)
    assert binder.held == 0


@pytest.mark.parametrize("way", range(8))
@pytest.mark.parametrize("value", STRONG[:4])
def test_a_value_is_found_however_the_answer_has_it(value: str, way: int) -> None:
    exchanges = recorded([(("/start", "red", False), [("id", value, way)]), (("/things/{}", value, False), [])])
    found = links_of(exchanges, carried_by(exchanges, {}))
    assert [link.value for link in found[1]] == [value]


@pytest.mark.parametrize("exact_max", [100, 2])
def test_what_was_added_is_carried_also_where_it_is_much(exact_max: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replay.carried, "_EXACT_MAX", exact_max)
    carried = Carried()
    values = [f"value-{number}" for number in range(20)]
    for value in [*values, UUIDS[0].upper()]:
        carried.add(value)
    assert all(value in carried for value in values)
    assert all(carried.holds(f"see /{value}?x") for value in values)
    assert UUIDS[0] in carried
    assert "value-99" not in carried
    assert not carried.holds("see /value-99?x")


def test_a_value_of_signs_alone_may_be_inside_anything() -> None:
    carried = Carried()
    carried.add("value")
    assert not carried.holds("*** ***")
    carried.add("***")
    assert carried.holds("*** ***")


def test_a_word_without_a_name_is_not_looked_for_unless_it_was_learned() -> None:
    exchanges = [exchange(0, get("/things"))]
    assert "things" not in carried_by(exchanges, {})
    learned = {"GET /{} path[0]": frozenset(("GET /x $['id']",))}
    assert "things" in carried_by(exchanges, learned)


def test_a_log_is_read_once_more_only_where_answers_have_many_values() -> None:
    def answered(count: int, same: bool) -> list[Exchange]:
        return [
            recorded([(("/x", "7", False), [("id", "17" if same else f"{n}-{k}", 0) for k in range(count)])])[0]
            for n in range(30)
        ]

    assert gives_much(answered(20, same=False))
    assert not gives_much(answered(20, same=True))
    assert not gives_much(answered(3, same=False))
    assert not gives_much([])
