"""Strings and numbers of protobuf messages, also as gRPC frames them, with their places; and others put there.

Without a schema: of the wire format alone. What may be text or a message is text where that rule says so
(capture/packed/text.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice

from capture.packed.grpc_frames import COMPRESSED, TRAILERS, read_frames
from capture.packed.items import Broken
from capture.packed.protobuf import BYTES, END, FIXED32, START, VARINT, WireField, make_varint, read_fields
from capture.packed.text import text_of
from replay.coding import decode_body, encode_body
from replay.place import Place, Step

__all__ = ["looks_like_protobuf", "protobuf_leaves", "splice_protobuf"]

_DEPTH_MAX = 32
_MESSAGE_MAX = 4 << 20
_NUMBER_MAX = 1 << 64
_FIELDS_MAX = 20_000


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
    for number, (flags, start, end) in enumerate(read_frames(body, cut_off=True)):
        if not flags & TRAILERS:
            yield from _leaves(_plain(flags, body[start:end], encoding) or b"", (number,), 0)


def splice_protobuf(
    body: bytes, content_type: str, values: Mapping[tuple[Step, ...], str], encoding: str = ""
) -> bytes:
    """The body with other values at some places; lengths fit again, every other byte stays.

    What is no number stays where a number is to be put.
    """
    if not content_type.startswith("application/grpc"):
        return _spliced(body, (), values)
    made: list[bytes] = []
    end = 0
    for number, (flags, start, end) in enumerate(read_frames(body, cut_off=True)):
        message = body[start:end]
        if not flags & TRAILERS and any(path[0] == number for path in values):
            plain = _plain(flags, message, encoding)
            if plain is not None:
                changed = _spliced(plain, (number,), values)
                message = (encode_body(changed, encoding) if flags & COMPRESSED else changed) or message
        made += (bytes([flags]), len(message).to_bytes(4, "big"), message)
    return b"".join((*made, body[end:]))


def _plain(flags: int, message: bytes, encoding: str) -> bytes | None:
    """The message of a frame without its coding, None where that is not known or too much would come out."""
    return decode_body(message, encoding, _MESSAGE_MAX) if flags & COMPRESSED else message


def _leaves(message: bytes, above: tuple[Step, ...], depth: int) -> Iterator[tuple[Place, str]]:
    seen: dict[int, int] = {}
    for number, wire_type, _, value, end, integer in _all_fields(message):
        nth = seen.get(number, 0)
        seen[number] = nth + 1
        path = (*above, number, nth)
        if wire_type != BYTES:
            if wire_type != FIXED32:
                yield Place("protobuf", path), str(integer)
            continue
        content = message[value:end]
        text = text_of(content)
        if text is not None:
            yield Place("protobuf", path), text
        elif depth < _DEPTH_MAX:
            yield from _leaves(content, path, depth + 1)


def _spliced(message: bytes, above: tuple[Step, ...], values: Mapping[tuple[Step, ...], str]) -> bytes:
    wanted = {path[: len(above) + 2] for path in values if path[: len(above)] == above}
    if not wanted:
        return message
    made: list[bytes] = []
    seen: dict[int, int] = {}
    at = 0
    for field in _all_fields(message):
        number, _, start, _, end, _ = field
        nth = seen.get(number, 0)
        seen[number] = nth + 1
        path = (*above, number, nth)
        if path in wanted:
            made += (message[at:start], _changed(message, field, values.get(path), path, values))
            at = end
    return b"".join((*made, message[at:]))


def _changed(
    message: bytes, field: WireField, new: str | None, path: tuple[Step, ...], values: Mapping[tuple[Step, ...], str]
) -> bytes:
    """One field with a new value, or with new values inside it."""
    number, wire_type, start, value, end, _ = field
    tag = make_varint(number << 3 | wire_type)
    if wire_type == BYTES:
        content = message[value:end]
        content = _spliced(content, path, values) if new is None else new.encode("utf-8", "surrogateescape")
        return tag + make_varint(len(content)) + content
    if new is None or not new.isascii() or not new.isdigit() or int(new) >= _NUMBER_MAX:
        return message[start:end]
    return tag + (make_varint(int(new)) if wire_type == VARINT else int(new).to_bytes(8, "little"))


def _all_fields(message: bytes) -> list[WireField]:
    """The fields of a message; none where it is broken or has groups, which are long gone, and none where there are
    more than anybody could be given values of."""
    try:
        fields = list(islice(read_fields(message), _FIELDS_MAX + 1))
    except Broken:
        return []
    if len(fields) > _FIELDS_MAX or any(field[1] == START or field[1] == END for field in fields):
        return []
    return fields
