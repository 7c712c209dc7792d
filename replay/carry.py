"""What a request carries: every value that an earlier response may have supplied, and how to put another there."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import islice
from urllib.parse import quote, quote_plus, unquote, unquote_plus

from capture.exchange import Request, header
from replay.coding import decode_body, encode_body
from replay.inside import put_inside
from replay.json_leaves import is_row, json_leaves, looks_like_json
from replay.json_splice import splice_json, splice_row
from replay.packed_leaves import looks_packed, packed_leaves, splice_packed
from replay.place import Place, Step
from replay.protobuf_leaves import looks_like_protobuf, protobuf_leaves, splice_protobuf
from replay.row import bearing
from replay.xml_leaves import looks_like_xml, splice_xml, xml_leaves

__all__ = ["carried_values", "replace_values"]

_BODY_MAX = 4 << 20
_FIELDS_MAX = 2000
_TARGET_CACHED_MAX = 512
_SCHEMED = re.compile(r"(?i)(bearer|token|jwt|apikey|dpop) +(\S+)\Z")
_BOUNDARY = re.compile(r'boundary="?([^";]+)"?')
_PART_NAME = re.compile(rb'(?i)\bname="([^"]*)"')


def carried_values(request: Request, coded: bool = True, bears: bool = True) -> Sequence[tuple[Place, str]]:
    """Place and value of everything that may have come from a response; numbers as their digits. Never raises.

    coded: False where the body was decoded after it was captured, whatever Content-Encoding says. bears: False where
    the names of its headers are known to carry nothing (`Row.bears`).
    """
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
        found += islice(_body_values(request, coded), _FIELDS_MAX)
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


def _body_values(request: Request, coded: bool) -> Iterator[tuple[Place, str]]:
    assert request.body is not None
    body = decode_body(request.body, header(request.headers, "content-encoding") if coded else None, _BODY_MAX)
    if body is None or len(body) > _BODY_MAX:
        return
    kind = (header(request.headers, "content-type") or "").lower()
    if "x-www-form-urlencoded" in kind:
        yield from _fields("form", body.decode("latin-1"))
    elif "multipart/" in kind:
        for place, start, end in _parts(body, header(request.headers, "content-type") or ""):
            yield place, body[start:end].decode("utf-8", "replace")
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


def _parts(body: bytes, content_type: str) -> Iterator[tuple[Place, int, int]]:
    """Place, start and end of each short text part of a multipart body (RFC 7578)."""
    match = _BOUNDARY.search(content_type)
    if match is None:
        return
    mark = b"--" + match[1].encode("latin-1")
    seen: dict[str, int] = {}
    at = body.find(mark)
    while at >= 0:
        head_end = body.find(b"\r\n\r\n", at)
        after = body.find(b"\r\n" + mark, at + len(mark))
        if head_end < 0 or after < 0:
            return
        head = body[at:head_end]
        name_match = _PART_NAME.search(head)
        if name_match is not None and b"filename=" not in head.lower() and after - head_end < 8192:
            name = name_match[1].decode("utf-8", "replace")
            nth = seen.get(name, 0)
            seen[name] = nth + 1
            yield Place("part", (name, nth)), head_end + 4, after
        at = after + 2


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
    if body and not by_kind.keys().isdisjoint(("json", "form", "part", "xml", "protobuf")):
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
        changed = decoded
        content_type = header(request.headers, "content-type") or ""
        for place, start, end in reversed(list(_parts(decoded, content_type))):
            if place in by_kind["part"]:
                changed = changed[:start] + by_kind["part"][place][1].encode() + changed[end:]
    again = encode_body(changed, codings)
    return body if again is None else again
