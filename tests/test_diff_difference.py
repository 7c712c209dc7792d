"""Differences and how their paths are written."""

from __future__ import annotations

import json
import pickle
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st
from jsonpath import compile as compile_path

from diff.difference import (
    MISSING,
    Difference,
    format_path,
    general_path,
    generalise,
    jsonable,
    normalised_path,
    swapped,
)


def test_a_body_path_is_the_normalised_path_of_rfc_9535() -> None:
    assert format_path(Difference("body", ("items", 3, "price"), "value", 1, 2)) == "$['items'][3]['price']"
    assert format_path(Difference("body", (), "value", 1, 2)) == "$"


def test_the_escapes_are_those_of_rfc_9535_section_2_7() -> None:
    assert normalised_path(("'",)) == r"$['\'']"
    assert normalised_path(("\\",)) == r"$['\\']"
    assert normalised_path(("\b\f\n\r\t",)) == r"$['\b\f\n\r\t']"
    assert normalised_path(("\x0b\x1f",)) == r"$['\u000b\u001f']"
    assert normalised_path(('"', "é", "\x7f")) == "$['\"']['é']['\x7f']"


def test_places_outside_the_body_are_written_as_the_contract_says() -> None:
    assert format_path(Difference("status", (), "value", 200, 201)) == "status"
    assert format_path(Difference("outcome", (), "type", "answered", "refused")) == "outcome"
    assert format_path(Difference("header", ("vary",), "missing", "Accept")) == "header:vary"
    assert format_path(Difference("cookie", ("sid",), "value", "x", "y")) == "cookie:sid"
    assert format_path(Difference("cookie", ("sid", "Path"), "value", "/", "/a")) == "cookie:sid;Path"
    assert format_path(Difference("trailer", ("grpc-status",), "value", "0", "5")) == "trailer:grpc-status"


def test_generalising_replaces_indexes_and_not_keys_that_look_like_one() -> None:
    assert generalise(("items", 3, "0", 12)) == "$['items'][*]['0'][*]"
    assert general_path(Difference("body", ("rows", 7), "missing", 1)) == "$['rows'][*]"
    assert general_path(Difference("header", ("vary",), "missing", "Accept")) == "header:vary"


@given(st.lists(st.one_of(st.text(), st.integers(0, 5)), max_size=4))
def test_a_normalised_path_finds_its_value_again(steps: list[str | int]) -> None:
    value: object = "here"
    for step in reversed(steps):
        value = {step: value} if isinstance(step, str) else [*[None] * step, value]
    assert compile_path(normalised_path(tuple(steps))).findall(value) == ["here"]


def test_swapping_exchanges_sides_and_missing_with_extra() -> None:
    missing = Difference("body", ("k",), "missing", 1)
    assert swapped(missing) == Difference("body", ("k",), "extra", MISSING, 1)
    assert swapped(swapped(missing)) == missing
    assert swapped(Difference("status", (), "value", 200, 404)) == Difference("status", (), "value", 404, 200)


def test_missing_stays_the_one_value_through_pickling() -> None:
    assert pickle.loads(pickle.dumps(Difference("body", (), "missing", None))).right is MISSING


def test_every_side_can_be_written_as_json() -> None:
    values = [MISSING, b"\x00\xff", float("nan"), Decimal("1e400"), "\ud800", {1: [True]}, 2**70, {"k": (1.5, None)}]
    assert [jsonable(value) for value in values] == [
        None,
        {"base64": "AP8="},
        "nan",
        "1E+400",
        r"\ud800",
        {"1": [True]},
        2**70,
        {"k": [1.5, None]},
    ]
    json.dumps([jsonable(value) for value in values], allow_nan=False)
