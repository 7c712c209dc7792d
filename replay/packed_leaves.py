"""Texts and integers of MessagePack and CBOR with their places, as those of JSON; and others put there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from capture.packed.items import find_items, splice_items
from capture.packed.media import format_of
from replay.place import Place, Step

__all__ = ["looks_packed", "packed_leaf_at", "packed_leaves", "splice_packed"]


def looks_packed(content_type: str) -> bool:
    """By the Content-Type in lower case; how such a body begins says nothing."""
    return format_of(content_type) is not None


def packed_leaves(body: bytes, content_type: str) -> Iterator[tuple[Place, str]]:
    """Place and value of each text and integer, and of short byte strings in hexadecimal; see `find_items`.

    A key that is an integer is a step of its digits. Nothing where the body is broken. Never raises.
    """
    form = format_of(content_type)
    if form is not None:
        for item in find_items(body, form):
            yield Place("json", item.path), item.value


def packed_leaf_at(body: bytes, content_type: str, path: tuple[Step, ...]) -> str | None:
    """What stands at one path, None where there is nothing."""
    form = format_of(content_type)
    return None if form is None else next((item.value for item in find_items(body, form) if item.path == path), None)


def splice_packed(body: bytes, content_type: str, values: Mapping[tuple[Step, ...], str]) -> bytes:
    """The body with other values at some paths; heads say the new lengths, every other byte stays."""
    form = format_of(content_type)
    return body if form is None else splice_items(body, form, values)
