"""Values in the text of a script: JSON and strings that it assigns or passes on, by the name that is before them."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

from replay.json_leaves import document_leaves
from replay.place import Step

__all__ = ["ScriptLeaf", "script_leaves"]

_TEXT_MAX = 1 << 20
_NAMED = re.compile(r"""(?<![\w$-])([A-Za-z_$][\w$-]*)["'\]]*\s{0,8}(?:\(\s{0,8}|[=:]\s{0,8})(?=[{\["'\d])""")
"""A name, and what it is given: `window.__STATE__ = {`, `csrf: "`, `"id": 7`, `push([`, `JSON.parse('`."""
_STRING = re.compile(r'"((?:[^"\\\n]|\\.)*)"|' + r"'((?:[^'\\\n]|\\.)*)'")
_NUMBER = re.compile(r"\d{1,30}(?![\w.])")
_ESCAPE = re.compile(r"\\(u[0-9A-Fa-f]{4}|x[0-9A-Fa-f]{2}|.)", re.DOTALL)
_PLAIN_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", "v": "\v", "0": "\0"}
_DECODER = json.JSONDecoder()


class ScriptLeaf(NamedTuple):
    """One value. name: what stands before it, nth: how many of that name came before, from 0.

    path: where in the JSON that the name is given, None where it is given a string or a number.
    """

    name: str
    nth: int
    path: tuple[Step, ...] | None
    value: str


def script_leaves(text: str) -> Iterator[ScriptLeaf]:
    """Strings and integers in JavaScript, in order. Nothing is run: what is not JSON is looked into for named literals.

    At most a mebibyte is read, and what is read in vain is bounded by four times of it.
    """
    text = text[:_TEXT_MAX]
    seen: Counter[str] = Counter()
    vain = 4 * len(text) + 4096
    at = 0
    while (match := _NAMED.search(text, at)) is not None:
        name, at = match[1], match.end()
        if text[at] in "{[":
            document, end, cost = _json_at(text, at) if vain > 0 else (None, at, 0)
            vain -= cost
            if end > at:
                for place, value in document_leaves(document):
                    yield ScriptLeaf(name, seen[name], place.path, value)
                seen[name] += 1
                at = end
            continue
        literal = _STRING.match(text, at) or _NUMBER.match(text, at)
        if literal is not None:
            yield ScriptLeaf(name, seen[name], None, _literal(literal[0]))
            seen[name] += 1
            at = literal.end()


def _json_at(text: str, at: int) -> tuple[Any, int, int]:
    """(document, end, 0) of the JSON that begins there; where there is none the end is `at`, and what the look cost."""
    try:
        document, end = _DECODER.raw_decode(text, at)
    except json.JSONDecodeError as error:
        return None, at, error.pos - at
    except (ValueError, RecursionError):
        return None, at, len(text) - at
    return document, end, 0


def _literal(token: str) -> str:
    if token[0] not in "\"'":
        return token
    return _ESCAPE.sub(_unescaped, token[1:-1]) if "\\" in token else token[1:-1]


def _unescaped(match: re.Match[str]) -> str:
    code = match[1]
    if len(code) > 1:
        return chr(int(code[1:], 16))
    return _PLAIN_ESCAPES.get(code, code)
