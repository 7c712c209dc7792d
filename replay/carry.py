"""What a request carries: every value that an earlier response may have supplied, and how to put another there."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import islice
from typing import Final
from urllib.parse import quote, quote_plus, unquote, unquote_plus

from capture.exchange import Request, header
from replay.coding import decode_body, encode_body
from replay.inside import put_inside
from replay.json_leaves import is_row, json_leaves, looks_like_json
from replay.json_splice import splice_json, splice_row
from replay.multipart import DEPTH_MAX, Part, put_part, read_request, split_parts, write_request
from replay.packed_leaves import looks_packed, packed_leaves, splice_packed
from replay.place import Place, Step, in_part, part_of
from replay.protobuf_leaves import looks_like_protobuf, protobuf_leaves, splice_protobuf
from replay.row import bearing
from replay.xml_leaves import looks_like_xml, splice_xml, xml_leaves

__all__ = ["carried_values", "replace_values"]

_BODY_MAX = 4 << 20
_FIELDS_MAX: Final = 2000
_TARGET_CACHED_MAX: Final = 512
_SCHEMED = re.compile(r"(?i)(bearer|token|jwt|apikey|dpop) +(\S+)\Z")
_IN_BODIES = ("json", "form", "part", "xml", "protobuf", "multipart")


def carried_values(request: Request, coded: bool = True, bears: bool = True) -> Sequence[tuple[Place, str]]:
    """Place and value of everything that may have come from a response; numbers as their digits. Never raises.

    coded: False where the body was decoded after it was captured, whatever Content-Encoding says. bears: False where
    the names of its headers are known to carry nothing (`Row.bears`).
    """
    return _values(request, coded, bears, 0)


def _values(request: Request, coded: bool, bears: bool, depth: int) -> Sequence[tuple[Place, str]]:
    """depth: how many multipart bodies the request stands in."""
    target = request.target
    of_target = _target_values(target) if len(target) <= _TARGET_CACHED_MAX else _target_values.__wrapped__(target)
    if not bears and not request.body:
        return of_target
    found = list(of_target)
    seen: dict[str, int] = {}
    for name, value in request.headers if bears else ():
        lower = bearing(name)
        if not lower:
            continue
        if lower == "cookie":
            found += [(Place("cookie", (key,)), content) for key, content, _ in _cookies(value)]
        else:
            nth = seen.get(lower, 0)
            seen[lower] = nth + 1
            match = _SCHEMED.match(value)
            found.append((Place("header", (lower, nth)), match[2] if match else value))
    if request.body:
        found += islice(_body_values(request, coded, depth), _FIELDS_MAX)
    return [item for item in found[:_FIELDS_MAX] if item[1]]


@lru_cache(maxsize=4096)
def _target_values(target: str) -> tuple[tuple[Place, str], ...]:
    """What path and query carry."""
    path, _, query = target.partition("?")
    if "://" in path:
        path = "/" + path.split("://", 1)[1].partition("/")[2]
    found = [
        (_segment(index), unquote(segment) if "%" in segment else segment)
        for index, segment in enumerate(path.split("/")[1:])
        if segment
    ]
    if query:
        found += _fields("query", query)
    return tuple(item for item in found[:_FIELDS_MAX] if item[1])


@lru_cache(maxsize=64)
def _segment(index: int) -> Place:
    return Place("path", (index,))


def _cookies(value: str) -> Iterator[tuple[str, str, str]]:
    """Name, value and the text of each pair of a Cookie header."""
    for pair in value.split(";"):
        name, equals, content = pair.partition("=")
        if equals:
            yield name.strip(), content.strip(), pair


def _fields(kind: str, text: str) -> list[tuple[Place, str]]:
    seen: dict[str, int] = {}
    found = []
    for pair in text.split("&")[:_FIELDS_MAX]:
        name, equals, value = pair.partition("=")
        name = unquote_plus(name)
        nth = seen.get(name, 0)
        seen[name] = nth + 1
        if equals:
            found.append((Place(kind, (name, nth)), unquote_plus(value)))
    return found


def _body_values(request: Request, coded: bool, depth: int) -> Iterator[tuple[Place, str]]:
    assert request.body is not None
    body = decode_body(request.body, header(request.headers, "content-encoding") if coded else None, _BODY_MAX)
    if body is None or len(body) > _BODY_MAX:
        return
    kind = (header(request.headers, "content-type") or "").lower()
    if "x-www-form-urlencoded" in kind:
        yield from _fields("form", body.decode("latin-1"))
    elif "multipart/" in kind:
        yield from _part_values(body, header(request.headers, "content-type") or "", depth)
    elif looks_like_protobuf(kind):
        yield from protobuf_leaves(body, kind, header(request.headers, "grpc-encoding") or "")
    elif looks_packed(kind):
        yield from packed_leaves(body, kind)
    elif looks_like_json(kind, body):
        yield from json_leaves(body, kind)
    elif looks_like_xml(kind, body):
        for leaf in xml_leaves(body):
            if leaf.start >= 0:
                yield leaf.place, leaf.text


def _part_values(body: bytes, content_type: str, depth: int) -> Iterator[tuple[Place, str]]:
    """Of a multipart body: short fields of a form by name, all else by the number of its part."""
    seen: dict[str, int] = {}
    for number, part in enumerate(split_parts(content_type, body)):
        content = body[part.start : part.end]
        if part.name is not None:
            nth = seen.get(part.name, 0)
            seen[part.name] = nth + 1
            yield Place("part", (part.name, nth)), content.decode("utf-8", "replace")
        elif depth < DEPTH_MAX and (request := _request_in(part, content)) is not None:
            for place, value in _values(request, True, part.is_message, depth + 1):
                yield in_part(number, place), value


def _request_in(part: Part, content: bytes) -> Request | None:
    """The request that a part of a batch is; else one that has the part's content for a body."""
    if part.is_message:
        return read_request(content)
    return Request("", "", "", part.headers, content, len(content))


def _with_parts(
    body: bytes,
    content_type: str,
    fields: dict[Place, tuple[str, str]],
    within: dict[Place, tuple[str, str]],
) -> bytes:
    """The body with other values in its parts; parts in which nothing changes keep their bytes."""
    by_number: dict[int, dict[Place, tuple[str, str]]] = {}
    for place, pair in within.items():
        if (found := part_of(place)) is not None:
            by_number.setdefault(found[0], {})[found[1]] = pair
    parts = split_parts(content_type, body)
    seen: dict[str, int] = {}
    made: list[bytes | None] = []
    for number, part in enumerate(parts):
        content = body[part.start : part.end]
        if part.name is not None:
            nth = seen.get(part.name, 0)
            seen[part.name] = nth + 1
            new = fields.get(Place("part", (part.name, nth)))
            made.append(None if new is None else new[1].encode())
        elif number in by_number and (request := _request_in(part, content)) is not None:
            changed = replace_values(request, by_number[number])
            made.append(write_request(content, request, changed) if part.is_message else changed.body)
        else:
            made.append(None)
    for part, new_content in zip(reversed(parts), reversed(made), strict=True):
        if new_content is not None:
            body = put_part(body, part, new_content)
    return body


def replace_values(request: Request, values: dict[Place, tuple[str, str]]) -> Request:
    """The request with other values at some places; everything else keeps its bytes.

    values: place to (the value that stands there now, the one to put there); of a place inside a value only that part
    changes, and nothing where it is in a token that is signed. As many headers come out as go in; Content-Length fits
    the body.
    """
    values = _whole(request, values)
    target, headers, body = request.target, list(request.headers), request.body
    by_kind: dict[str, dict[Place, tuple[str, str]]] = {}
    for place, pair in values.items():
        by_kind.setdefault(place.kind, {})[place] = pair
    if "path" in by_kind:
        target = _with_path(target, by_kind["path"])
    if "query" in by_kind:
        path, _, query = target.partition("?")
        target = f"{path}?{_with_fields('query', query, by_kind['query'])}"
    if "header" in by_kind or "cookie" in by_kind:
        headers = _with_headers(headers, by_kind.get("header", {}), by_kind.get("cookie", {}))
    if body and not by_kind.keys().isdisjoint(_IN_BODIES):
        body = _with_body(request, body, by_kind)
        headers = [
            (name, str(len(body))) if name.lower() == "content-length" else (name, value) for name, value in headers
        ]
    return Request(
        request.method, target, request.version, tuple(headers), body, len(body or b""), False, request.trailers
    )


def _whole(request: Request, values: dict[Place, tuple[str, str]]) -> dict[Place, tuple[str, str]]:
    """The same changes, of whole values alone."""
    parts: dict[Place, list[tuple[tuple[Step, ...], str, str]]] = {}
    for place, (old, new) in values.items():
        if place.inner:
            parts.setdefault(place._replace(inner=()), []).append((place.inner, old, new))
    if not parts:
        return values
    whole = {place: pair for place, pair in values.items() if not place.inner}
    for place, value in carried_values(request):
        changes = parts.pop(place, None)
        if changes is not None and place not in whole:
            changed = put_inside(value, changes)
            if changed is not None:
                whole[place] = (value, changed)
    return whole


def _with_path(target: str, values: dict[Place, tuple[str, str]]) -> str:
    path, mark, query = target.partition("?")
    origin = ""
    if "://" in path:
        scheme, _, rest = path.partition("://")
        host, _, path = rest.partition("/")
        origin, path = f"{scheme}://{host}", f"/{path}"
    segments = path.split("/")
    for place, (_, value) in values.items():
        segments[int(place.path[0]) + 1] = quote(value, safe="!$&'()*+,;=:@~-._")
    return f"{origin}{'/'.join(segments)}{mark}{query}"


def _with_fields(kind: str, text: str, values: dict[Place, tuple[str, str]]) -> str:
    seen: dict[str, int] = {}
    pairs = []
    for pair in text.split("&"):
        name, equals, _ = pair.partition("=")
        key = unquote_plus(name)
        nth = seen.get(key, 0)
        seen[key] = nth + 1
        new = values.get(Place(kind, (key, nth)))
        pairs.append(pair if new is None or not equals else f"{name}={quote_plus(new[1], safe='~-._')}")
    return "&".join(pairs)


def _with_headers(
    headers: list[tuple[str, str]],
    values: dict[Place, tuple[str, str]],
    cookies: dict[Place, tuple[str, str]],
) -> list[tuple[str, str]]:
    seen: dict[str, int] = {}
    changed = []
    for name, value in headers:
        lower = name.lower()
        nth = seen.get(lower, 0)
        seen[lower] = nth + 1
        new = values.get(Place("header", (lower, nth)))
        if lower == "cookie" and cookies:
            for key, content, pair in _cookies(value):
                swap = cookies.get(Place("cookie", (key,)))
                if swap is not None and content == swap[0]:
                    value = value.replace(pair, pair.replace(f"={content}", f"={swap[1]}", 1), 1)
        elif new is not None:
            match = _SCHEMED.match(value)
            value = f"{value[: match.start(2)]}{new[1]}" if match else new[1]
        changed.append((name, _header_safe(value)))
    return changed


def _header_safe(value: str) -> str:
    """What a build answered must not begin a new header line in a request."""
    return re.sub(r"[\x00\r\n]", " ", value).encode("latin-1", "replace").decode("latin-1")


def _with_body(request: Request, body: bytes, by_kind: dict[str, dict[Place, tuple[str, str]]]) -> bytes:
    codings = header(request.headers, "content-encoding")
    decoded = decode_body(body, codings, _BODY_MAX)
    if decoded is None:
        return body
    kind = (header(request.headers, "content-type") or "").lower()
    if "json" in by_kind:
        paths = {place.path: new for place, (_, new) in by_kind["json"].items()}
        if looks_packed(kind):
            changed = splice_packed(decoded, kind, paths)
        elif is_row(kind, decoded):
            changed = splice_row(decoded, paths)
        else:
            changed = splice_json(decoded.decode("utf-8", "surrogateescape"), paths).encode("utf-8", "surrogateescape")
    elif "xml" in by_kind:
        changed = splice_xml(decoded, {place: new for place, (_, new) in by_kind["xml"].items()})
    elif "protobuf" in by_kind:
        numbered = {place.path: new for place, (_, new) in by_kind["protobuf"].items()}
        changed = splice_protobuf(decoded, kind, numbered, header(request.headers, "grpc-encoding") or "")
    elif "form" in by_kind:
        changed = _with_fields("form", decoded.decode("latin-1"), by_kind["form"]).encode("latin-1")
    else:
        content_type = header(request.headers, "content-type") or ""
        changed = _with_parts(decoded, content_type, by_kind.get("part", {}), by_kind.get("multipart", {}))
    again = encode_body(changed, codings)
    return body if again is None else again
