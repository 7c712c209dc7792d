"""MessagePack bodies, compared as the values they hold."""

from __future__ import annotations

from typing import Any, Final

import msgpack

from diff.body.reading import Unreadable, read_both
from diff.body.tree import Repeating, compare_values
from diff.collector import Collector
from diff.options import CompareOptions

__all__ = ["compare_messagepack", "parse_messagepack"]

_MANY: Final = "more than one value in a row"


def compare_messagepack(left: bytes, right: bytes, collector: Collector, options: CompareOptions) -> None:
    """Add the differences of two MessagePack bodies; several values in a row are compared as a list.

    Raises Unreadable where one is not MessagePack or is nested too deep, TooManyDifferences.
    """
    before = len(collector.differences)
    mine, other = read_both(lambda body, _: parse_messagepack(body), left, right)
    try:
        if len(mine) == len(other) == 1:
            compare_values(mine[0], other[0], collector, options)
        else:
            compare_values(mine, other, collector, options)
    except RecursionError:
        collector.rewind(before)
        raise Unreadable("MessagePack nested too deep", ("left", "right")) from None


def parse_messagepack(body: bytes) -> list[Any]:
    """The values that stand one after the other in the body. Raises Unreadable.

    Map keys stay what they are, or become their repr where they are maps or arrays; a map with a repeated key becomes
    Repeating; text that is not UTF-8 keeps its bytes as lone surrogates.
    """
    unpacker = msgpack.Unpacker(
        raw=False,
        strict_map_key=False,
        unicode_errors="surrogateescape",
        object_pairs_hook=_map,
        max_buffer_size=len(body) + 1,
    )
    unpacker.feed(body)
    values: list[Any] = []
    try:
        while unpacker.tell() < len(body):
            values.append(unpacker.unpack())
    except msgpack.OutOfData:
        raise Unreadable(f"MessagePack that ends within a value, after {len(values)} whole ones") from None
    except (ValueError, msgpack.UnpackException, TypeError, OverflowError) as error:
        raise Unreadable(f"not MessagePack: {str(error)[:80] or type(error).__name__}") from None
    return values


def _map(pairs: list[tuple[Any, Any]]) -> dict[Any, Any]:
    keyed = [(repr(key) if isinstance(key, list | dict) else key, value) for key, value in pairs]
    members = dict(keyed)
    return members if len(members) == len(keyed) else Repeating(keyed)
