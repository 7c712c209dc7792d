"""MessagePack bodies."""

from __future__ import annotations

from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from diff.body.messagepack import parse_messagepack
from diff.body.reading import Unreadable
from diff.difference import MISSING
from tests.support.bodies import compare, found
from tests.support.json_values import json_values

MSGPACK = "application/msgpack"


def packed(*values: Any) -> bytes:
    return b"".join(msgpack.packb(value) for value in values)


def test_values_are_compared_as_json_is() -> None:
    assert found(packed({"a": 1, "b": [1, 2.0]}), packed({"b": [1, 2], "a": 1}), MSGPACK) == []
    assert found(packed({"a": 1, "b": [1, 2]}), packed({"a": True, "b": [1, 3]}), MSGPACK) == [
        (("a",), "type", 1, True),
        (("b", 1), "value", 2, 3),
    ]


def test_bytes_are_not_text() -> None:
    assert found(packed([b"x"]), packed(["x"]), MSGPACK) == [((0,), "type", b"x", "x")]
    assert found(packed([b"x"]), packed([b"y"]), MSGPACK) == [((0,), "value", b"x", b"y")]


def test_keys_of_any_type_and_extension_types_are_compared() -> None:
    assert found(packed({1: "a", None: "b"}), packed({1: "c", None: "b"}), MSGPACK) == [(("1",), "value", "a", "c")]
    one, two = msgpack.ExtType(5, b"x"), msgpack.ExtType(5, b"y")
    assert found(packed([one]), packed([two]), MSGPACK) == [((0,), "value", one, two)]
    early, late = msgpack.Timestamp(1), msgpack.Timestamp(2)
    assert found(packed([early]), packed([late]), MSGPACK) == [((0,), "value", early, late)]


def test_a_repeated_key_is_a_fact() -> None:
    twice = b"\x82\xa1a\x01\xa1a\x02"
    assert found(twice, packed({"a": 2}), MSGPACK) == [(("a",), "missing", 1, MISSING)]


def test_several_values_in_a_row_are_a_list() -> None:
    assert found(packed(1, 2), packed(1, 3), MSGPACK) == [((1,), "value", 2, 3)]
    assert found(packed(1, 2), packed(1), MSGPACK) == [((1,), "missing", 2, MISSING)]


def test_maps_as_keys_are_named_by_their_repr() -> None:
    assert parse_messagepack(b"\x81\x91\x01\x02") == [{"[1]": 2}]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"\x81\xa1a", "ends within a value"),
        (b"\xc1", "not MessagePack"),
        (b"\xdd\xff\xff\xff\xff", "not MessagePack|ends within"),
        (b"\x91" * 5000, "not MessagePack|ends within"),
    ],
)
def test_what_is_not_messagepack_says_why(body: bytes, reason: str) -> None:
    with pytest.raises(Unreadable, match=reason):
        parse_messagepack(body)


def test_nesting_too_deep_to_walk_is_compared_as_bytes() -> None:
    comparison = compare(b"\x91" * 1000 + b"\x01", b"\x91" * 1000 + b"\x02", MSGPACK)
    assert [(d.path, d.kind) for d in comparison.differences] == [((), "value")]
    assert comparison.notes[0] == "MessagePack nested too deep; compared as binary"


@given(json_values(), json_values())
def test_any_two_values_are_compared(left: Any, right: Any) -> None:
    try:
        mine, other = packed(left), packed(right)
    except OverflowError:
        return
    compare(mine, other, MSGPACK)


@given(st.binary(max_size=40))
def test_garbage_is_read_or_refused(garbage: bytes) -> None:
    try:
        parse_messagepack(garbage)
    except Unreadable:
        pass
