"""Other values at some places of a JSON text, or of a row of them, every other byte as it was."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from replay.json_leaves import row_spans
from replay.place import Step

__all__ = ["splice_json", "splice_row"]

_TOKEN = re.compile(r'[ \t\r\n]*([{}\[\],:]|"(?:[^"\\]|\\.)*"|[^ \t\r\n{}\[\],:"]+)', re.DOTALL)
_NUMBER = re.compile(r"-?\d{1,30}\Z")


def splice_json(text: str, values: Mapping[tuple[Step, ...], str]) -> str:
    """The text with strings and integers at these paths replaced; a path that is not there changes nothing.

    A number stays a number where the new value is one. Of a key that stands twice in an object the last one counts, as
    parsers take it. `text` must be JSON (RFC 8259); what is not is returned with what was found until then replaced.
    """
    spans = _spans(text, values)
    for path, (start, end) in sorted(spans.items(), key=lambda item: item[1], reverse=True):
        new = values[path]
        token = new if text[start] != '"' and _NUMBER.match(new) else json.dumps(new)
        text = text[:start] + token + text[end:]
    return text


def splice_row(body: bytes, values: Mapping[tuple[Step, ...], str]) -> bytes:
    """A row of JSON texts (NDJSON, RFC 7464) with other values; the first step of a path is the number of the text."""
    by_text: dict[Step, dict[tuple[Step, ...], str]] = {}
    for (number, *path), value in values.items():
        by_text.setdefault(number, {})[tuple(path)] = value
    for number, (start, end) in reversed(list(enumerate(row_spans(body)))):
        if number in by_text:
            text = splice_json(body[start:end].decode("utf-8", "surrogateescape"), by_text[number])
            body = body[:start] + text.encode("utf-8", "surrogateescape") + body[end:]
    return body


def _spans(text: str, wanted: Mapping[tuple[Step, ...], str]) -> dict[tuple[Step, ...], tuple[int, int]]:
    """Where the scalars at the wanted paths stand."""
    found: dict[tuple[Step, ...], tuple[int, int]] = {}
    path: list[Step] = []
    keys: list[bool] = []  # for each open container: True where the next string is a key of an object
    objects: list[bool] = []
    at = 0
    while (match := _TOKEN.match(text, at)) is not None:
        token, at = match[1], match.end()
        if token in "{[":
            objects.append(token == "{")
            keys.append(token == "{")
            path.append("" if token == "{" else 0)
        elif token in "}]":
            if not objects:
                break
            objects.pop(), keys.pop(), path.pop()
        elif token == ",":
            if not objects:
                break
            last = path[-1]
            if isinstance(last, int):
                path[-1] = last + 1
            keys[-1] = objects[-1]
        elif token == ":":
            continue
        elif keys and keys[-1]:
            try:
                path[-1] = json.loads(token)
            except ValueError:
                break
            keys[-1] = False
        elif tuple(path) in wanted:
            found[tuple(path)] = (match.start(1), at)
    return found
