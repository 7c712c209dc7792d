"""The wire format of protobuf: fields by number, without knowing what they are called."""

from __future__ import annotations

import struct
from typing import Final, Literal, TypeAlias

from diff.body.reading import Unreadable

__all__ = ["Field", "Fields", "as_double", "as_float", "parse_fields", "parse_varint", "text_of"]

WireType = Literal["varint", "fixed64", "bytes", "group", "fixed32"]
Field: TypeAlias = "tuple[WireType, int | bytes | Fields]"
"""How a field is written, and its value: an int, the bytes of a string, message or packed list, or a group's fields."""
Fields: TypeAlias = "dict[int, list[Field]]"
"""Field numbers to their values in the order they came; the order of different numbers says nothing."""

_GROUPS_MAX: Final = 100
_FIELDS_MAX: Final = 500_000


def parse_varint(data: bytes, at: int) -> tuple[int, int]:
    """The varint that begins at `at`, and where the next byte stands. Raises Unreadable."""
    value = shift = 0
    while True:
        if at >= len(data) or shift > 63:
            raise Unreadable(f"not protobuf: a broken varint before byte {at}")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & 0xFFFF_FFFF_FFFF_FFFF, at
        shift += 7


def parse_fields(data: bytes) -> Fields:
    """The fields of a whole message. Raises Unreadable where the bytes are none."""
    fields, at = _fields(data, 0, None, 0)
    assert at == len(data)
    return fields


def _fields(data: bytes, at: int, group: int | None, depth: int) -> tuple[Fields, int]:
    """Fields up to the end, or within a group up to its end tag, and where the next byte stands."""
    fields: Fields = {}
    count = 0
    while at < len(data):
        start = at
        tag, at = parse_varint(data, at)
        number, wire_type = tag >> 3, tag & 7
        if not 0 < number < 1 << 29:
            raise Unreadable(f"not protobuf: field number {number} at byte {start}")
        value: Field
        if wire_type == 0:
            integer, at = parse_varint(data, at)
            value = "varint", integer
        elif wire_type == 2:
            length, at = parse_varint(data, at)
            value = "bytes", data[at : at + length]
            at += length
        elif wire_type == 1:
            value = "fixed64", int.from_bytes(data[at : at + 8], "little")
            at += 8
        elif wire_type == 5:
            value = "fixed32", int.from_bytes(data[at : at + 4], "little")
            at += 4
        elif wire_type == 3 and depth < _GROUPS_MAX:
            inner, at = _fields(data, at, number, depth + 1)
            value = "group", inner
        elif wire_type == 4 and number == group:
            return fields, at
        else:
            raise Unreadable(f"not protobuf: wire type {wire_type} at byte {start}")
        if at > len(data):
            raise Unreadable(f"not protobuf: the field at byte {start} goes beyond the end")
        count += 1
        if count > _FIELDS_MAX:
            raise Unreadable(f"protobuf of more than {_FIELDS_MAX} fields")
        fields.setdefault(number, []).append(value)
    if group is not None:
        raise Unreadable(f"not protobuf: group {group} has no end")
    return fields, at


_CONTROLS: Final = dict.fromkeys([*range(0x20), 0x7F])
_CONTROLS_IN_TEXT: Final = {code: None for code in _CONTROLS if code not in (0x09, 0x0A, 0x0D)}


def text_of(data: bytes) -> str | None:
    """The text that a bytes field seems to hold, None where it seems to be something else.

    A text that begins with a control character is rare, a message that does is the rule (its first tag).
    """
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        return None
    if text[:1] < " " and text:
        return None
    return text if text.translate(_CONTROLS_IN_TEXT) == text else None


def as_double(value: int) -> float:
    """The eight bytes of a fixed64 read as an IEEE 754 double."""
    return float(struct.unpack("<d", value.to_bytes(8, "little"))[0])


def as_float(value: int) -> float:
    """The four bytes of a fixed32 read as an IEEE 754 single."""
    return float(struct.unpack("<f", value.to_bytes(4, "little"))[0])
