"""The heads of CBOR (RFC 8949 section 3), read and written."""

from __future__ import annotations

from typing import Final

from capture.packed.items import Broken, Format, Head, Kind

__all__ = ["CBOR"]

_SIZES: Final = {24: 1, 25: 2, 26: 4, 27: 8}
_INDEFINITE: Final = 31
_KINDS: Final = (Kind.INTEGER, Kind.INTEGER, Kind.BYTES, Kind.TEXT, Kind.LIST, Kind.MAP, Kind.TAG, Kind.OTHER)
_MAJOR: Final = {Kind.BYTES: 2, Kind.TEXT: 3}


def _read_head(data: bytes, at: int) -> Head:
    if at >= len(data):
        raise Broken
    major, number = data[at] >> 5, data[at] & 0x1F
    kind = _KINDS[major]
    at += 1
    if number in _SIZES:
        end = at + _SIZES[number]
        if end > len(data):
            raise Broken
        number = int.from_bytes(data[at:end], "big")
        at = end
    elif number == _INDEFINITE:
        if kind is Kind.OTHER:
            return Head(Kind.END, 0, at)
        if kind is Kind.INTEGER or kind is Kind.TAG:
            raise Broken
        return Head(kind, -1, at)
    elif number > 27:
        raise Broken  # not assigned
    return Head(kind, -1 - number if major == 1 else number, at)


def _make_head(kind: Kind, number: int, like: bytes) -> bytes:
    major, argument = _MAJOR.get(kind, 0), number
    if kind is Kind.INTEGER and number < 0:
        major, argument = 1, -1 - number
    size = _least(argument)
    if like and like[0] & 0x1F != _INDEFINITE:
        old = _read_head(like, 0)
        used = _SIZES.get(like[0] & 0x1F, 0)
        if used > _least(-1 - old.number if old.number < 0 else old.number):
            size = max(size, used)
    if size == 0:
        return bytes([major << 5 | argument])
    return bytes([major << 5 | 23 + size.bit_length()]) + argument.to_bytes(size, "big")


def _least(argument: int) -> int:
    """How many bytes must follow the first one."""
    return 0 if argument < 24 else next(size for size in _SIZES.values() if argument < 1 << 8 * size)


CBOR: Final = Format(_read_head, _make_head)
