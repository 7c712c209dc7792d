"""The wire format of protobuf, read without a schema (protobuf.dev/programming-guides/encoding); and its varints."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, TypeAlias

from capture.packed.items import Broken

__all__ = [
    "BYTES",
    "END",
    "FIXED32",
    "FIXED64",
    "START",
    "VARINT",
    "WireField",
    "make_varint",
    "read_fields",
    "read_varint",
]

VARINT, FIXED64, BYTES, START, END, FIXED32 = 0, 1, 2, 3, 4, 5
"""The wire types; START and END are those of groups."""

WireField: TypeAlias = "tuple[int, int, int, int, int, int]"
"""Field number, wire type, where the field begins, where its value begins, where both end; and the number that it is,
0 of BYTES. A plain tuple, as there are many."""

_FIELD_END: Final = 1 << 29
_MASK: Final = (1 << 64) - 1


def read_fields(data: bytes) -> Iterator[WireField]:
    """The fields of a whole message, in their order; the two ends of a group are fields of their own.

    Raises Broken, saying where, once what comes next is none; whether groups fit together is the caller's to see.
    """
    at, size = 0, len(data)
    while at < size:
        start = at
        tag = data[at]
        at += 1
        if tag > 0x7F:
            tag, at = read_varint(data, start)
        field, wire_type = tag >> 3, tag & 7
        if not 0 < field < _FIELD_END:
            raise Broken(f"not protobuf: field number {field} at byte {start}")
        value, number = at, 0
        if wire_type == BYTES:
            length, value = read_varint(data, at)
            at = value + length
        elif wire_type == VARINT:
            number, at = read_varint(data, at)
        elif wire_type == FIXED64:
            at += 8
            number = int.from_bytes(data[value:at], "little")
        elif wire_type == FIXED32:
            at += 4
            number = int.from_bytes(data[value:at], "little")
        elif wire_type > FIXED32:
            raise Broken(f"not protobuf: wire type {wire_type} at byte {start}")
        if at > size:
            raise Broken(f"not protobuf: the field at byte {start} goes beyond the end")
        yield field, wire_type, start, value, at, number


def read_varint(data: bytes, at: int) -> tuple[int, int]:
    """The varint that begins at `at`, and where the next byte stands. Raises Broken."""
    value = shift = 0
    size = len(data)
    while at < size and shift < 64:
        byte = data[at]
        at += 1
        if byte < 0x80:
            return (value | byte << shift) & _MASK, at
        value |= (byte & 0x7F) << shift
        shift += 7
    raise Broken(f"not protobuf: a broken varint before byte {at}")


def make_varint(value: int) -> bytes:
    """A number of no more than 64 bits as a varint."""
    made = bytearray()
    while value > 0x7F:
        made.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*made, value])
