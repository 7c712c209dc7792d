"""What a session has said is remembered in bounds, and what the client said first is its own."""

from __future__ import annotations

from replay.link import Link, Source
from replay.place import Place
from replay.said import Said
from tests.support.rude import exchange, get

TOKEN = "tok9f8e7d6c5b4a"
WORDS, AROUND = frozenset(("order",)), frozenset(("orders",))


def source(value: str, position: int = 0, place: Place | None = None) -> Source:
    return Source(position, f"log-{position}", place or Place("json", ("id",)), value)


def said_by_client(said: Said, target: str, *carried: tuple[Place, str], links: tuple[Link, ...] = ()) -> None:
    said.send(exchange(0, get(target)), carried, links, bare=True)


def test_what_an_answer_gave_is_new_once_and_kept_with_who_gave_it() -> None:
    said = Said()
    assert said.give(source(TOKEN), 5, WORDS, AROUND)
    assert not said.give(source(TOKEN, 1), 9, WORDS, AROUND)
    assert [(entry[0].position, entry[1]) for entry in said.supplied[TOKEN]] == [(0, 5), (1, 9)]


def test_no_more_than_four_answers_of_one_kind_are_kept_for_a_value() -> None:
    said = Said()
    for position in range(9):
        said.give(source(TOKEN, position), position, WORDS, AROUND)
    said.give(source(TOKEN, 10), 10, frozenset(("other",)), AROUND)
    assert [entry[0].position for entry in said.supplied[TOKEN]] == [0, 1, 2, 3, 10]


def test_what_the_client_said_first_is_its_own() -> None:
    said = Said()
    said_by_client(said, "/a", (Place("query", ("q", 0)), TOKEN), (Place("query", ("order", 0)), "7"))
    assert said.sent == {TOKEN}
    assert not said.give(source(TOKEN), 5, WORDS, AROUND)
    assert not said.give(source("7"), 5, WORDS, AROUND)  # under the same name
    assert said.give(source("7"), 5, frozenset(("user",)), AROUND)
    assert set(said.supplied) == {"7"}


def test_a_value_made_of_one_that_was_given_is_not_the_clients_own() -> None:
    said = Said()
    said.give(source(TOKEN), 5, WORDS, AROUND)
    place = Place("header", ("x-key", 0))
    link = Link(place._replace(inner=("at", 4)), TOKEN, (source(TOKEN),))
    said_by_client(said, "/a", (place, f"key:{TOKEN}"), links=(link,))
    assert said.sent == set()
    said_by_client(said, "/b", (place, f"key:{TOKEN}x"))
    assert f"key:{TOKEN}x" in said.sent


def test_the_very_same_target_and_answer_say_nothing_new() -> None:
    said = Said()
    said_by_client(said, "/a", (Place("query", ("q", 0)), TOKEN))
    said_by_client(said, "/a", (Place("query", ("q", 0)), TOKEN + "2"))
    assert said.sent == {TOKEN}
    assert (said.is_new(17), said.is_new(17), said.is_new(18)) == (True, False, True)


def test_a_hexadecimal_value_is_found_in_another_case() -> None:
    said = Said()
    said.give(source("00112233AABBccdd"), 5, WORDS, AROUND)
    assert said.other_case("00112233aabbccdd") == ("00112233AABBccdd", "lower")
    assert said.other_case("00112233AABBCCDD") == ("00112233AABBccdd", "upper")
    assert said.other_case("00112233AABBCCDE") is None
    assert said.other_case("no hexadecimal at all") is None


def test_a_cookie_is_that_of_the_last_answer_that_set_it_and_a_pseudonym_follows_the_name() -> None:
    said = Said()
    for position, value in enumerate(("a1", "b2", "a1")):
        said.set_cookie(source(value, position, Place("cookie", ("sid",))), 10 * position)
    assert [one.position for one in said.cookie("sid", "a1", 100, by_name=False)] == [2, 0]
    assert [one.position for one in said.cookie("sid", "a1", 15, by_name=False)] == [0]
    assert said.cookie("sid", "pseudonym", 100, by_name=False) == []
    assert [one.position for one in said.cookie("sid", "pseudonym", 15, by_name=True)] == [1, 0]


def test_rules_take_the_last_answer_and_one_with_the_same_value_before_others() -> None:
    said = Said()
    for position, value in enumerate(("x", "y", "x", "z")):
        said.feed(3, source(value, position), 10 * position)
    assert [one.position for one in said.fed([3, 4], "x", 100)] == [2, 0, 3, 1]
    assert [one.position for one in said.fed([3], "x", 15)] == [0, 1]
    for position in range(40):
        said.feed(3, source("x", position), 0)
    assert len(said.fed([3], "x", 100)) == 16
