"""Records by columns: the same field of many records side by side, which compresses better than record after record.

Pure: the MessagePack of an array of records in, the MessagePack of one column out, and back to the same bytes. Used in
segments that are rewritten for size. A column knows nothing of what the records are; docs/log-format.md has its kinds.
Reading goes by iterators, so that no more than some records stand in memory as objects, and every kind that can name a
long value many times is measured before it is followed.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate, islice, pairwise, repeat
from operator import sub
from typing import Any

import msgspec

from capture.log.format import RECORDS_BYTES_MAX, FormatError

__all__ = ["COLUMN_BYTES_MAX", "columns_of", "refs_in_columns", "refs_in_triples", "rows_of"]

_ROWS, _SAME, _TABLE, _STEPS, _ARRAYS, _LADDER, _SOME, _FIELDS, _TEXT, _BYTES = range(10)
COLUMN_BYTES_MAX = 4 << 20
"""Most bytes of the records of a block by columns; bounds the memory of values that are many and small."""
_DEPTH_MAX = 16
_SLICE = 256
_PLAIN_KINDS = {int, str, bytes, bool}
_UUID, _HEX, _DIGITS_MAX = -2, -1, 18
_NUMBER = re.compile(
    "([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})|((?:[0-9a-f]{2}){8,})|(?<![0-9A-Za-z])[0-9]{1,18}(?![0-9A-Za-z])"
)
_SHAPES_MAX = 4096
_ENCODER = msgspec.msgpack.Encoder()
_encode = _ENCODER.encode
_decode = msgspec.msgpack.Decoder().decode
_NODE = msgspec.msgpack.Decoder(list[msgspec.Raw])
_INTS = msgspec.msgpack.Decoder(list[int])
_NAMES = msgspec.msgpack.Decoder(list[str])
_SHAPES = msgspec.msgpack.Decoder(list[list[int]])
_TEMPLATES = msgspec.msgpack.Decoder(list[list[str | int]])
_BLOB = msgspec.msgpack.Decoder(bytes)


def columns_of(records: bytes) -> bytes | None:
    """The column of an encoded array of records; None where it would not give back exactly these bytes."""
    try:
        values = _decode(records)
        column = _encode(_column(values))
        if b"".join(rows_of(column, len(values))) != _without_head(records, len(values)):
            return None
    except (msgspec.MsgspecError, FormatError, OverflowError, RecursionError):
        return None
    return column


def _without_head(records: bytes, count: int) -> bytes:
    return records[1 if count < 16 else 3 if count < 1 << 16 else 5 :]


def _column(values: Sequence[Any]) -> list[Any]:
    """The column for these values, by what they have in common."""
    if not values:
        return [_ROWS, []]
    kinds = set(map(type, values))
    if kinds == {list} and values.count(values[0]) < len(values):
        by_part = _column_of_arrays(values)
        if by_part is not None:
            return by_part
    # What is equal in Python may not be so in the log (1, 1.0 and true): then values are told apart by their encoding.
    keys = values if len(kinds) == 1 and kinds <= _PLAIN_KINDS else [_encode(value) for value in values]
    distinct = dict(zip(keys, values, strict=True))
    if len(distinct) == 1:
        return [_SAME, values[0]]
    if type(None) in kinds and len(distinct) > 2:
        absent = [place for place, value in enumerate(values) if value is None]
        return [_SOME, absent, _column([value for value in values if value is not None])]
    if len(distinct) <= len(values) // 2:
        places = {key: place for place, key in enumerate(distinct)}
        return [_TABLE, _column(list(distinct.values())), [places[key] for key in keys]]
    if kinds == {int}:
        steps = [values[0], *(later - earlier for earlier, later in pairwise(values))]
        if len(_encode(steps)) < len(_encode(values)) or 2 * len(set(steps)) < len(distinct):
            return [_STEPS, steps]
    if kinds == {bytes}:
        return [_BYTES, _column(list(map(len, values))), b"".join(values)]
    if kinds == {str}:
        return _column_of_text(values) or [_ROWS, list(values)]
    return [_ROWS, list(values)]


def _column_of_text(values: Sequence[str]) -> list[Any] | None:
    """By what stands around numbers; None where few values have the same around them."""
    templates: dict[tuple[str | int, ...], list[tuple[Any, ...]]] = {}
    numbers = []
    places: dict[tuple[str | int, ...], int] = {}
    for value in values:
        template, variables = _template_of(value)
        numbers.append(places.setdefault(template, len(places)))
        templates.setdefault(template, []).append(variables)
        if len(templates) > 1 + len(values) // 4:
            return None
    columns = [_column(part) for rows in templates.values() for part in zip(*rows, strict=True)]
    return [_TEXT, list(templates), _column(numbers), columns] if columns else None


def _template_of(value: str) -> tuple[tuple[str | int, ...], tuple[Any, ...]]:
    """(what is the same in like values with a code where each number stood, the numbers)."""
    template: list[str | int] = []
    variables: list[Any] = []
    end = 0
    for found in _NUMBER.finditer(value):
        token = found[0]
        template.append(value[end : found.start()])
        if found[1]:
            template.append(_UUID)
            variables.append(bytes.fromhex(token.replace("-", "")))
        elif found[2]:
            template.append(_HEX)
            variables.append(bytes.fromhex(token))
        else:
            template.append(len(token) if len(token) == 2 or (token[0] == "0" and token != "0") else 0)
            variables.append(int(token))
        end = found.end()
    return (*template, value[end:]), tuple(variables)


def _column_of_arrays(values: Sequence[list[Any]]) -> list[Any] | None:
    if all(_is_field(item) for value in values for item in value):
        return _column_of_fields(values)
    length = len(values[0])
    if not length or any(len(value) != length for value in values):
        return None
    parts = list(zip(*values, strict=True))
    if length > 1 and all(type(item) is int for part in parts for item in part):
        rungs = [list(map(sub, later, earlier)) for earlier, later in pairwise(parts)]
        return [_LADDER, [_column(part) for part in (parts[0], *rungs)]]
    return [_ARRAYS, [_column(part) for part in parts]]


def _is_field(item: Any) -> bool:
    return type(item) is list and len(item) == 2 and type(item[0]) is str and type(item[1]) is str


def _column_of_fields(values: Sequence[list[Any]]) -> list[Any] | None:
    """By the name of the field; the shape of a value is which names it has, in which order."""
    shapes: dict[tuple[str, ...], int] = {}
    by_name: dict[str, list[str]] = {}
    numbers = []
    for value in values:
        numbers.append(shapes.setdefault(tuple(name for name, _ in value), len(shapes)))
        for name, content in value:
            by_name.setdefault(name, []).append(content)
    if len(shapes) > _SHAPES_MAX:
        return None
    names = {name: place for place, name in enumerate(by_name)}
    numbered = [[names[name] for name in shape] for shape in shapes]
    return [_FIELDS, list(names), numbered, _column(numbers), [_column(contents) for contents in by_name.values()]]


def refs_in_columns(refs: Sequence[int]) -> bytes:
    """The references of a block (triples, one after the other) as [how many, places, slots, numbers of bodies]."""
    return _encode([len(refs) // 3, *(_column(refs[part::3]) for part in range(3))])


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
    if any(type(number) is not int for number in refs):
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
    if len(memoryview(column)) > COLUMN_BYTES_MAX:
        raise FormatError(f"the records of a block by columns have at most {COLUMN_BYTES_MAX} bytes")
    found = found_bytes = 0
    try:
        records = _open(column, count, _Budget(), 0)
        while part := list(islice(records, _SLICE)):
            piece = _without_head(_encode(part), len(part))
            found += len(part)
            found_bytes += len(piece)
            if found_bytes > RECORDS_BYTES_MAX:
                raise FormatError(f"the records of a block have at most {RECORDS_BYTES_MAX} bytes")
            yield piece
    except (msgspec.MsgspecError, OverflowError, RuntimeError, TypeError, ValueError) as error:
        if isinstance(error, FormatError):
            raise
        raise FormatError(f"a column is not what it should be: {error}") from None
    if found != count:
        raise FormatError(f"a column should have {count} values, found {found}")


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
    return accumulate(steps)


def _open_arrays(parts: list[msgspec.Raw], count: int, budget: _Budget, depth: int) -> Iterator[Any]:
    columns = _NODE.decode(parts[0])
    budget.spend(count * 8)  # tuples, though short in bytes, take memory
    if not columns:
        raise FormatError("a column of arrays has at least one part")
    return zip(*(_open(column, count, budget, depth) for column in columns), strict=True)


def _open_ladder(parts: list[msgspec.Raw], count: int, budget: _Budget, depth: int) -> Iterator[Any]:
    return map(_climbed, _open_arrays(parts, count, budget, depth))


def _climbed(rungs: tuple[Any, ...]) -> tuple[int, ...]:
    if set(map(type, rungs)) != {int}:
        raise FormatError("the differences of a ladder are numbers")
    return tuple(accumulate(rungs))


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
    ways = [([names[place] for place in shape], [contents[place] for place in shape]) for shape in shapes]
    return (tuple(zip(shape, map(next, sources), strict=True)) for shape, sources in map(ways.__getitem__, numbers))


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
    if any(type(size) is not int or size < 0 for size in sizes) or sum(sizes) != len(blob):
        raise FormatError("the lengths of strings of bytes do not come to what is there")
    budget.spend(len(blob))
    ends = list(accumulate(sizes, initial=0))
    return (blob[start:end] for start, end in pairwise(ends))


def _numbers(column: msgspec.Raw, count: int, limit: int, budget: _Budget, depth: int) -> list[int]:
    """A column of places in a table of `limit`."""
    numbers = list(_open(column, count, budget, depth))
    if any(type(number) is not int for number in numbers):
        raise FormatError("shapes and templates are named by number")
    _check_places(numbers, limit)
    return numbers


def _check(values: Any, count: int) -> None:
    if not isinstance(values, list) or len(values) != count:
        raise FormatError(f"a column should have {count} values")


def _check_places(places: Iterable[int], count: int) -> None:
    if not all(0 <= place < count for place in places):
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
