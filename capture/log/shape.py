"""What a log must know of a record type: where its bodies sit, and which exchange it is about.

Worked out once from the type, so that the same segments hold exchanges, performances and whatever comes next. A body is
a field named `body` of a Struct. The holders of a record's bodies are numbered depth first in the order of the fields,
counting only those that are there; that number is the slot of docs/log-format.md.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Callable
from operator import attrgetter
from typing import Any, Generic, TypeVar, get_args, get_origin

import msgspec
from msgspec.structs import astuple

from capture.exchange import Exchange

__all__ = ["Shape", "shape_of"]

T = TypeVar("T")

Sink = Callable[[Any], Any]
_Strip = Callable[[Any, Sink], Any]
_Walk = Callable[[Any, list[Any]], None]


class Shape(Generic[T]):
    """How records of one type are taken apart for writing and put together after reading."""

    __slots__ = ("_exchange_path", "_strip", "_walk", "record_type")

    def __init__(self, record_type: type[T]) -> None:
        self.record_type = record_type
        self._strip, self._walk = _compile(record_type)
        self._exchange_path = _path_to_exchange(record_type)

    def strip(self, record: T, sink: Sink) -> Any:
        """The record ready to be encoded, each body replaced by what `sink` made of it.

        sink: called with every body, in the order of the slots; returns what is to stand in its place. The record
        itself is never altered; parts without a change are the same objects.
        """
        return record if self._strip is None else self._strip(record, sink)

    def holders(self, record: T) -> list[Any]:
        """The Structs that hold the record's bodies, by slot."""
        found: list[Any] = []
        if self._walk is not None:
            self._walk(record, found)
        return found

    def exchange(self, record: T) -> Exchange | None:
        """The exchange that the record is or is about; None where its type has none."""
        if self._exchange_path is None:
            return None
        value: Any = record
        for name in self._exchange_path:
            value = getattr(value, name)
        return typing.cast(Exchange, value)


def shape_of(record_type: type[T]) -> Shape[T]:
    """The shape of a record type, worked out once."""
    found = _SHAPES.get(record_type)
    if found is None:
        found = _SHAPES[record_type] = Shape(record_type)
    return found


_SHAPES: dict[type, Shape[Any]] = {}


def _struct_in(hint: Any) -> tuple[type | None, bool]:
    """(the Struct type a field's hint allows, whether it is a tuple of them)."""
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        return hint, False
    origin = get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        found = [inner for inner in map(_struct_in, get_args(hint)) if inner[0] is not None]
        return found[0] if found else (None, False)
    if origin is tuple and len(get_args(hint)) == 2 and get_args(hint)[1] is Ellipsis:
        return _struct_in(get_args(hint)[0])[0], True
    return None, False


def _compile(kind: type) -> tuple[_Strip | None, _Walk | None]:
    hints = typing.get_type_hints(kind)
    parts: list[tuple[int, str, bool, _Strip, _Walk]] = []
    body_at: int | None = None
    for index, field in enumerate(msgspec.structs.fields(kind)):
        if field.name == "body":
            body_at = index
            continue
        inner, many = _struct_in(hints[field.name])
        if inner is not None:
            strip, walk = _compile(inner)
            if strip is not None and walk is not None:
                parts.append((index, field.name, many, strip, walk))
    if body_at is not None:
        return _holder(body_at)
    if not parts:
        return None, None
    return _branch(parts)


def _holder(body_at: int) -> tuple[_Strip, _Walk]:
    def strip(record: Any, sink: Sink) -> Any:
        body = record.body
        replaced = sink(body)
        if replaced is body:
            return record
        values = list(astuple(record))
        values[body_at] = replaced
        return values

    return strip, _found


def _found(record: Any, found: list[Any]) -> None:
    found.append(record)


def _leaves(parts_of: Callable[[Any], tuple[Any, ...]]) -> _Walk:
    """The same walk where each part has its body itself, as in an exchange: most of what is read is such."""

    def walk(record: Any, found: list[Any]) -> None:
        found += [part for part in parts_of(record) if part is not None]

    return walk


def _branch(parts: list[tuple[int, str, bool, _Strip, _Walk]]) -> tuple[_Strip, _Walk]:
    def strip(record: Any, sink: Sink) -> Any:
        values: list[Any] | None = None
        for index, name, many, inner, _ in parts:
            value = getattr(record, name)
            if value is None:
                continue
            replaced = [inner(item, sink) for item in value] if many else inner(value, sink)
            if replaced is not value:
                if values is None:
                    values = list(astuple(record))
                values[index] = replaced
        return record if values is None else values

    if len(parts) > 1 and all(not many and inner is _found for _, _, many, _, inner in parts):
        return strip, _leaves(attrgetter(*(name for _, name, _, _, _ in parts)))

    def walk(record: Any, found: list[Any]) -> None:
        for _, name, many, _, inner in parts:
            value = getattr(record, name)
            if value is None:
                continue
            for item in value if many else (value,):
                inner(item, found)

    return strip, walk


def _path_to_exchange(kind: type) -> tuple[str, ...] | None:
    if kind is Exchange:
        return ()
    for name, hint in typing.get_type_hints(kind).items():
        if hint is Exchange:
            return (name,)
    return None
