"""Columns read back: the values of one column, whatever columns stand in it, within bounds that hold for any bytes.

Pure. Values go by iterators that the standard library runs, so that most of the work is not done in Python, and every
kind that can name a long value many times is measured before it is followed. docs/log-format.md has the kinds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import accumulate, islice, pairwise, repeat, starmap
from operator import add
from typing import Any

import msgspec

from capture.log.format import RECORDS_BYTES_MAX, FormatError

__all__ = ["COLUMN_BYTES_MAX", "refs_in_triples", "rows_of", "values_of", "without_array_head"]

COLUMN_BYTES_MAX = 4 << 20
"""Most bytes of the records of a block by columns; bounds the memory of values that are many and small."""
_DEPTH_MAX = 16
_SLICE = 256
_UUID, _HEX, _DIGITS_MAX = -2, -1, 18
_INT_MIN, _INT_MAX = -(1 << 63), (1 << 64) - 1
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder().decode
_NODE = msgspec.msgpack.Decoder(list[msgspec.Raw])
_INTS = msgspec.msgpack.Decoder(list[int])
_NAMES = msgspec.msgpack.Decoder(list[str])
_SHAPES = msgspec.msgpack.Decoder(list[list[int]])
_TEMPLATES = msgspec.msgpack.Decoder(list[list[str | int]])
_BLOB = msgspec.msgpack.Decoder(bytes)


def refs_in_triples(columns: bytes | msgspec.Raw, triples_max: int) -> list[int]:
    """The triples again, one after the other; raises FormatError."""
    try:
        how_many, *parts = _NODE.decode(columns)
        count = _decode(how_many)
        if type(count) is not int or not 0 <= count <= triples_max or len(parts) != 3:
            raise FormatError(f"a block has at most {triples_max} references in three columns")
        if len(memoryview(columns)) > COLUMN_BYTES_MAX:
            raise FormatError(f"the references of a block by columns have at most {COLUMN_BYTES_MAX} bytes")
        budget = _Budget()
        refs = [0] * (3 * count)
        for place, part in enumerate(parts):
            refs[place::3] = _open(part, count, budget, 0)
        _encode(refs)
    except (msgspec.MsgspecError, OverflowError, RuntimeError, TypeError, ValueError) as error:
        if isinstance(error, FormatError):
            raise
        raise FormatError(f"a column is not what it should be: {error}") from None
    if not set(map(type, refs)) <= {int}:
        raise FormatError("a reference is made of numbers")
    return refs


class _Budget:
    """How many bytes the records may still come to."""

    __slots__ = ("left",)

    def __init__(self) -> None:
        self.left = RECORDS_BYTES_MAX

    def spend(self, size: int) -> None:
        self.left -= size
        if self.left < 0:
            raise FormatError(f"the records of a block have at most {RECORDS_BYTES_MAX} bytes")


def rows_of(column: bytes | msgspec.Raw, count: int) -> Iterator[bytes]:
    """`count` encoded records in pieces, without the array's head; raises FormatError where the column is not one.

    The pieces never come to more than RECORDS_BYTES_MAX.
    """
    found_bytes = 0
    for part in values_of(column, count):
        try:
            piece = without_array_head(_encode(part), len(part))
        except (msgspec.MsgspecError, OverflowError, TypeError, ValueError) as error:
            raise FormatError(f"a column is not what it should be: {error}") from None
        found_bytes += len(piece)
        if found_bytes > RECORDS_BYTES_MAX:
            raise FormatError(f"the records of a block have at most {RECORDS_BYTES_MAX} bytes")
        yield piece


def values_of(column: bytes | msgspec.Raw, count: int) -> Iterator[list[Any]]:
    """`count` records as plain values (arrays as lists or tuples), some at a time; raises FormatError.

    Encoded they come to about RECORDS_BYTES_MAX at most, and every int of them is one that MessagePack can say.
    """
    if len(memoryview(column)) > COLUMN_BYTES_MAX:
        raise FormatError(f"the records of a block by columns have at most {COLUMN_BYTES_MAX} bytes")
    found = 0
    try:
        records = _open(column, count, _Budget(), 0)
        while part := list(islice(records, _SLICE)):
            found += len(part)
            yield part
    except (msgspec.MsgspecError, OverflowError, RuntimeError, TypeError, ValueError) as error:
        if isinstance(error, FormatError):
            raise
        raise FormatError(f"a column is not what it should be: {error}") from None
    if found != count:
        raise FormatError(f"a column should have {count} values, found {found}")


def without_array_head(records: bytes, count: int) -> bytes:
    """An encoded array of `count` items as its items, one after the other."""
    return records[1 if count < 16 else 3 if count < 1 << 16 else 5 :]


def _open(column: bytes | msgspec.Raw, count: int, budget: _Budget, depth: int) -> Iterator[Any]:
    """The values of a column one after the other: exactly `count`."""
    kind_of, *parts = _NODE.decode(column)
    kind = _decode(kind_of)
    if depth > _DEPTH_MAX or type(kind) is not int or not 0 <= kind < len(_OPENERS):
        raise FormatError(f"there is no column of kind {kind!r:.20} at depth {depth}")
    budget.spend(count)
    opener, parts_expected = _OPENERS[kind]
    if len(parts) != parts_expected:
        raise FormatError(f"a column of kind {kind} has {parts_expected} parts, found {len(parts)}")
    return opener(parts, count, budget, depth + 1)


def _open_rows(parts: list[msgspec.Raw], count: int, budget: _Budget, _depth: int) -> Iterator[Any]:
    values = _decode(parts[0])
    _check(values, count)
    budget.spend(len(memoryview(parts[0])))
    return iter(values)


def _open_same(parts: list[msgspec.Raw], count: int, budget: _Budget, _depth: int) -> Iterator[Any]:
    budget.spend(count * len(memoryview(parts[0])))
    return repeat(_decode(parts[0]), count)


def _open_table(parts: list[msgspec.Raw], count: int, budget: _Budget, depth: int) -> Iterator[Any]:
    places = _INTS.decode(parts[1])
    _check(places, count)
    _check_places(places, RECORDS_BYTES_MAX)
    entries = list(_open(parts[0], max(places, default=-1) + 1, budget, depth))
    sizes = [len(_encode(entry)) for entry in entries]
    budget.spend(sum(map(sizes.__getitem__, places)))
    return map(entries.__getitem__, places)


def _open_steps(parts: list[msgspec.Raw], count: int, budget: _Budget, _depth: int) -> Iterator[Any]:
    steps = _INTS.decode(parts[0])
    _check(steps, count)
    budget.spend(count * 9)
    return iter(_sayable(list(accumulate(steps))))


def _open_arrays(parts: list[msgspec.Raw], count: int, budget: _Budget, depth: int) -> Iterator[Any]:
    columns = _NODE.decode(parts[0])
    budget.spend(count * 8)  # tuples, though short in bytes, take memory
    if not columns:
        raise FormatError("a column of arrays has at least one part")
    return zip(*(_open(column, count, budget, depth) for column in columns), strict=True)


def _open_ladder(parts: list[msgspec.Raw], count: int, budget: _Budget, depth: int) -> Iterator[Any]:
    columns = _NODE.decode(parts[0])
    budget.spend(count * 8)
    if not columns:
        raise FormatError("a column of arrays has at least one part")
    rungs: list[list[int]] = []
    for column in columns:
        budget.spend(count * 9)
        steps = list(_open(column, count, budget, depth))
        if not set(map(type, steps)) <= {int}:
            raise FormatError("the differences of a ladder are numbers")
        rungs.append(_sayable(list(map(add, rungs[-1], steps)) if rungs else steps))
    return zip(*rungs, strict=True)


def _sayable(numbers: list[int]) -> list[int]:
    if numbers and not _INT_MIN <= min(numbers) <= max(numbers) <= _INT_MAX:
        raise FormatError("a number has more than 64 bits")
    return numbers


def _open_some(parts: list[msgspec.Raw], count: int, budget: _Budget, depth: int) -> Iterator[Any]:
    places = _INTS.decode(parts[0])
    _check_places(places, count)
    absent = set(places)
    budget.spend(len(absent))
    there = _open(parts[1], count - len(absent), budget, depth)
    return (None if place in absent else next(there) for place in range(count))


def _open_fields(parts: list[msgspec.Raw], count: int, budget: _Budget, depth: int) -> Iterator[Any]:
    names, shapes, columns = _NAMES.decode(parts[0]), _SHAPES.decode(parts[1]), _NODE.decode(parts[3])
    numbers = _numbers(parts[2], count, len(shapes), budget, depth)
    if len(columns) != len(names):
        raise FormatError(f"{len(names)} names of fields need as many columns, found {len(columns)}")
    for shape in shapes:
        _check_places(shape, len(names))
    sizes = [8 + sum(len(names[place]) + 8 for place in shape) for shape in shapes]
    budget.spend(sum(map(sizes.__getitem__, numbers)))
    named = [0] * len(names)
    for number, times in Counter(numbers).items():
        for place in shapes[number]:
            named[place] += times
    contents = [_open(column, times, budget, depth) for column, times in zip(columns, named, strict=True)]
    # Each shape takes its next values from the columns that it shares with the others.
    pairs = [zip(repeat(name), values) for name, values in zip(names, contents, strict=True)]
    ways = [zip(*map(pairs.__getitem__, shape)) if shape else repeat(()) for shape in shapes]  # noqa: B905
    return map(next, map(ways.__getitem__, numbers))


def _open_text(parts: list[msgspec.Raw], count: int, budget: _Budget, depth: int) -> Iterator[Any]:
    templates, columns = _TEMPLATES.decode(parts[0]), iter(_NODE.decode(parts[2]))
    numbers = _numbers(parts[1], count, len(templates), budget, depth)
    uses = Counter(numbers)
    ways: list[Iterator[str]] = []
    for number, template in enumerate(templates):
        used, pieces = uses[number], template[0::2]
        if len(template) % 2 == 0 or not all(isinstance(piece, str) for piece in pieces):
            raise FormatError("a template begins and ends with text")
        budget.spend(used * sum(len(piece) + 20 if isinstance(piece, str) else 0 for piece in pieces))
        sources = [_variable(code, next(columns, None), used, budget, depth) for code in template[1::2]]
        whole = "{}".join(str(piece).replace("{", "{{").replace("}", "}}") for piece in pieces).format
        ways.append(map(whole, *sources) if sources else repeat(str(template[0]), used))
    if next(columns, None) is not None:
        raise FormatError("there are more columns than numbers in the templates")
    return ways[0] if len(ways) == 1 else map(next, map(ways.__getitem__, numbers))


def _variable(code: str | int, column: msgspec.Raw | None, count: int, budget: _Budget, depth: int) -> Iterator[str]:
    if column is None or not isinstance(code, int) or not _UUID <= code <= _DIGITS_MAX:
        raise FormatError(f"there is no column for a number of code {code!r:.20}")
    values = _open(column, count, budget, depth)
    if code == _HEX:
        return map(bytes.hex, values)
    if code == _UUID:
        return map(_uuid, values)
    return map(f"{{:0{code}d}}".format if code else "{:d}".format, values)


def _uuid(value: bytes) -> str:
    digits = bytes.hex(value)
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def _open_bytes(parts: list[msgspec.Raw], count: int, budget: _Budget, depth: int) -> Iterator[Any]:
    sizes, blob = list(_open(parts[0], count, budget, depth)), _BLOB.decode(parts[1])
    if not set(map(type, sizes)) <= {int} or min(sizes, default=0) < 0 or sum(sizes) != len(blob):
        raise FormatError("the lengths of strings of bytes do not come to what is there")
    budget.spend(len(blob))
    ends = list(accumulate(sizes, initial=0))
    return map(blob.__getitem__, starmap(slice, pairwise(ends)))


def _numbers(column: msgspec.Raw, count: int, limit: int, budget: _Budget, depth: int) -> list[int]:
    """A column of places in a table of `limit`."""
    numbers = list(_open(column, count, budget, depth))
    if not set(map(type, numbers)) <= {int}:
        raise FormatError("shapes and templates are named by number")
    _check_places(numbers, limit)
    return numbers


def _check(values: Any, count: int) -> None:
    if not isinstance(values, list) or len(values) != count:
        raise FormatError(f"a column should have {count} values")


def _check_places(places: Sequence[int], count: int) -> None:
    if places and not 0 <= min(places) <= max(places) < count:
        raise FormatError("a column refers to a value that is not there")


_OPENERS = (
    (_open_rows, 1),
    (_open_same, 1),
    (_open_table, 2),
    (_open_steps, 1),
    (_open_arrays, 1),
    (_open_ladder, 1),
    (_open_some, 2),
    (_open_fields, 4),
    (_open_text, 3),
    (_open_bytes, 2),
)
