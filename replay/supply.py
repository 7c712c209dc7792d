"""What a response supplies: every value in it that a later request of the same session might carry, and its place."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from capture.exchange import Response, header
from replay.coding import decode_body
from replay.event_leaves import event_leaves
from replay.html_leaves import html_leaves
from replay.json_leaves import document_leaves, json_leaf_at, json_leaves, looks_like_json
from replay.multipart import DEPTH_MAX, Part, read_response, split_parts
from replay.packed_leaves import looks_packed, packed_leaf_at, packed_leaves
from replay.place import Place, Step, in_part
from replay.protobuf_leaves import looks_like_protobuf, protobuf_leaves
from replay.script_leaves import script_leaves
from replay.set_cookie import cookies_set
from replay.wanted import Wanted
from replay.words import numbered
from replay.xml_leaves import looks_like_xml, xml_leaves

__all__ = ["LEAVES_MAX", "challenge_parameters", "jwt_claims", "supplied_values", "unpacked", "value_at"]

LEAVES_MAX = 5000
"""Values looked at in one response; what lies beyond is not bound."""

_BODY_MAX = 4 << 20
_TEXT_MAX = 4096
_VALUE_MAX = 8192
_PLAIN_LENGTH = 8
_BEGINS_MORE = "/{"
"""A value of a JSON document that is so short and does not begin so has nothing inside it."""
_PLAIN = (
    "date server connection keep-alive transfer-encoding content-length content-type content-encoding content-language"
    " cache-control expires age vary via pragma allow accept-ranges content-range set-cookie trailer upgrade warning"
    " retry-after strict-transport-security content-security-policy x-content-type-options x-frame-options"
    " x-xss-protection referrer-policy permissions-policy alt-svc server-timing"
)
_PLAIN_HEADERS = frozenset(_PLAIN.split())
_WORD = re.compile(r"[A-Za-z0-9_-]{8,}")
_WORDS_IN_MAX = 512
_ETAG = re.compile(r'(?:W/)?"([^"]+)"\Z')
_CHALLENGES = frozenset(("www-authenticate", "authentication-info"))
_PARAMETER = re.compile(r'(?<![\w-])(realm|nonce|nextnonce|opaque)\s*=\s*"([^"]*)"', re.IGNORECASE)
_JWT = re.compile(r"[A-Za-z0-9_-]{4,}\.([A-Za-z0-9_-]{4,})\.[A-Za-z0-9_-]*\Z")
_STANDARD = str.maketrans("-_", "+/")
"""From the alphabet for URLs (RFC 4648 section 5) to the usual one."""
_BASE64_BEGINS = frozenset("IJKLMNOPQRSTUVWXYZabcdefwxyz0123456789")
"""With another character the first byte is a control character, or none that UTF-8 begins with."""
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{10,}={0,2}\Z")


def supplied_values(response: Response, coded: bool = True, wanted: Wanted | None = None) -> dict[Place, str]:
    """Place to value, in document order, at most LEAVES_MAX; numbers as their digits. Pure; never raises.

    coded: False where the body was decoded after it was captured, whatever Content-Encoding says. wanted: of a JSON
    body those values may be left out that it does not have; None for all.
    """
    found: dict[Place, str] = {}
    for place, value in _walk(response, coded, wanted):
        if 0 < len(value) <= _VALUE_MAX:
            found.setdefault(place, value)
            if len(found) >= LEAVES_MAX:
                break
    return found


def _walk(response: Response, coded: bool, wanted: Wanted | None, depth: int = 0) -> Iterator[tuple[Place, str]]:
    seen: dict[str, int] = {}
    for name, value in response.headers:
        lower = name.lower()
        if lower not in _PLAIN_HEADERS:
            nth = seen.get(lower, 0)
            seen[lower] = nth + 1
            yield from _expand(Place("header", (lower, nth)), value)
    # Of a name that is set twice (for two paths) the last one counts, and what is taken away supplies nothing.
    for cookie, content in {cookie: content for cookie, content in cookies_set(response.headers) if content}.items():
        yield Place("cookie", (cookie,)), content
    body = _decoded(response, coded)
    if body is not None:
        kind = _kind(response)
        if looks_like_protobuf(kind):
            for place, value in protobuf_leaves(body, kind, header(response.headers, "grpc-encoding") or ""):
                yield from _expand(place, value)
        elif kind.startswith("multipart/"):
            yield from _parts(body, header(response.headers, "content-type") or "", wanted, depth)
        else:
            yield from _body(kind, body, wanted)


def _parts(body: bytes, content_type: str, wanted: Wanted | None, depth: int) -> Iterator[tuple[Place, str]]:
    """Of a multipart body: short fields of a form by name, all else by the number of its part."""
    seen: dict[str, int] = {}
    for number, part in enumerate(split_parts(content_type, body)):
        content = body[part.start : part.end]
        if part.name is not None:
            nth = seen.get(part.name, 0)
            seen[part.name] = nth + 1
            yield from _expand(Place("part", (part.name, nth)), content.decode("utf-8", "replace").strip())
        elif depth < DEPTH_MAX:
            response = read_response(content) if part.is_message else _of_content(part, content)
            for place, value in _walk(response, True, wanted, depth + 1) if response is not None else ():
                yield in_part(number, place), value


def _of_content(part: Part, content: bytes) -> Response:
    """A response that has the content of a part for a body, and of its header fields what says how to read it."""
    headers = tuple(pair for pair in part.headers if pair[0].lower() in ("content-type", "content-encoding"))
    return Response(200, "", "HTTP/1.1", headers, content, len(content))


def _kind(response: Response) -> str:
    return (header(response.headers, "content-type") or "").lower()


def _decoded(response: Response, coded: bool) -> bytes | None:
    """The body without its content coding; None where there is none, or not the whole of it."""
    if not response.body or response.truncated:
        return None
    codings = header(response.headers, "content-encoding") if coded else None
    body = decode_body(response.body, codings, _BODY_MAX)
    return None if body is None or len(body) > _BODY_MAX else body


def value_at(response: Response, place: Place) -> str | None:
    """What stands at one place, as `supplied_values` has it, without looking at all others of a JSON body."""
    if place.kind != "json":
        return supplied_values(response).get(place)
    body, kind = _decoded(response, True), _kind(response)
    if body is None or "event-stream" in kind or looks_like_protobuf(kind):
        return supplied_values(response).get(place)
    if looks_packed(kind):
        value = packed_leaf_at(body, kind, place.path)
    elif looks_like_json(kind, body):
        value = json_leaf_at(body, kind, place.path)
    else:
        return supplied_values(response).get(place)
    if value is not None and place.inner:
        value = next((text for at, text in _inside(place._replace(inner=()), value) if at == place), None)
    return value if value is not None and 0 < len(value) <= _VALUE_MAX else None


def _body(kind: str, body: bytes, wanted: Wanted | None) -> Iterator[tuple[Place, str]]:
    """Of a decoded body, by its Content-Type in lower case and by how it begins."""
    if "event-stream" in kind:
        for place, value in event_leaves(body):
            yield from _expand(place, value)
    elif (packed := looks_packed(kind)) or looks_like_json(kind, body):
        for place, value in packed_leaves(body, kind) if packed else json_leaves(body, kind):
            if wanted is None or value in wanted or _may_hold(value, wanted):
                yield from _inside(place, value)
    elif looks_like_xml(kind, body) and (leaves := xml_leaves(body)):
        for leaf in leaves:
            yield from _expand(leaf.place, leaf.text.strip())
    elif "html" in kind:
        for field in html_leaves(body):
            yield from _url(field.place, field.value) if field.is_link else _expand(field.place, field.value)
    elif "javascript" in kind or "ecmascript" in kind:
        for part in script_leaves(body.decode("utf-8", "replace")):
            place = Place("script", (part.name, part.nth), () if part.path is None else ("json", *part.path))
            yield from _expand(place, part.value)
    elif kind.startswith("text/plain") and len(body) <= _TEXT_MAX:
        yield from _expand(Place("text", ()), body.decode("utf-8", "replace").strip())


def _inside(place: Place, value: str) -> Iterable[tuple[Place, str]]:
    """As `_expand`, where it is a value of a JSON document."""
    if len(value) <= _PLAIN_LENGTH and value[:1] not in _BEGINS_MORE:
        return ((place, value),)
    return _expand(place, value)


def _may_hold(value: str, wanted: Wanted) -> bool:
    """False where `_inside` would find nothing inside the value that is wanted."""
    if len(value) <= _PLAIN_LENGTH and value[:1] not in _BEGINS_MORE:
        return False
    return (
        "%" in value
        or value[:1] in ("{", "[")
        or wanted.holds(value)
        or unpacked(value) is not None
        or jwt_claims(value) is not None
    )


def _expand(place: Place, value: str) -> Iterator[tuple[Place, str]]:
    """The value, and what is inside it where it is a URL, a JWT, base64, quoted, or several words."""
    yield place, value
    if place.kind == "header" and place.path[0] in _CHALLENGES:
        for name, start, end in challenge_parameters(value):
            yield _within(place, "param", name), value[start:end]
    elif _is_address(value):
        yield from _url(place, value)
    elif value[:1] == "<" and ">" in value and place.kind == "header":
        yield from _url(place, value[1 : value.index(">")])  # Link: </items?cursor=x>; rel="next" (RFC 8288)
    elif (claims := jwt_claims(value)) is not None:
        for leaf, text in document_leaves(claims):
            yield _within(place, "jwt", *leaf.path), text
    elif place.kind == "header" and (tag := _ETAG.match(value)) is not None:
        yield _within(place, "quoted"), tag[1]
    elif (inside := unpacked(value)) is not None:
        if inside[:1] == "{":
            for leaf, text in json_leaves(inside.encode("utf-8", "surrogateescape")):
                yield _within(place, "base64", *leaf.path), text
        else:
            yield _within(place, "base64"), inside
    elif value[:1] in ("{", "[") and (leaves := list(json_leaves(value.encode("utf-8", "replace")))):
        for leaf, text in leaves:
            at = _within(place, "json", *leaf.path)
            yield at, text
            if _is_address(text):
                yield from _url(at, text)
    elif 8 < len(value) <= _WORDS_IN_MAX and not value.isalnum():
        words = [word for word in _WORD.findall(value) if word != value and any(c.isdigit() for c in word)]
        for index, word in enumerate(words):
            yield _within(place, "word", index), word


def challenge_parameters(value: str) -> Iterator[tuple[str, int, int]]:
    """Name, start and end of what a server of RFC 7616 hands out and wants back: realm, nonce and opaque.

    A `nextnonce` is called a nonce. Only what is quoted, as the RFC has it.
    """
    for match in _PARAMETER.finditer(value):
        yield match[1].lower().removeprefix("next"), match.start(2), match.end(2)


def _within(place: Place, *steps: Step) -> Place:
    return Place(place.kind, place.path, (*place.inner, *steps))


def _is_address(value: str) -> bool:
    return value[:1] == "/" or value[:8].lower().startswith(("http://", "https://"))


def unpacked(value: str) -> str | None:
    """The text that a value is base64 of (either alphabet, padded or not); None where it is no base64 or no text."""
    if not 12 <= len(value) <= _VALUE_MAX or value[0] not in _BASE64_BEGINS or not _BASE64.match(value):
        return None
    try:
        text = binascii.a2b_base64((value + "=" * (-len(value) % 4)).translate(_STANDARD)).decode("utf-8")
    except (binascii.Error, ValueError):
        return None
    return text if text.isprintable() else None


def _url(place: Place, value: str) -> Iterator[tuple[Place, str]]:
    try:
        parts = urlsplit(value)
    except ValueError:
        return
    for index, segment in enumerate(parts.path.removeprefix("/").split("/")):
        if segment:
            segment = unquote(segment)
            yield _within(place, "path", index), segment
            # Not of JSON, of which only what requests carry is looked at, and whole words at least.
            if place.kind != "json" and (word_and_number := numbered(segment)) is not None:
                yield _within(place, "path", index, "number"), word_and_number[1]
    # A fragment with fields is how OAuth 2 hands a token to a script (RFC 6749 section 4.2.2).
    for way, fields in (("query", parts.query), ("fragment", parts.fragment if "=" in parts.fragment else "")):
        seen: dict[str, int] = {}
        for name, text in parse_qsl(fields, keep_blank_values=True, max_num_fields=None):
            nth = seen.get(name, 0)
            seen[name] = nth + 1
            yield _within(place, way, name, nth), text


def jwt_claims(value: str) -> dict[str, Any] | None:
    """The claims of a JSON Web Token (RFC 7519), its signature not looked at; None where it is not one."""
    match = _JWT.match(value) if value[:1] == "e" else None
    if match is None:
        return None
    try:
        claims = json.loads(base64.urlsafe_b64decode(match[1] + "=" * (-len(match[1]) % 4)))
    except (binascii.Error, ValueError, RecursionError):
        return None
    return claims if isinstance(claims, dict) else None
