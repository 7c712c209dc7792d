"""Structures of JSON bodies whose names are known, learned from bodies that were read name by name.

A service answers with the same few structures over and over. msgspec decodes a body into the learned one and refuses
any name that is not in it, in a fraction of the time that it takes to collect the names.
"""

from __future__ import annotations

from typing import Any

import msgspec

__all__ = ["Shape", "Shapes"]

_SHAPES_MAX = 64
_PARTS_MAX = 256
_DEPTH_MAX = 12
_KEY_BYTES_MAX = 40
_LEARNED_AT = frozenset(3 << n for n in range(12))
"""A structure is learned, or learned again, when so many bodies did not fit it: ever more seldom."""

_SCALAR = str | int | float | bool | None


class _Part:
    """What stood in one place: scalars always may; fields: of the objects; items: what the arrays hold."""

    __slots__ = ("fields", "items")

    def __init__(self) -> None:
        self.fields: dict[str, _Part] | None = None
        self.items: _Part | None = None


class _TooLarge(Exception):
    """The structure has more parts, or is deeper, than is worth learning."""


class Shape:
    """One learned structure. names: all that are in it; secrets: those of them that are a secret's wherever they
    stand. decoder: None until it was learned."""

    __slots__ = ("decoder", "missed", "names", "root", "secrets", "size")

    def __init__(self) -> None:
        self.root = _Part()
        self.size = 1
        self.missed = 0
        self.names: set[str] = set()
        self.secrets: frozenset[str] = frozenset()
        self.decoder: msgspec.json.Decoder[Any] | None = None

    def widen(self, body: bytes) -> None:
        """Learn the structure of one more body. Raises _TooLarge, ValueError for a name that no type can have."""
        self._merge(self.root, msgspec.json.decode(body), 0)
        self.decoder = msgspec.json.Decoder(self._type(self.root))

    def _merge(self, part: _Part, value: object, depth: int) -> None:
        if depth > _DEPTH_MAX or self.size > _PARTS_MAX:
            raise _TooLarge
        if isinstance(value, dict):
            fields = part.fields = {} if part.fields is None else part.fields
            for name, inner in value.items():
                field = fields.get(name)
                if field is None:
                    field = fields[name] = _Part()
                    self.size += 1
                    self.names.add(name)
                if isinstance(inner, dict | list):
                    self._merge(field, inner, depth + 1)
        elif isinstance(value, list):
            items = part.items = _Part() if part.items is None else part.items
            for inner in value:
                if isinstance(inner, dict | list):
                    self._merge(items, inner, depth + 1)

    def _type(self, part: _Part) -> Any:
        made: Any = _SCALAR
        if part.fields is not None:
            names = list(part.fields)
            made |= msgspec.defstruct(
                "Object",
                [(f"field{n}", self._type(part.fields[name]), None) for n, name in enumerate(names)],
                rename={f"field{n}": name for n, name in enumerate(names)},
                forbid_unknown_fields=True,
                gc=False,
            )
        if part.items is not None:
            made |= list[self._type(part.items)]  # type: ignore[misc]  # a type made at run time
        return made


class Shapes:
    """The learned structures by the first name in a body; bounded, and forgets everything when it is full."""

    __slots__ = ("_shapes",)

    def __init__(self) -> None:
        self._shapes: dict[bytes, Shape] = {}

    def of(self, body: bytes) -> Shape | None:
        """The learned structure in which all names of this body are; None says nothing about it."""
        shape = self._shapes.get(_key(body))
        if shape is None or shape.decoder is None:
            return None
        try:
            shape.decoder.decode(body)
        except (msgspec.DecodeError, RecursionError):
            return None
        return shape

    def learn(self, body: bytes, secrets: frozenset[str] = frozenset()) -> None:
        """This body is JSON, and of its names these are a secret's; learned once enough like it have come."""
        key = _key(body)
        shape = self._shapes.get(key)
        if shape is None:
            if len(self._shapes) >= _SHAPES_MAX:
                self._shapes.clear()
            shape = self._shapes[key] = Shape()
        shape.missed += 1
        if shape.missed in _LEARNED_AT and shape.size <= _PARTS_MAX:
            try:
                shape.widen(body)
                shape.secrets |= secrets
            except (_TooLarge, ValueError, RecursionError):
                shape.size = _PARTS_MAX + 1  # what was learned so far stays


def _key(body: bytes) -> bytes:
    return body[: max(0, body.find(b'":', 0, _KEY_BYTES_MAX))]
