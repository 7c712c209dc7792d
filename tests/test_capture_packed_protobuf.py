"""Fields of protobuf are read with where they stand, and what is none says why and where."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capture.packed.items import Broken
from capture.packed.protobuf import BYTES, END, FIXED32, FIXED64, START, VARINT, make_varint, read_fields, read_varint
from tests.support.protobuf import field, fixed32, group, varint


def test_each_field_has_its_number_its_type_and_its_bytes() -> None:
    message = field(1, 150) + field(2, "hi") + field(300, 2.5) + fixed32(4, b"\0\0\x80?") + group(5, field(1, 1))
    assert list(read_fields(message)) == [
        (1, VARINT, 0, 1, 3, 150),
        (2, BYTES, 3, 5, 7, 0),
        (300, FIXED64, 7, 9, 17, 0x4004_0000_0000_0000),
        (4, FIXED32, 17, 18, 22, 0x3F80_0000),
        (5, START, 22, 23, 23, 0),
        (1, VARINT, 23, 24, 25, 1),
        (5, END, 25, 26, 26, 0),
    ]


@given(st.integers(0, (1 << 64) - 1))
def test_a_varint_is_read_back(value: int) -> None:
    assert make_varint(value) == varint(value)
    assert read_varint(b"x" + make_varint(value) + b"y", 1) == (value, 1 + len(varint(value)))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"\x80", "broken varint before byte 1"),
        (b"\x80" * 11, "broken varint before byte 10"),
        (b"\x08", "broken varint before byte 1"),
        (b"\x08\x01\x00", "field number 0 at byte 2"),
        (b"\x0a\x05ab", "the field at byte 0 goes beyond the end"),
        (b"\x09abc", "the field at byte 0 goes beyond the end"),
        (b"\x0dab", "the field at byte 0 goes beyond the end"),
        (b"\x0f", "wire type 7 at byte 0"),
        (b"\x0e", "wire type 6 at byte 0"),
    ],
)
def test_what_is_not_a_message_says_why_and_where(data: bytes, reason: str) -> None:
    with pytest.raises(Broken, match=f"{reason}$"):
        list(read_fields(data))


@given(st.binary(max_size=80))
def test_fields_of_any_bytes_follow_one_another(data: bytes) -> None:
    end = 0
    try:
        for _, _, start, value, stop, _ in read_fields(data):
            assert start == end < value <= stop <= len(data)
            end = stop
    except Broken:
        return
    assert end == len(data)
