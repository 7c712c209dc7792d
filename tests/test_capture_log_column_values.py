"""What comes out of columns: the same records as from rows, typed as strictly, and never a number too large to say."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from capture.log.block import decode_records, join_columns
from capture.log.column_values import rows_of, values_of
from capture.log.columns import columns_of
from capture.log.format import FLAG_COLUMNS, BlockHead, FormatError
from capture.log.shape import shape_of

encode = msgspec.msgpack.encode


class Message(msgspec.Struct, array_like=True):
    headers: tuple[tuple[str, str], ...]
    body: bytes = b""
    at: int = 0


def values(column: Any, count: int) -> list[Any]:
    return [value for part in values_of(encode(column), count) for value in part]


def test_lists_of_headers_of_several_shapes_take_their_values_in_the_order_of_the_records() -> None:
    records = [
        [[["a", "1"], ["b", "2"], ["a", "3"]], b"", 0],
        [[["b", "4"]], b"", 0],
        [[], b"", 0],
        [[["b", "5"], ["a", "6"]], b"", 0],
        [[["a", "7"], ["b", "8"], ["a", "9"]], b"", 0],
    ]
    column = columns_of(encode(records))
    assert column is not None
    assert msgspec.msgpack.decode(b"\x95" + b"".join(rows_of(column, 5))) == records


def read(records: list[Any]) -> list[Any]:
    """Through a block by columns, as typed records."""
    payload = join_columns([], [], b"".join(map(encode, records)), len(records))
    assert payload is not None
    head = BlockHead(1, FLAG_COLUMNS, 0, len(payload), 0, len(records), 0, 0, 0, 0, 0)
    decoder = msgspec.msgpack.Decoder(list[Message])
    return decode_records(head, payload, shape_of(Message), decoder, lambda number: None)


def test_records_are_typed_as_from_rows() -> None:
    records = [[[["a", str(n)]], b"\x00", n] for n in range(40)]
    assert read(records) == [Message((("a", str(n)),), b"\x00", n) for n in range(40)]
    assert read([[[]], [[]]]) == [Message(()), Message(())]
    assert read([[[], b"", 1, "of a newer minor version"]] * 2) == [Message((), b"", 1)] * 2


@pytest.mark.parametrize("record", [[[], "aGVsbG8=", 0], [[], b"", "7"], [[], b"", 7.5], [[["a", 1]], b"", 0], {}, 7])
def test_a_record_of_another_type_is_refused_and_nothing_is_converted(record: Any) -> None:
    with pytest.raises(FormatError, match="a record is not what it should be"):
        read([record] * 3)


@pytest.mark.parametrize(
    "column",
    [
        [3, [(1 << 64) - 1, 1]],
        [3, [-(1 << 63), -1]],
        [5, [[1, 1 << 63], [1, 1 << 63]]],
        [5, [[1, 0], [1, "x"]]],
        [5, []],
    ],
)
def test_numbers_that_no_record_can_have_are_refused_before_anything_is_made_of_them(column: Any) -> None:
    with pytest.raises(FormatError):
        values(column, 2)


def test_a_ladder_is_the_sum_of_its_rungs() -> None:
    assert values([5, [[0, [5, 9]], [1, 2], [0, [-1, 4]]]], 2) == [(5, 7, 6), (9, 11, 15)]
