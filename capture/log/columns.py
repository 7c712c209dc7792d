"""Records by columns: the same field of many records side by side, which compresses better than record after record.

Pure: the MessagePack of an array of records in, the MessagePack of one column out, and back to the same bytes
(column_values.py). Used in segments that are rewritten for size. A column knows nothing of what the records are;
docs/log-format.md has its kinds.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise
from operator import sub
from typing import Any

import msgspec

from capture.log.column_values import rows_of, without_array_head
from capture.log.format import FormatError

__all__ = ["columns_of", "refs_in_columns"]

_ROWS, _SAME, _TABLE, _STEPS, _ARRAYS, _LADDER, _SOME, _FIELDS, _TEXT, _BYTES = range(10)
_PLAIN_KINDS = {int, str, bytes, bool}
_UUID, _HEX = -2, -1
_NUMBER = re.compile(
    "([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})|((?:[0-9a-f]{2}){8,})|(?<![0-9A-Za-z])[0-9]{1,18}(?![0-9A-Za-z])"
)
_SHAPES_MAX = 4096
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder().decode


def columns_of(records: bytes) -> bytes | None:
    """The column of an encoded array of records; None where it would not give back exactly these bytes."""
    try:
        values = _decode(records)
        column = _encode(_column(values))
        if b"".join(rows_of(column, len(values))) != without_array_head(records, len(values)):
            return None
    except (msgspec.MsgspecError, FormatError, OverflowError, RecursionError):
        return None
    return column


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
