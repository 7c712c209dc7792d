"""The texts and integers of a body in MessagePack or CBOR, with their paths and bytes; and others put in their place.

What the two formats have in common: values that each begin with a head, in lists and maps that say how many they hold.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from enum import IntEnum
from typing import Final, NamedTuple, TypeAlias

from capture.packed.text import text_of

__all__ = ["Broken", "Format", "Head", "Item", "Kind", "Path", "find_items", "splice_items", "write_item"]

Path: TypeAlias = "tuple[str | int, ...]"

_ITEMS_MAX: Final = 50_000
_DEPTH_MAX: Final = 64
_BYTES_SHOWN_MAX: Final = 64
_INTEGER: Final = re.compile(r"-?[0-9]{1,20}\Z")
_HEX: Final = re.compile(r"(?:[0-9a-fA-F]{2})+\Z")
_UUID_TAG: Final = 37
"""Of CBOR, for a UUID as bytes (the IANA registry of CBOR tags)."""
_UUID_BYTES: Final = 16
_UUID_CUTS: Final = ((0, 8), (8, 12), (12, 16), (16, 20), (20, 32))


class Broken(ValueError):
    """The bytes are not of the format, or hold more than is looked at."""


class Kind(IntEnum):
    """What begins at a head."""

    INTEGER = 0
    TEXT = 1
    BYTES = 2
    LIST = 3
    MAP = 4
    TAG = 5
    END = 6
    OTHER = 7


class Head(NamedTuple):
    """The head of a value. number: the integer itself, the length in bytes, how many elements or pairs, or the tag; -1
    of a length or count that an END says. content: where what follows the head begins."""

    kind: Kind
    number: int
    content: int


class Format(NamedTuple):
    """What tells one format from the other.

    read_head: the head at a position; raises Broken. make_head: the head of a kind and a number, as much wider than it
    need be as `like` was: the bytes of the head in whose place it comes, or b"".
    """

    read_head: Callable[[bytes, int], Head]
    make_head: Callable[[Kind, int, bytes], bytes]


class Item(NamedTuple):
    """A text, a byte string or an integer of a body: what it says, and the bytes of its head and its content.

    value: an integer's digits; bytes that are no text (is_hex) in hexadecimal, of a tagged UUID with its dashes.
    """

    path: Path
    kind: Kind
    value: str
    is_hex: bool
    start: int
    content: int
    end: int


class _Open:
    """A list or a map that is being read. left: values that are still to come, below 0 where an END says it."""

    __slots__ = ("is_map", "key", "left", "path", "read")

    def __init__(self, path: Path, left: int, is_map: bool) -> None:
        self.path = path
        self.left = left
        self.is_map = is_map
        self.key: str | None = None
        self.read = 0


def find_items(body: bytes, form: Format) -> list[Item]:
    """All texts, byte strings and integers in their order, without the keys of maps; none where the body is broken.

    A step of a path is a key of a map (of an integer its digits) or an index. Where several values follow one another
    at the top (RFC 8742), the first step is the number of the value. What is empty, and byte strings of more than 64
    bytes that are no text, are left out. Never raises.
    """
    try:
        found, count = _read(body, form)
    except Broken:
        return []
    return [item._replace(path=item.path[1:]) for item in found] if count == 1 else found


def splice_items(body: bytes, form: Format, values: Mapping[Path, str]) -> bytes:
    """The body with other values at some paths, each as `write_item` has it; every other byte stays."""
    made: list[bytes] = []
    at = 0
    for item in find_items(body, form):
        if item.path in values:
            made += (body[at : item.start], write_item(body, item, form, values[item.path]))
            at = item.end
    return b"".join((*made, body[at:]))


def write_item(body: bytes, item: Item, form: Format, new: str) -> bytes:
    """What stands in the place of an item of the body when it has a new value; its head says the new length.

    Where an integer was and the new value is none, it becomes a text, as in JSON. What was shown in hexadecimal stays
    bytes, and stays as it is where the new value is not hexadecimal.
    """
    like = body[item.start : item.content]
    if item.kind is Kind.INTEGER:
        if _INTEGER.match(new) and -(1 << 63) <= int(new) < 1 << 64:
            return form.make_head(Kind.INTEGER, int(new), like)
        data = new.encode("utf-8", "surrogateescape")
        return form.make_head(Kind.TEXT, len(data), b"") + data
    if not item.is_hex:
        data = new.encode("utf-8", "surrogateescape")
    elif _HEX.match(digits := new.replace("-", "")):
        data = bytes.fromhex(digits)
    else:
        return body[item.start : item.end]
    return form.make_head(item.kind, len(data), like) + data


def _read(body: bytes, form: Format) -> tuple[list[Item], int]:
    """The items, their paths beginning with the number of the value at the top, and how many of these there are."""
    found: list[Item] = []
    stack = [_Open((), -1, is_map=False)]
    at = tag = count = 0
    while at < len(body) or len(stack) > 1:
        top = stack[-1]
        if top.left == 0 and top.key is None:
            stack.pop()
            continue
        start = at
        kind, number, at = form.read_head(body, start)
        if kind is Kind.TAG:
            tag = number
            continue
        if kind is Kind.END:
            if top.left > 0 or top.key is not None or len(stack) == 1:
                raise Broken
            stack.pop()
            continue
        count += 1
        if count > _ITEMS_MAX:
            raise Broken
        value, is_hex, content = (str(number) if kind is Kind.INTEGER else ""), False, at
        if kind is Kind.TEXT or kind is Kind.BYTES:
            data, at = _string(body, kind, number, at, form)
            value, is_hex = _said(kind, data, tag)
        tag = 0
        if top.is_map and top.key is None:
            if kind > Kind.BYTES:
                raise Broken  # a list, a map or nothing as a key: no path could say it
            top.key = value
            top.left -= top.left > 0
            continue
        step: str | int = top.read if top.key is None else top.key
        top.key = None
        top.read += 1
        if not top.is_map:
            top.left -= top.left > 0
        path = (*top.path, step)
        if kind is Kind.LIST or kind is Kind.MAP:
            if len(stack) > _DEPTH_MAX:
                raise Broken
            stack.append(_Open(path, number, kind is Kind.MAP))
        elif value:
            found.append(Item(path, kind, value, is_hex, start, content, at))
    return found, stack[0].read


def _string(body: bytes, kind: Kind, length: int, at: int, form: Format) -> tuple[bytes, int]:
    """The bytes of a text or a byte string, also of one in pieces, and where it ends."""
    if length >= 0:
        if at + length > len(body):
            raise Broken
        return body[at : at + length], at + length
    pieces: list[bytes] = []
    while (piece := form.read_head(body, at)).kind is kind and piece.number >= 0:
        at = piece.content + piece.number
        pieces.append(body[piece.content : at])
    if piece.kind is not Kind.END:
        raise Broken
    return b"".join(pieces), piece.content


def _said(kind: Kind, data: bytes, tag: int) -> tuple[str, bool]:
    """What a string says, and whether that is hexadecimal; nothing of long bytes that are no text."""
    try:
        text = data.decode("utf-8") if kind is Kind.TEXT else text_of(data)
    except UnicodeDecodeError:
        text = None
    is_uuid = tag == _UUID_TAG and kind is Kind.BYTES and len(data) == _UUID_BYTES
    if text is not None and not is_uuid:
        return text, False
    if len(data) > _BYTES_SHOWN_MAX:
        return "", False
    digits = data.hex()
    if is_uuid:
        digits = "-".join(digits[since:upto] for since, upto in _UUID_CUTS)
    return digits, True
