"""The heads of MessagePack (the specification of msgpack.org, versions of 2008 and 2013), read and written."""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

from capture.packed.items import Broken, Format, Head, Kind

__all__ = ["MESSAGEPACK"]


class _Width(NamedTuple):
    """One way to write a number: the first byte, what it can say, and how it follows; size 0: in the first byte."""

    first: int
    low: int
    high: int
    size: int


_TEXTS: Final = (
    _Width(0xA0, 0, 31, 0), _Width(0xD9, 0, 0xFF, 1), _Width(0xDA, 0, 0xFFFF, 2), _Width(0xDB, 0, 0xFFFF_FFFF, 4),
)  # fmt: skip
_BYTES: Final = (_Width(0xC4, 0, 0xFF, 1), _Width(0xC5, 0, 0xFFFF, 2), _Width(0xC6, 0, 0xFFFF_FFFF, 4))
_UNSIGNED: Final = (
    _Width(0x00, 0, 0x7F, 0), _Width(0xCC, 0, 0xFF, 1), _Width(0xCD, 0, 0xFFFF, 2),
    _Width(0xCE, 0, 0xFFFF_FFFF, 4), _Width(0xCF, 0, (1 << 64) - 1, 8),
)  # fmt: skip
_SIGNED: Final = (
    _Width(0x00, -32, 0x7F, 0), _Width(0xD0, -0x80, 0x7F, 1), _Width(0xD1, -0x8000, 0x7FFF, 2),
    _Width(0xD2, -(1 << 31), (1 << 31) - 1, 4), _Width(0xD3, -(1 << 63), (1 << 63) - 1, 8),
)  # fmt: skip

_SIZED: Final[dict[int, tuple[Kind, str]]] = {
    0xC4: (Kind.BYTES, ">B"), 0xC5: (Kind.BYTES, ">H"), 0xC6: (Kind.BYTES, ">I"),
    0xCC: (Kind.INTEGER, ">B"), 0xCD: (Kind.INTEGER, ">H"), 0xCE: (Kind.INTEGER, ">I"), 0xCF: (Kind.INTEGER, ">Q"),
    0xD0: (Kind.INTEGER, ">b"), 0xD1: (Kind.INTEGER, ">h"), 0xD2: (Kind.INTEGER, ">i"), 0xD3: (Kind.INTEGER, ">q"),
    0xD9: (Kind.TEXT, ">B"), 0xDA: (Kind.TEXT, ">H"), 0xDB: (Kind.TEXT, ">I"),
    0xDC: (Kind.LIST, ">H"), 0xDD: (Kind.LIST, ">I"), 0xDE: (Kind.MAP, ">H"), 0xDF: (Kind.MAP, ">I"),
}  # fmt: skip
_SIZED_HEADS: Final = {first: (kind, struct.Struct(form)) for first, (kind, form) in _SIZED.items()}
_OTHERS: Final = {
    0xC0: 0, 0xC2: 0, 0xC3: 0, 0xCA: 4, 0xCB: 8, 0xD4: 2, 0xD5: 3, 0xD6: 5, 0xD7: 9, 0xD8: 17,
}  # fmt: skip
"""nil, false, true, floats and extensions of a fixed size, and how many bytes of each follow the first."""
_EXTENSIONS: Final = {0xC7: 1, 0xC8: 2, 0xC9: 4}
"""Extensions, by how many bytes say how long they are; a byte for the type follows."""


def _read_head(data: bytes, at: int) -> Head:
    if at >= len(data):
        raise Broken
    first = data[at]
    at += 1
    if first < 0x80:
        return Head(Kind.INTEGER, first, at)
    if first < 0x90:
        return Head(Kind.MAP, first & 0x0F, at)
    if first < 0xA0:
        return Head(Kind.LIST, first & 0x0F, at)
    if first < 0xC0:
        return Head(Kind.TEXT, first & 0x1F, at)
    if first >= 0xE0:
        return Head(Kind.INTEGER, first - 0x100, at)
    sized = _SIZED_HEADS.get(first)
    if sized is not None:
        kind, form = sized
        if at + form.size > len(data):
            raise Broken
        return Head(kind, form.unpack_from(data, at)[0], at + form.size)
    if first in _OTHERS:
        end = at + _OTHERS[first]
    elif first in _EXTENSIONS:
        size = _EXTENSIONS[first]
        end = at + size + 1 + int.from_bytes(data[at : at + size], "big")
    else:
        raise Broken  # 0xC1 is never used
    if end > len(data):
        raise Broken
    return Head(Kind.OTHER, 0, end)


def _make_head(kind: Kind, number: int, like: bytes) -> bytes:
    old = _read_head(like, 0) if like else None
    widths: tuple[_Width, ...]
    if kind is Kind.INTEGER:
        widths = _SIGNED if number < 0 or (like and 0xD0 <= like[0] <= 0xD3) else _UNSIGNED
        if number > widths[-1].high:
            widths = _UNSIGNED
    else:
        widths = _TEXTS if kind is Kind.TEXT else _BYTES
    index = _least(widths, number)
    if old is not None and old.kind is kind:
        used = next((n for n, width in enumerate(widths) if width.first == like[0]), 0)
        if used > _least(widths, old.number):
            index = max(index, used)
    width = widths[index]
    if width.size == 0:
        return bytes([(width.first | number) & 0xFF])
    return bytes([width.first]) + number.to_bytes(width.size, "big", signed=number < 0)


def _least(widths: tuple[_Width, ...], number: int) -> int:
    return next((n for n, width in enumerate(widths) if width.low <= number <= width.high), len(widths) - 1)


MESSAGEPACK: Final = Format(_read_head, _make_head)
