"""The wire format of protobuf: fields by number, without knowing what they are called."""

from __future__ import annotations

import struct
from typing import Final, Literal, TypeAlias

from capture.packed.items import Broken
from capture.packed.protobuf import BYTES, END, FIXED32, FIXED64, START, VARINT, read_fields, read_varint
from diff.body.reading import Unreadable

__all__ = ["Field", "Fields", "as_double", "as_float", "parse_fields", "parse_varint"]

WireType = Literal["varint", "fixed64", "bytes", "group", "fixed32"]
Field: TypeAlias = "tuple[WireType, int | bytes | Fields]"
"""How a field is written, and its value: an int, the bytes of a string, message or packed list, or a group's fields."""
Fields: TypeAlias = "dict[int, list[Field]]"
"""Field numbers to their values in the order they came; the order of different numbers says nothing."""

_NUMBERS: Final[dict[int, WireType]] = {VARINT: "varint", FIXED64: "fixed64", FIXED32: "fixed32"}
_GROUPS_MAX: Final = 100
_FIELDS_MAX: Final = 500_000


def parse_varint(data: bytes, at: int) -> tuple[int, int]:
    """The varint that begins at `at`, and where the next byte stands. Raises Unreadable."""
    try:
        return read_varint(data, at)
    except Broken as error:
        raise Unreadable(str(error)) from None


def parse_fields(data: bytes) -> Fields:
    """The fields of a whole message. Raises Unreadable where the bytes are none."""
    try:
        return _nested(data)
    except Broken as error:
        raise Unreadable(str(error)) from None


def _nested(data: bytes) -> Fields:
    """The fields of a whole message, those of a group under the group. Raises Broken."""
    fields: Fields = {}
    outer: list[tuple[int, Fields]] = []
    count = 0
    for number, wire_type, start, value, end, integer in read_fields(data):
        count += 1
        if count > _FIELDS_MAX:
            raise Broken(f"protobuf of more than {_FIELDS_MAX} fields")
        if wire_type == BYTES:
            field: Field = "bytes", data[value:end]
        elif wire_type == START and len(outer) < _GROUPS_MAX:
            inner: Fields = {}
            fields.setdefault(number, []).append(("group", inner))
            outer.append((number, fields))
            fields = inner
            continue
        elif wire_type == END and outer and outer[-1][0] == number:
            _, fields = outer.pop()
            continue
        elif wire_type in _NUMBERS:
            field = _NUMBERS[wire_type], integer
        else:
            raise Broken(f"not protobuf: wire type {wire_type} at byte {start}")
        fields.setdefault(number, []).append(field)
    if outer:
        raise Broken(f"not protobuf: group {outer[-1][0]} has no end")
    return fields


def as_double(value: int) -> float:
    """The eight bytes of a fixed64 read as an IEEE 754 double."""
    return float(struct.unpack("<d", value.to_bytes(8, "little"))[0])


def as_float(value: int) -> float:
    """The four bytes of a fixed32 read as an IEEE 754 single."""
    return float(struct.unpack("<f", value.to_bytes(4, "little"))[0])
