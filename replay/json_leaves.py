"""The strings and integers of JSON with their places: of one document, or of a row of them (NDJSON, RFC 7464)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from replay.place import Place, Step

__all__ = ["document_leaves", "is_row", "json_leaf_at", "json_leaves", "looks_like_json", "row_spans"]

_DEPTH_MAX = 64
_SEPARATOR = b"\x1e"
_WHITE = b" \t\r\n\x1e"
_ROWS = ("ndjson", "jsonl", "json-lines", "jsonlines", "json-seq", "stream+json")


def looks_like_json(content_type: str, body: bytes) -> bool:
    """By the Content-Type in lower case; or, as services are careless with it, by how the body begins."""
    return "json" in content_type or body[:32].lstrip(_WHITE)[:1] in (b"{", b"[")


def is_row(content_type: str, body: bytes) -> bool:
    """True where the body is a row of JSON texts, one a line or each after a record separator (RFC 7464).

    By the Content-Type in lower case; or where the first line is JSON by itself and others follow.
    """
    if any(name in content_type for name in _ROWS) or body[:1] == _SEPARATOR:
        return True
    end = body.find(b"\n", len(body) - len(body.lstrip(_WHITE)))
    line = body[: max(end, 0)].strip(_WHITE)
    if line[-1:] not in (b"}", b"]") or not body[end:].strip(_WHITE):
        return False
    try:
        msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return True


def row_spans(body: bytes) -> Iterator[tuple[int, int]]:
    """Start and end of each text of a row, without white space and separators around it; empty ones left out."""
    separator = _SEPARATOR if body[:1] == _SEPARATOR else b"\n"
    start = 0
    while start < len(body):
        end = body.find(separator, start)
        end = len(body) if end < 0 else end
        text = body[start:end].strip(_WHITE)
        if text:
            first = body.index(text, start)
            yield first, first + len(text)
        start = end + 1


def json_leaves(body: bytes, content_type: str = "") -> Iterator[tuple[Place, str]]:
    """Strings and integers of JSON with their places; nothing where it is not JSON.

    Of a row the first step of a place is the number of the text in it; it ends where a text is not JSON.
    """
    try:
        if not is_row(content_type, body):
            yield from document_leaves(msgspec.json.decode(body))
            return
        for number, (start, end) in enumerate(row_spans(body)):
            yield from document_leaves(msgspec.json.decode(body[start:end]), (number,))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return


def json_leaf_at(body: bytes, content_type: str, path: tuple[Step, ...]) -> str | None:
    """The string or integer at one path, as `json_leaves` has it; None where there is none."""
    try:
        if is_row(content_type, body):
            at = path[0] if path else None
            span = next((span for n, span in enumerate(row_spans(body)) if n == at), None)
            if span is None:
                return None
            item, path = msgspec.json.decode(body[span[0] : span[1]]), path[1:]
        else:
            item = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    for step in path:
        if isinstance(step, str):
            if type(item) is not dict or step not in item:
                return None
        elif type(item) is not list or step >= len(item):
            return None
        item = item[step]
    return str(item) if type(item) is str or type(item) is int else None


def document_leaves(document: Any, above: tuple[Step, ...] = ()) -> Iterator[tuple[Place, str]]:
    """Of what a JSON decoder made, in document order; one generator for all levels, as this is done for each body.

    above: the steps that every place begins with.
    """
    stack: list[tuple[tuple[Step, ...], Iterator[tuple[Any, Any]]]] = []
    stack.append((above, iter(((None, document),))))
    while stack:
        path, items = stack[-1]
        for key, item in items:
            kind = type(item)
            if kind is str:
                yield Place("json", path if key is None else (*path, key)), item
            elif kind is int:
                yield Place("json", path if key is None else (*path, key)), str(item)
            elif (kind is dict or kind is list) and len(stack) <= _DEPTH_MAX:
                inner = iter(item.items()) if kind is dict else iter(enumerate(item))
                stack.append((path if key is None else (*path, key), inner))
                break
        else:
            stack.pop()
