"""Redaction of JSON in which only names tell secrets: their values are found and replaced, and nothing else is read.

Where it is known that no detector finds anything in a body and that no string of it has pairs or markup, its secrets
are the values of a few names. The scanner of json_text.py would walk over every token to reach them; here the names are
looked up in the text, and the decoded values say on which path each of them stands.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

import msgspec

from capture.redact.found import Found
from capture.redact.json_text import redact_json_value

__all__ = ["redact_named"]

_DECODE = msgspec.json.Decoder().decode
_SCALAR = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|-?\d[\d.eE+-]*|true|false|null')
_DEPTH_MAX = 64

_Path = tuple[str | int, ...]


def redact_named(body: bytes, searched: bytes, found: Found, encoding: str = "utf-8") -> bytes | None:
    """The body without the values of secret names; the same object where it has none.

    searched: what `CleanJson.searched` gave for it. None where the scanner has to read it: it is no JSON, a secret is
    a whole object or array, a name stands twice in one object, or rules of the user name paths.
    """
    rules = found.rules
    if rules.clean is None or rules.json_secret:
        return None
    names = rules.clean.named(searched)
    if names is None:
        return None
    if not names:
        return body
    # Where something was taken off for the search, names stand otherwise in the body itself.
    if rules.json_keep or searched is not body or (encoding != "utf-8" and not body.isascii()):
        return None
    found.spend(len(body) >> 5)
    try:
        text = body.decode()
        places = list(_members(names).finditer(text))
        if not places:
            return body
        paths = _paths_of(_DECODE(body), names, len(places))
    except (UnicodeDecodeError, msgspec.DecodeError, RecursionError, _TooDeep):
        return None
    return _replaced(text, places, paths, found) if len(places) == len(paths) else None


def _paths_of(document: Any, names: frozenset[str], count: int) -> list[_Path]:
    """Where members with these names stand, in the order of the text, in which there are `count` of them."""
    # The answer to a login has them at its top: where these are all, the rest need not be gone through.
    top: list[_Path] = [(name,) for name in document if name in names] if isinstance(document, dict) else []
    if len(top) == count:
        return top
    paths: list[_Path] = []
    _collect(document, names, (), paths, 0)
    return paths


def _replaced(text: str, places: list[re.Match[str]], paths: list[_Path], found: Found) -> bytes | None:
    values = [_SCALAR.match(text, place.end()) for place in places]
    pieces: list[str] = []
    end = 0
    for value, path in zip(values, paths, strict=True):
        if value is None:
            return None
        pieces += (text[end : value.start()], redact_json_value(value.group(), path, found))
        end = value.end()
    pieces.append(text[end:])
    return "".join(pieces).encode()


@lru_cache(maxsize=256)
def _members(names: frozenset[str]) -> re.Pattern[str]:
    """Finds these names before their values. There is no escaped quote in the text, so a name in quotes is a name."""
    return re.compile(rf'"(?:{"|".join(map(re.escape, sorted(names)))})"\s*:\s*')


class _TooDeep(Exception):
    """The text is nested deeper than is worth looking at here."""


def _collect(value: Any, names: frozenset[str], path: _Path, paths: list[_Path], depth: int) -> None:
    """Append where members with these names stand, in the order of the text."""
    if depth > _DEPTH_MAX:
        raise _TooDeep
    if isinstance(value, dict):
        for name, inner in value.items():
            if name in names:
                paths.append((*path, name))
            if isinstance(inner, dict | list):
                _collect(inner, names, (*path, name), paths, depth + 1)
    elif isinstance(value, list):
        for place, inner in enumerate(value):
            if isinstance(inner, dict | list):
                _collect(inner, names, (*path, place), paths, depth + 1)
