"""Heads of MessagePack keep how wide they were written, and every form of the specification is read."""

from __future__ import annotations

import msgpack
import pytest

from capture.packed.items import find_items, splice_items
from capture.packed.messagepack import MESSAGEPACK


@pytest.mark.parametrize(
    ("before", "new", "after"),
    [
        (b"\xa3abc", "x" * 31, b"\xbf" + b"x" * 31),
        (b"\xa3abc", "x" * 32, b"\xd9\x20" + b"x" * 32),
        (b"\xd9\x03abc", "x", b"\xd9\x01x"),
        (b"\xda\x00\x03abc", "x" * 300, b"\xda\x01\x2c" + b"x" * 300),
        (b"\xdb\x00\x00\x00\x03abc", "xy", b"\xdb\x00\x00\x00\x02xy"),
        (b"\xd9\x20" + b"a" * 32, "x", b"\xa1x"),
        (b"\x07", "128", b"\xcc\x80"),
        (b"\xcc\x07", "9", b"\xcc\x09"),
        (b"\xce\x00\x00\x00\x07", "70000", b"\xce\x00\x01\x11\x70"),
        (b"\xcc\xc8", "5", b"\x05"),
        (b"\xd1\x00\xc8", "201", b"\xd1\x00\xc9"),
        (b"\xd2\x00\x00\x00\x07", "-1", b"\xd2\xff\xff\xff\xff"),
        (b"\xff", "-33", b"\xd0\xdf"),
        (b"\xd3" + bytes(7) + b"\x01", str((1 << 64) - 1), b"\xcf" + b"\xff" * 8),
        (b"\xc5\x00\x03abc", "tok", b"\xc5\x00\x03tok"),
        (b"\xa2\xff\xfe", "00ff01", b"\xa3\x00\xff\x01"),
    ],
)
def test_a_head_stays_as_wide_as_it_was_written_beyond_need(before: bytes, new: str, after: bytes) -> None:
    assert splice_items(before, MESSAGEPACK, {(): new}) == after


def test_what_is_no_text_and_no_integer_is_passed_over() -> None:
    body = msgpack.packb(
        [None, True, 1.5, msgpack.Timestamp(5, 3), msgpack.ExtType(4, b"x" * 3), msgpack.ExtType(4, b"x" * 300), "end"]
    )
    assert [(item.path, item.value) for item in find_items(body, MESSAGEPACK)] == [((6,), "end")]


@pytest.mark.parametrize("body", [b"\xc1", b"\xd9", b"\xcd\x01", b"\xd4\x01", b"\xc7\x05\x01", b"\xc9\x00"])
def test_what_is_cut_off_or_never_used_is_not_messagepack(body: bytes) -> None:
    assert find_items(body, MESSAGEPACK) == []
