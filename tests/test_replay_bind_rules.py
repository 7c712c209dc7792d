"""Rules of a person about bindings: how they are written, and which places they fit."""

from __future__ import annotations

import pytest

from replay.bind_rules import BindRules, spot_of
from replay.place import Place

QUERY = Place("query", ("page", 0))
LEAF = Place("json", ("items", 3, "id"))


@pytest.mark.parametrize(
    ("text", "method", "target", "place", "fits"),
    [
        ("query:page", "GET", "/x?page=1", QUERY, True),
        ("GET /x query:page", "GET", "/x?page=1", QUERY, True),
        ("get /x query:page", "GET", "http://h/x?page=1", QUERY, True),
        ("POST /x query:page", "GET", "/x", QUERY, False),
        ("* /a/*/c query:page", "PUT", "/a/b/b/c", QUERY, True),
        ("* /a query:page", "PUT", "/a/b", QUERY, False),
        ("$['items'][3]['id']", "GET", "/", LEAF, True),
        ("$['items']*", "GET", "/", LEAF, True),
        ("$.items[3].id", "GET", "/", LEAF, True),
        ("$.items[*].id", "GET", "/", LEAF, True),
        ("$.items[*].name", "GET", "/", LEAF, False),
        ("path[2]", "GET", "/", Place("path", (2,)), True),
        ("path[2]", "GET", "/", Place("path", (1,)), False),
        ("header:authorization/signed/*", "GET", "/", Place("header", ("authorization", 0), ("signed", "sub")), True),
    ],
)
def test_a_spot_fits_by_method_path_and_place(text: str, method: str, target: str, place: Place, fits: bool) -> None:
    assert spot_of(text).fits(method, target, place) is fits


@pytest.mark.parametrize("text", ["", "page", "GET query:page", "GET x query:page", "GET /x y z", "GET /x nothing"])
def test_what_is_no_spot_is_refused_with_advice(text: str) -> None:
    with pytest.raises(ValueError, match="write 'PLACE' or 'METHOD"):
        spot_of(text)


def test_a_rule_without_an_arrow_is_refused() -> None:
    with pytest.raises(ValueError, match="is no rule"):
        BindRules(["POST /orders $.id"])


def test_rules_are_told_by_their_source_and_by_their_target() -> None:
    rules = BindRules(["POST /orders $.id -> * /pay* form:ref", "* * header:x -> * * header:y"], ["query:page"])
    assert rules.supplying("POST", "/orders?x=1", Place("json", ("id",))) == [0]
    assert rules.feeding("POST", "/pay/now", Place("form", ("ref", 0))) == [0]
    assert rules.feeding("GET", "/", Place("header", ("y", 0))) == [1]
    assert rules.excluded("GET", "/", QUERY)
    assert not rules.excluded("GET", "/", LEAF)
