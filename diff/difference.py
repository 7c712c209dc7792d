"""One difference between two outcomes, with its exact place, and how its path is written for people and scripts.

The family of kinds is small and closed: missing, extra, type, value, order, length. A path is a tuple of keys and
indexes and loses nothing; grouping ("every row of this list") is a later step and starts with `generalise`.
"""

from __future__ import annotations

import base64
import enum
import math
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final, Literal, TypeAlias

import msgspec

__all__ = [
    "KINDS",
    "MISSING",
    "PLACES",
    "Difference",
    "Kind",
    "Missing",
    "Path",
    "Place",
    "format_path",
    "general_path",
    "generalise",
    "jsonable",
    "normalised_path",
    "swapped",
]

Place = Literal["outcome", "status", "header", "cookie", "trailer", "body"]
PLACES: tuple[Place, ...] = ("outcome", "status", "header", "cookie", "trailer", "body")

Kind = Literal["missing", "extra", "type", "value", "order", "length"]
KINDS: tuple[Kind, ...] = ("missing", "extra", "type", "value", "order", "length")

Path: TypeAlias = tuple[str | int, ...]


class Missing(enum.Enum):
    """The type of `MISSING`; an enum, so that the one value stays itself through pickling between processes."""

    MISSING = "missing"

    def __repr__(self) -> str:
        return "MISSING"


MISSING: Final = Missing.MISSING
"""The side of a difference on which there is nothing: not null, not empty, absent."""


class Difference(msgspec.Struct, frozen=True, gc=False):
    """One thing that is not the same on the left (current) and on the right (candidate).

    place: which part of the outcome. path: where in that part.
      outcome, status: ().
      header, trailer: (name,), lower case.
      cookie: (name,) for the cookie's value or presence, (name, attribute) for an attribute, in the spelling of RFC
        6265 ("Path", "Max-Age", "HttpOnly"), ("SameSite").
      body: keys (str) and list indexes (int) from the root. Where list elements were aligned, an index is the
        element's index on the left; for an extra element, which the left has not, it is the index on the right.
    kind: "missing" is on the left and not on the right, "extra" the other way; "type" where the JSON types differ;
    "order" where a list has the same elements in another order, once for the list; "length" where two lists were too
    long to align and were compared by position; else "value".
    left, right: the values, MISSING where there is none. Body values are what the content's parser made of them; see
    `jsonable`.
    """

    place: Place
    path: Path
    kind: Kind
    left: Any = MISSING
    right: Any = MISSING


_SWAPPED_KIND: Final[dict[Kind, Kind]] = {"missing": "extra", "extra": "missing"}


def swapped(difference: Difference) -> Difference:
    """The same difference seen from the other side; the path is kept."""
    kind = _SWAPPED_KIND.get(difference.kind, difference.kind)
    return Difference(difference.place, difference.path, kind, difference.right, difference.left)


def format_path(difference: Difference) -> str:
    """As the contract writes it: "status", "header:NAME", "cookie:NAME;Attribute", "$['items'][3]['price']"."""
    place = difference.place
    if place == "body":
        return normalised_path(difference.path)
    return _outside_body(place, difference.path)


_GENERAL_MAX: Final = 50_000
_GENERAL_CHARS_MAX: Final = 300
_general: Final[dict[tuple[Place, Path], str]] = {}


def general_path(difference: Difference) -> str:
    """As `format_path`, with [*] for list indexes, so that the rows of a list share one path."""
    place, path = difference.place, difference.path
    # Remembered, bounded in number and length: a run has few places and millions of differences.
    written = _general.get((place, path))
    if written is None:
        written = generalise(path) if place == "body" else _outside_body(place, path)
        if len(written) <= _GENERAL_CHARS_MAX:
            if len(_general) >= _GENERAL_MAX:
                _general.clear()
            _general[place, path] = written
    return written


def _outside_body(place: Place, path: Path) -> str:
    if not path:
        return place
    return f"{place}:{';'.join(map(str, path))}"


def normalised_path(path: Path) -> str:
    """The normalised path of RFC 9535, section 2.7, of a body path: "$" for the whole body."""
    return "$" + "".join([f"[{step}]" if step.__class__ is int else f"['{_escaped(step)}']" for step in path])


def generalise(path: Path) -> str:
    """The normalised path of a body path with [*] for every list index; an object's key "0" is not an index."""
    return "$" + "".join(["[*]" if step.__class__ is int else f"['{_escaped(step)}']" for step in path])


# RFC 9535, section 2.7: backspace, form feed, line feed, return, tab, apostrophe and backslash have short escapes,
# the other control characters are written \u00xx in lower-case hexadecimal, everything else stands for itself.
_ESCAPES: Final = {code: f"\\u{code:04x}" for code in range(0x20)} | {
    0x08: "\\b",
    0x09: "\\t",
    0x0A: "\\n",
    0x0C: "\\f",
    0x0D: "\\r",
    0x27: "\\'",
    0x5C: "\\\\",
}


def _escaped(step: str | int) -> str:
    text = str(step)
    if text.isidentifier() and text.isascii():
        return text
    return text.translate(_ESCAPES)


def jsonable(value: Any) -> Any:
    """`value` as something every JSON encoder writes; MISSING becomes None (the kind tells it from null).

    bytes become {"base64": ...}; NaN, the infinities and numbers beyond a double become their text; lone surrogates
    are spelt, as \\ud800; keys that are not strings become their repr.
    """
    if value is None or value is True or value is False or isinstance(value, int):
        return value
    if isinstance(value, str):
        return value if value.isascii() else value.encode("utf-8", "backslashreplace").decode("utf-8")
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, Mapping):
        return {jsonable(key) if isinstance(key, str) else repr(key): jsonable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [jsonable(item) for item in value]
    if value is MISSING:
        return None
    if isinstance(value, bytes | bytearray | memoryview):
        return {"base64": base64.b64encode(value).decode("ascii")}
    if isinstance(value, Decimal):
        return str(value)
    return repr(value)
