"""Records by columns come back to the byte, and no column can ask for more memory than a block may have."""

from __future__ import annotations

import os
import uuid
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from capture.log import block
from capture.log.column_values import COLUMN_BYTES_MAX, refs_in_triples, rows_of
from capture.log.columns import columns_of, refs_in_columns
from capture.log.format import BLOCK_HEAD_BYTES, FLAG_COLUMNS, RECORDS_BYTES_MAX, FormatError, unpack_block_head
from capture.log.reader import open_log
from tests.support.log_records import an_exchange, exchanges, without_id, write_log

encode = msgspec.msgpack.encode


def back(values: list[Any]) -> bytes:
    """What the column of these values gives back, with the array's head."""
    column = columns_of(encode(values))
    assert column is not None
    return block.array_head(len(values)) + b"".join(rows_of(column, len(values)))


scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(1 << 63), (1 << 64) - 1),
    st.integers(0, 3),
    st.floats(allow_nan=False),
    st.text(max_size=8),
    st.binary(max_size=8),
)
anything = st.recursive(scalars, lambda inner: st.lists(inner, max_size=4), max_leaves=8)
texts = st.from_regex(
    r'(W/")?([0-9a-f]{16}|[0-9]{1,20}|0[0-9]|-[0-9]|[{}%]|[a-f0-9]{8}(-[a-f0-9]{4}){3}-[a-f0-9]{12})"?', fullmatch=True
)
headers = st.lists(st.tuples(st.sampled_from(["Host", "host", "Cookie", "ETag"]), texts), max_size=5)
times = st.lists(st.integers(-(1 << 63), (1 << 63) - 1), min_size=4, max_size=4)


@given(st.lists(anything, max_size=12))
def test_any_values_come_back_to_the_byte_or_are_refused_when_they_are_written(values: list[Any]) -> None:
    column = columns_of(encode(values))
    if column is not None:
        assert b"".join((block.array_head(len(values)), *rows_of(column, len(values)))) == encode(values)


@given(st.lists(st.tuples(scalars, headers, times, texts), max_size=30))
def test_records_with_headers_times_and_numbers_in_text_come_back_to_the_byte(records: list[Any]) -> None:
    column = columns_of(encode(records))
    if column is not None:  # differences of times may be too long for MessagePack
        assert b"".join((block.array_head(len(records)), *rows_of(column, len(records)))) == encode(records)


@pytest.mark.parametrize(
    "values",
    [
        [],
        [1, True, 1.0, 1, True, 1.0, 1, True],
        [None, 5, None, 6, 7, 8],
        [[1, 2], [1], [1, 2, 3]],
        [[], [], [["a", "b"]]],
        [f'W/"{n:032x}"' for n in range(40)],
        [str(uuid.UUID(int=n << 60)) for n in range(40)],
        [f"Sun, {n % 28 + 1:02d} Jun 2026 10:{n % 60:02d}:07 GMT" for n in range(40)],
        [f"/things/{n}?{{page}}=007" for n in range(400)],
        [bytes([n]) * 16 for n in range(40)],
        [[1_700_000_000_000_000_000 + n, 1_700_000_000_000_000_900 + n] for n in range(40)],
    ],
)
def test_what_services_send_comes_back_to_the_byte(values: list[Any]) -> None:
    assert back(values) == encode(values)


def test_columns_of_numbered_text_are_much_smaller() -> None:
    values = [f'W/"{n**9:032x}"' for n in range(1000)]
    column = columns_of(encode(values))
    assert column is not None
    assert len(column) < 19_000 < len(encode(values)) / 1.8


def test_records_that_are_not_encoded_the_shortest_way_are_not_put_in_columns() -> None:
    assert columns_of(b"\x91\xcd\x00\x01") is None


@given(st.lists(st.integers(0, 1 << 20), max_size=60).filter(lambda refs: len(refs) % 3 == 0))
def test_references_come_back(refs: list[int]) -> None:
    assert refs_in_triples(refs_in_columns(refs), 1 << 20) == refs


def refused(column: Any, count: int = 1) -> str:
    with pytest.raises(FormatError) as caught:
        for _ in rows_of(encode(column), count):
            pass
    return str(caught.value)


BOMB = "x" * (1 << 20)


@pytest.mark.parametrize(
    "column",
    [
        [1, BOMB],
        [2, [0, [BOMB]], [0] * 65536],
        [4, [[1, BOMB]] * 3],
        [7, [BOMB], [[0] * 65536], [1, 0], [[1, ""]]],
        [7, ["a"], [[0] * 65536], [1, 0], [[1, BOMB]]],
        [8, [["a", 0, BOMB]], [1, 0], [[1, 1]]],
        [6, [0], [1, BOMB]],
    ],
)
def test_a_small_column_of_very_much_is_refused_before_it_is_made(column: Any) -> None:
    assert refused(column, 65536) == f"the records of a block have at most {RECORDS_BYTES_MAX} bytes"


@pytest.mark.parametrize(
    "column",
    [
        [],
        7,
        "text",
        [99, 1],
        [-1, 1],
        ["0", [1]],
        [0, []],
        [0, 5],
        [0, [1], [2]],
        [1],
        [2, [0, [1]], [1]],
        [2, [0, [1]], [-1]],
        [2, [1, 1], [1 << 60]],
        [3, ["x"]],
        [3, [1, 2]],
        [3, [1.5]],
        [4, []],
        [5, [[1, "x"], [1, "y"]]],
        [5, [[1, True], [1, 1]]],
        [6, [1], [1, 1]],
        [6, [-1], [1, 1]],
        [7, ["a"], [[1]], [1, 0], [[1, "x"]]],
        [7, ["a"], [[0]], [1, 1], [[1, "x"]]],
        [7, ["a"], [[0]], [1, "x"], [[1, "x"]]],
        [7, ["a"], [[0]], [1, 0], []],
        [8, [["a", 0]], [1, 0], [[1, 1]]],
        [8, [["a", 19, "b"]], [1, 0], [[1, 1]]],
        [8, [["a", -3, "b"]], [1, 0], [[1, 1]]],
        [8, [["a", "b", "c"]], [1, 0], [[1, 1]]],
        [8, [["a", 0, "c"]], [1, 0], []],
        [8, [["a", 0, "c"]], [1, 0], [[1, 1], [1, 1]]],
        [8, [["a", 0, "c"]], [1, 0], [[1, "x"]]],
        [8, [["a", -1, "c"]], [1, 0], [[1, "x"]]],
        [8, [["a", -2, "c"]], [1, 0], [[1, "x"]]],
        [9, [0, [2]], b"x"],
        [9, [0, [-1]], b""],
        [9, [0, ["1"]], b"x"],
    ],
)
def test_a_column_that_cannot_be_is_refused(column: Any) -> None:
    assert refused(column)


def test_steps_to_a_number_that_no_record_can_have_are_refused() -> None:
    assert refused([3, [(1 << 64) - 1, 1]], 2)


def test_columns_in_columns_without_end_are_refused() -> None:
    column: Any = [1, 1]
    for _ in range(40):
        column = [4, [column]]
    assert "at depth 17" in refused(column)


def test_a_column_that_is_too_long_is_refused() -> None:
    assert refused([1, b"x" * COLUMN_BYTES_MAX]) == "the records of a block by columns have at most 4194304 bytes"


@pytest.mark.parametrize(
    "refs", [[], [1], [1 << 40, [1, 0], [1, 0], [1, 0]], ["x", 1, 1, 1], [1, [1, "x"], [1, 0], [1, 0]]]
)
def test_references_that_cannot_be_are_refused(refs: Any) -> None:
    with pytest.raises(FormatError):
        refs_in_triples(encode(refs), 1 << 20)


COLUMN = columns_of(encode([replace(record, response=None) for record in exchanges(20)])) or b""


@given(st.lists(st.tuples(st.integers(0, len(COLUMN) - 1), st.integers(0, 255)), min_size=1, max_size=6))
def test_a_mutated_column_gives_only_our_own_error(changes: list[tuple[int, int]]) -> None:
    data = bytearray(COLUMN)
    for place, value in changes:
        data[place] = value
    try:
        found = b"".join(rows_of(bytes(data), 20))
    except FormatError:
        return
    assert len(found) <= RECORDS_BYTES_MAX


@given(st.binary(max_size=60), st.integers(0, 65536))
def test_garbage_gives_only_our_own_error(data: bytes, count: int) -> None:
    for read in (lambda: b"".join(rows_of(data, count)), lambda: refs_in_triples(data, count)):
        try:
            read()
        except FormatError:
            pass


def flags_of(path: Path) -> int:
    data = path.read_bytes()
    return unpack_block_head(data[data.index(b"USBK") :][:BLOCK_HEAD_BYTES]).flags


@pytest.mark.parametrize("options", [{}, {"key": "00" * 32}])
def test_a_rewritten_log_by_columns_reads_back(tmp_path: Path, options: dict[str, str]) -> None:
    records = [an_exchange(n, body=os.urandom(60).hex().encode(), id="mine" if n == 7 else "") for n in range(900)]
    path = write_log(tmp_path, records, compact=True, **options)
    assert flags_of(path) & FLAG_COLUMNS
    with open_log(tmp_path, key=bytes(32) if options else None) as log:
        found = list(log.exchanges())
        assert log.damage == []
        assert log.get("mine").session == "session-1"
    assert without_id(found) == without_id(records)


def test_a_handful_of_records_stays_by_rows_where_the_dictionary_does_more(tmp_path: Path) -> None:
    assert not flags_of(write_log(tmp_path, exchanges(2), compact=True)) & FLAG_COLUMNS
