"""What a response supplies: one place can be asked for alone, and what nobody asks for can be left out."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capture.exchange import Response
from replay.place import Place
from replay.supply import supplied_values, unpacked, value_at

TEXTS = st.one_of(
    st.sampled_from(["", "7", "/things/17?page=3&page=4", "eyJpZCI6MTd9", '{"a": [1, "x"]}', "b3JkZXItMTc5Mw"]),
    st.just("a b1234567 c"),
    st.text(max_size=12),
)  # fmt: skip
DOCUMENTS = st.recursive(
    st.one_of(TEXTS, st.integers(-(10**20), 10**20), st.booleans(), st.none(), st.floats(allow_nan=False)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(["id", "url", "0", ""]), inner, max_size=3)
    ),
    max_leaves=8,
)


def answer(document: Any, *headers: tuple[str, str]) -> Response:
    body = json.dumps(document).encode()
    return Response(200, "OK", "HTTP/1.1", (("Content-Type", "application/json"), *headers), body, len(body))


@given(DOCUMENTS)
def test_each_place_alone_has_what_it_has_among_all(document: Any) -> None:
    response = answer(document, ("X-Next", "/a/b?c=d"), ("Set-Cookie", "sid=1; Path=/"))
    values = supplied_values(response)
    assert {place: value_at(response, place) for place in values} == values


@pytest.mark.parametrize(
    "place",
    [
        Place("json", ("things", 2)),
        Place("json", ("things", "0")),
        Place("json", ("things", 0, "id")),
        Place("json", ("nothing",)),
        Place("json", ("flag",)),
        Place("json", ("empty",)),
        Place("json", ("things", 0), ("path", 0)),
        Place("header", ("x-next", 0)),
    ],
)
def test_a_place_that_is_not_there_has_nothing(place: Place) -> None:
    assert value_at(answer({"things": ["a", "b"], "flag": True, "empty": ""}), place) is None


class Only:
    """Asks for some values, and for parts of no text."""

    def __init__(self, *values: str) -> None:
        self.values = values

    def __contains__(self, value: str) -> bool:
        return value in self.values

    def holds(self, text: str) -> bool:
        return any(value in text for value in self.values)


@given(DOCUMENTS, st.sampled_from(["7", "17", "things", "order-1793", "x", "b1234567"]))
def test_what_is_asked_for_is_not_left_out(document: Any, asked: str) -> None:
    values = supplied_values(answer(document))
    fewer = supplied_values(answer(document), wanted=Only(asked))
    assert fewer.items() <= values.items()
    assert {p for p, v in fewer.items() if v == asked} == {p for p, v in values.items() if v == asked}


def test_values_that_nobody_asks_for_are_left_out() -> None:
    response = answer({"things": [{"id": n, "name": f"thing number {n}"} for n in range(100)]})
    assert supplied_values(response, wanted=Only("17")) == {
        Place("json", ("things", 17, "id")): "17",
        Place("json", ("things", 17, "name")): "thing number 17",
    }


@given(st.text(st.characters(min_codepoint=32, max_codepoint=0x2FFF), min_size=9, max_size=30))
def test_base64_of_a_printable_text_is_unpacked_in_either_alphabet(text: str) -> None:
    data = text.encode()
    for packed in (base64.b64encode(data), base64.urlsafe_b64encode(data), base64.urlsafe_b64encode(data).rstrip(b"=")):
        assert unpacked(packed.decode()) == (text if text.isprintable() else None)
