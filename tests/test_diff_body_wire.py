"""The wire format of protobuf."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from diff.body.reading import Unreadable
from diff.body.wire import as_double, as_float, parse_fields, parse_varint
from tests.support.protobuf import field, fixed32, group, varint


def test_fields_are_gathered_by_number_in_their_order() -> None:
    message = field(1, 150) + field(2, "testing") + field(1, 1) + field(3, 2.5) + fixed32(4, b"\0\0\x80?")
    assert parse_fields(message) == {
        1: [("varint", 150), ("varint", 1)],
        2: [("bytes", b"testing")],
        3: [("fixed64", 0x4004_0000_0000_0000)],
        4: [("fixed32", 0x3F80_0000)],
    }
    assert (as_double(0x4004_0000_0000_0000), as_float(0x3F80_0000)) == (2.5, 1.0)


def test_groups_are_read_to_their_end() -> None:
    assert parse_fields(group(5, field(1, 1), group(6))) == {5: [("group", {1: [("varint", 1)], 6: [("group", {})]})]}


@given(st.integers(0, 2**64 - 1))
def test_a_varint_is_read_back(value: int) -> None:
    assert parse_varint(b"x" + varint(value) + b"y", 1) == (value, 1 + len(varint(value)))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"\x80", "broken varint"),
        (b"\x80" * 11, "broken varint"),
        (b"\x00", "field number 0"),
        (b"\x0a\x05ab", "goes beyond the end"),
        (b"\x09abc", "goes beyond the end"),
        (b"\x0dab", "goes beyond the end"),
        (b"\x0f", "wire type 7"),
        (b"\x0c", "wire type 4"),
        (b"\x0b", "group 1 has no end"),
        (b"\x0b" * 200, "wire type 3"),
    ],
)
def test_what_is_not_a_message_says_why_and_where(data: bytes, reason: str) -> None:
    with pytest.raises(Unreadable, match=reason):
        parse_fields(data)


@given(st.binary(max_size=60))
def test_garbage_is_read_or_refused(data: bytes) -> None:
    try:
        parse_fields(data)
    except Unreadable:
        pass
