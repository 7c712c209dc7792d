"""A small CBOR encoder (RFC 8949), so that tests need no library: values in, the shortest bytes out."""

from __future__ import annotations

import struct
from typing import Any


def cbor(value: Any) -> bytes:
    """None, booleans, integers, floats, texts, bytes, lists and dictionaries."""
    if value is None or isinstance(value, bool):
        return {None: b"\xf6", False: b"\xf4", True: b"\xf5"}[value]
    if isinstance(value, int):
        return head(0, value) if value >= 0 else head(1, -1 - value)
    if isinstance(value, float):
        return b"\xfb" + struct.pack(">d", value)
    if isinstance(value, bytes):
        return head(2, len(value)) + value
    if isinstance(value, str):
        return head(3, len(value.encode())) + value.encode()
    if isinstance(value, list):
        return head(4, len(value)) + b"".join(map(cbor, value))
    return head(5, len(value)) + b"".join(cbor(key) + cbor(item) for key, item in value.items())


def head(major: int, number: int) -> bytes:
    """The initial byte of a value and its argument."""
    if number < 24:
        return bytes([major << 5 | number])
    for extra, size in ((24, 1), (25, 2), (26, 4), (27, 8)):
        if number < 1 << 8 * size:
            return bytes([major << 5 | extra]) + number.to_bytes(size, "big")
    raise ValueError(number)


def tagged(tag: int, encoded: bytes) -> bytes:
    """An encoded value under a tag."""
    return head(6, tag) + encoded


def in_pieces(major: int, *encoded: bytes) -> bytes:
    """A string, a list or a map of indefinite length, of these encoded parts."""
    return bytes([major << 5 | 31]) + b"".join(encoded) + b"\xff"
