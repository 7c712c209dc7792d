"""CBOR bodies (RFC 8949), compared as the values they hold."""

from __future__ import annotations

import struct
import uuid
from typing import Any, Final

from capture.packed.cbor import CBOR
from capture.packed.items import Broken, Head, Kind
from diff.body.reading import Unreadable, read_both
from diff.body.tree import Repeating, compare_values
from diff.collector import Collector
from diff.options import CompareOptions

__all__ = ["compare_cbor", "parse_cbor"]

_DEPTH_MAX: Final = 200
_WORDS: Final[dict[int, Any]] = {0xF4: False, 0xF5: True, 0xF6: None}
_FLOATS: Final = {0xF9: ">e", 0xFA: ">f", 0xFB: ">d"}
_BIG, _BIG_NEGATIVE, _UUID = 2, 3, 37
_UUID_BYTES: Final = 16
_BIG_BYTES_MAX: Final = 1024
"""Python writes no integer of more than 4,300 digits, which a longer one may have."""


def compare_cbor(left: bytes, right: bytes, collector: Collector, options: CompareOptions) -> None:
    """Add the differences of two CBOR bodies; several values in a row (RFC 8742) are compared as a list.

    Raises Unreadable where one is not CBOR or is nested too deep, TooManyDifferences.
    """
    before = len(collector.differences)
    mine, other = read_both(lambda body, _: parse_cbor(body), left, right)
    try:
        if len(mine) == len(other) == 1:
            compare_values(mine[0], other[0], collector, options)
        else:
            compare_values(mine, other, collector, options)
    except RecursionError:
        collector.rewind(before)
        raise Unreadable("CBOR nested too deep", ("left", "right")) from None


def parse_cbor(body: bytes) -> list[Any]:
    """The values that stand one after the other in the body. Raises Unreadable.

    How an integer, a float or a length was written says nothing. Big integers of up to 1,024 bytes are integers, UUIDs
    text with its dashes, what has another tag stands under "#tag NUMBER", simple values without a meaning under
    "#simple". Keys of maps as in MessagePack; text that is not UTF-8 keeps its bytes as lone surrogates.
    """
    values: list[Any] = []
    at = 0
    try:
        while at < len(body):
            value, at = _value(body, at, 0)
            values.append(value)
    except Broken:
        raise Unreadable(f"not CBOR, or it ends within a value, after {len(values)} whole ones") from None
    return values


def _value(body: bytes, at: int, depth: int) -> tuple[Any, int]:
    """The value that begins at a byte, and where the next one does."""
    if depth > _DEPTH_MAX:
        raise Unreadable("CBOR nested too deep")
    head = CBOR.read_head(body, at)
    kind = head.kind
    if kind is Kind.INTEGER:
        return head.number, head.content
    if kind is Kind.TEXT or kind is Kind.BYTES:
        data, end = _string(body, head)
        return (data.decode("utf-8", "surrogateescape") if kind is Kind.TEXT else data), end
    if kind is Kind.LIST:
        return _values(body, head.content, head.number, depth)
    if kind is Kind.MAP:
        flat, end = _values(body, head.content, head.number if head.number < 0 else 2 * head.number, depth)
        if len(flat) % 2:
            raise Broken
        return _map(flat[::2], flat[1::2]), end
    if kind is Kind.TAG:
        inner, end = _value(body, head.content, depth + 1)
        return _tagged(head.number, inner), end
    if kind is Kind.OTHER:
        return _simple(body[at : head.content], head.number), head.content
    raise Broken  # an end of nothing


def _values(body: bytes, at: int, count: int, depth: int) -> tuple[list[Any], int]:
    """So many values, or up to their end where the count is below 0."""
    values: list[Any] = []
    while count < 0 or len(values) < count:
        if count < 0 and (head := CBOR.read_head(body, at)).kind is Kind.END:
            return values, head.content
        value, at = _value(body, at, depth + 1)
        values.append(value)
    return values, at


def _string(body: bytes, head: Head) -> tuple[bytes, int]:
    if head.number >= 0:
        end = head.content + head.number
        if end > len(body):
            raise Broken
        return body[head.content : end], end
    pieces: list[bytes] = []
    at = head.content
    while (piece := CBOR.read_head(body, at)).kind is head.kind and piece.number >= 0:
        at = piece.content + piece.number
        pieces.append(body[piece.content : at])
    if piece.kind is not Kind.END:
        raise Broken
    return b"".join(pieces), piece.content


def _map(keys: list[Any], values: list[Any]) -> dict[Any, Any]:
    pairs = [
        (repr(key) if isinstance(key, list | dict) else key, value) for key, value in zip(keys, values, strict=True)
    ]
    members = dict(pairs)
    return members if len(members) == len(pairs) else Repeating(pairs)


def _tagged(tag: int, value: Any) -> Any:
    if isinstance(value, bytes):
        if tag == _BIG and len(value) <= _BIG_BYTES_MAX:
            return int.from_bytes(value, "big")
        if tag == _BIG_NEGATIVE and len(value) <= _BIG_BYTES_MAX:
            return -1 - int.from_bytes(value, "big")
        if tag == _UUID and len(value) == _UUID_BYTES:
            return str(uuid.UUID(bytes=value))
    return {f"#tag {tag}": value}


def _simple(written: bytes, number: int) -> Any:
    """A float, true, false, null, or a value that has no meaning of its own."""
    if written[0] in _FLOATS:
        return struct.unpack(_FLOATS[written[0]], written[1:])[0]
    return _WORDS.get(written[0], {"#simple": number})
