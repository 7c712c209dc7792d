"""Strings and numbers of protobuf messages, also as gRPC frames them, with their places; and others put there.

Without a schema: of the wire format (protobuf.dev/programming-guides/encoding) alone. What may be text or a message is
text where it is printable, which a message is not: its first tag nearly always is a control character.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import NamedTuple

from replay.coding import decode_body, encode_body
from replay.place import Place, Step

__all__ = ["looks_like_protobuf", "protobuf_leaves", "splice_protobuf"]

_DEPTH_MAX = 32
_MESSAGE_MAX = 4 << 20
_FRAME_HEAD = 5
_COMPRESSED, _TRAILERS = 0x01, 0x80
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_NUMBER_MAX = 1 << 64
_FIELDS_MAX = 20_000


class _Broken(ValueError):
    """The bytes are no message."""


class _Field(NamedTuple):
    """One field of a message: where it begins, where its value begins, where both end; number: for a varint."""

    field: int
    wire_type: int
    start: int
    value: int
    end: int
    number: int


def looks_like_protobuf(content_type: str) -> bool:
    """By the Content-Type in lower case; gRPC in JSON or in base64 is something else."""
    kind = content_type.partition(";")[0].strip()
    if kind.startswith("application/grpc"):
        return kind in ("application/grpc", "application/grpc-web") or kind.endswith("+proto")
    return "protobuf" in kind or kind.endswith("/x-proto")


def protobuf_leaves(body: bytes, content_type: str, encoding: str = "") -> Iterator[tuple[Place, str]]:
    """Place and value of each text and integer, nothing where the body is no protobuf. Never raises.

    The steps of a place are a field number and which field of that number it is, for each level; of gRPC the first step
    is the number of the message. encoding: the value of grpc-encoding, for the messages that say they are compressed.
    """
    if not content_type.startswith("application/grpc"):
        yield from _leaves(body, (), 0)
        return
    for number, (flags, message) in enumerate(_frames(body)):
        if not flags & _TRAILERS:
            plain = decode_body(message, encoding, _MESSAGE_MAX) if flags & _COMPRESSED else message
            yield from _leaves(plain or b"", (number,), 0)


def splice_protobuf(
    body: bytes, content_type: str, values: Mapping[tuple[Step, ...], str], encoding: str = ""
) -> bytes:
    """The body with other values at some places; lengths fit again, every other byte stays.

    What is no number stays where a number is to be put.
    """
    if not content_type.startswith("application/grpc"):
        return _spliced(body, (), values)
    made = bytearray()
    for number, (flags, message) in enumerate(_frames(body)):
        plain = decode_body(message, encoding, _MESSAGE_MAX) if flags & _COMPRESSED else message
        if plain is not None and not flags & _TRAILERS and any(path[0] == number for path in values):
            changed = _spliced(plain, (number,), values)
            message = (encode_body(changed, encoding) if flags & _COMPRESSED else changed) or message
        made += bytes([flags]) + len(message).to_bytes(4, "big") + message
    return bytes(made) if made else body


def _frames(body: bytes) -> Iterator[tuple[int, bytes]]:
    """Flags and content of each length-prefixed message (gRPC over HTTP/2); the last may be cut and is left out."""
    at = 0
    while at + _FRAME_HEAD <= len(body):
        end = at + _FRAME_HEAD + int.from_bytes(body[at + 1 : at + _FRAME_HEAD], "big")
        if end > len(body):
            return
        yield body[at], body[at + _FRAME_HEAD : end]
        at = end


def _leaves(message: bytes, above: tuple[Step, ...], depth: int) -> Iterator[tuple[Place, str]]:
    seen: dict[int, int] = {}
    try:
        fields = _all_fields(message)
    except _Broken:
        return
    for field in fields:
        nth = seen.get(field.field, 0)
        seen[field.field] = nth + 1
        path = (*above, field.field, nth)
        if field.wire_type != _BYTES:
            if field.wire_type != _FIXED32:
                yield Place("protobuf", path), str(field.number)
            continue
        content = message[field.value : field.end]
        text = _text(content)
        if text is not None:
            yield Place("protobuf", path), text
        elif depth < _DEPTH_MAX:
            yield from _leaves(content, path, depth + 1)


def _spliced(message: bytes, above: tuple[Step, ...], values: Mapping[tuple[Step, ...], str]) -> bytes:
    wanted = {path[: len(above) + 2] for path in values if path[: len(above)] == above}
    if not wanted:
        return message
    try:
        fields = _all_fields(message)
    except _Broken:
        return message
    made = bytearray()
    seen: dict[int, int] = {}
    for field in fields:
        nth = seen.get(field.field, 0)
        seen[field.field] = nth + 1
        path = (*above, field.field, nth)
        raw = message[field.start : field.end]
        if path in wanted:
            raw = _changed(message, field, values.get(path), path, values)
        made += raw
    return bytes(made)


def _changed(
    message: bytes, field: _Field, new: str | None, path: tuple[Step, ...], values: Mapping[tuple[Step, ...], str]
) -> bytes:
    """One field with a new value, or with new values inside it."""
    tag = _varint(field.field << 3 | field.wire_type)
    if field.wire_type == _BYTES:
        content = message[field.value : field.end]
        content = _spliced(content, path, values) if new is None else new.encode("utf-8", "surrogateescape")
        return tag + _varint(len(content)) + content
    if new is None or not new.isascii() or not new.isdigit() or int(new) >= _NUMBER_MAX:
        return message[field.start : field.end]
    return tag + (_varint(int(new)) if field.wire_type == _VARINT else int(new).to_bytes(8, "little"))


def _fields(message: bytes) -> Iterator[_Field]:
    """The fields of a whole message; raises _Broken where the bytes are none. Groups, which are long gone, are none."""
    at = 0
    while at < len(message):
        start = at
        tag, at = _read_varint(message, at)
        field, wire_type, value, number = tag >> 3, tag & 7, at, 0
        if wire_type == _VARINT:
            number, at = _read_varint(message, at)
        elif wire_type == _BYTES:
            length, value = _read_varint(message, at)
            at = value + length
        elif wire_type == _FIXED64:
            at += 8
            number = int.from_bytes(message[value:at], "little")
        elif wire_type == _FIXED32:
            at += 4
        else:
            raise _Broken
        if not 0 < field < 1 << 29 or at > len(message):
            raise _Broken
        yield _Field(field, wire_type, start, value, at, number)


def _all_fields(message: bytes) -> list[_Field]:
    """Raises _Broken also where there are more than anybody could be given values of."""
    fields = list(islice(_fields(message), _FIELDS_MAX + 1))
    if len(fields) > _FIELDS_MAX:
        raise _Broken
    return fields


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(data) and shift < 64:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & (_NUMBER_MAX - 1), at
        shift += 7
    raise _Broken


def _varint(value: int) -> bytes:
    made = bytearray()
    while value > 0x7F:
        made.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*made, value])


def _text(content: bytes) -> str | None:
    """The text that the bytes seem to be, None where they seem to be something else."""
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        return None
    return text if text and (text.isprintable() or (text[0].isprintable() and _is_lines(text))) else None


def _is_lines(text: str) -> bool:
    return all(char.isprintable() or char in "\t\r\n" for char in text)
