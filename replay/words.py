"""What a value is called, where an answer gives it and where a request carries it: names as they compare."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache

from capture.exchange import Exchange
from replay.multipart import addressed
from replay.place import Place, innermost

__all__ = [
    "GENERIC",
    "NOT_PASSED_ON",
    "around_of",
    "identifies",
    "is_unnamed",
    "numbered",
    "things_of_request",
    "things_of_supply",
    "words_of",
    "words_of_request",
    "words_of_supply",
]

_NOT_A_WORD = re.compile(r"[^a-z0-9]")
_CONDITIONS = {
    "if-match": "etag",
    "if-none-match": "etag",
    "if-modified-since": "last-modified",
    "if-unmodified-since": "last-modified",
}
"""Headers that carry what a response called otherwise (RFC 9110 section 13.1)."""
GENERIC = frozenset(
    ("id", "key", "uuid", "guid", "value", "href", "url", "self", "ref", "number", "no", "data", "result")
)

NOT_PASSED_ON = frozenset(
    (
        "type", "kind", "format", "status", "mode", "level", "priority", "role", "visibility", "theme", "color",
        "lang", "language", "locale", "currency", "country", "encoding", "contenttype", "mimetype", "sort", "direction",
        "quantity", "qty", "amount", "price", "count", "page", "perpage", "limit", "size", "width", "height", "year",
    )
)  # fmt: skip
"""What holds one of a few words, or an amount: that a response had the same under this name says nothing."""


_IDENTIFIES = re.compile(
    r"(?i)(?:id|ids|uuid|guid|key|keys|ref|refs|reference|code|slug|token|handle|cursor|etag|nonce|parent|owner"
    r"|user|customer|account|session|login|username)\Z"
)
_CONTAINERS = frozenset(
    (
        "item", "data", "result", "list", "row", "entry", "record", "attribute", "value", "variable", "input", "node",
        "edge", "field", "param", "body", "payload", "object", "response", "request", "page",
    )
)  # fmt: skip
"""What the object is in that holds all others: that two documents have it says nothing."""


_NUMBERED = re.compile(r"([A-Za-z]{2,40})[-_]?([0-9]{1,9})\Z")
_ENDS_WITH_A_DIGIT = frozenset(
    ("oauth", "api", "http", "html", "web", "ipv", "sha", "base", "utf", "mp", "css", "version", "ver", "rev", "level")
)
"""Words that are followed by a digit and then name no thing: `oauth2`, `base64`."""


def numbered(segment: str) -> tuple[str, str] | None:
    """Word and number of a segment of an address that is both, as `issue10` and `order-17`; None of all others."""
    match = _NUMBERED.match(segment)
    if match is None or not words_of(match[1]).isdisjoint(NOT_PASSED_ON | _ENDS_WITH_A_DIGIT):
        return None
    return match[1], match[2]


def _words_of_numbered(segment: str) -> frozenset[str]:
    return frozenset() if (parts := numbered(segment)) is None else words_of(parts[0]) - GENERIC


@lru_cache(maxsize=4096)
def _words_of_collection(segment: str) -> frozenset[str]:
    """What the segment before says of the next one; of `pages` that it is one of many, which `page` does not say."""
    words = words_of(segment) - GENERIC
    weak = words & NOT_PASSED_ON
    if not weak or _NOT_A_WORD.sub("", segment.lower()) in weak:
        return words
    return (words - weak) | {f"{word}id" for word in weak}


def is_unnamed(place: Place) -> bool:
    """True where no word says what stands at a place: a field of protobuf, or under a key that is a number."""
    kind = innermost(place).kind
    return kind == "protobuf" or (kind == "json" and any(name.isdigit() for name in place.names()[:1]))


def identifies(place: Place) -> bool:
    """True where a place by itself says that what stands there is one of many things.

    In a path, a cookie, a header or credentials; else by what it is called.
    """
    if innermost(place).kind in ("path", "cookie", "header") or place.inner[:1] == ("basic",):
        return True
    names = place.names()
    return bool(names) and _IDENTIFIES.search(names[0] if names[0] != "at" else names[-1]) is not None


@lru_cache(maxsize=4096)
def words_of(name: str) -> frozenset[str]:
    """A name as it compares: lower case, letters and digits, singular, without a trailing "id"."""
    lower = name.lower()
    plain = _NOT_A_WORD.sub("", _CONDITIONS.get(lower, lower).removeprefix("x-"))
    if not plain or plain.isdigit():
        return frozenset()  # a key that is a number, as in compact MessagePack and CBOR: it says nothing by itself
    forms = {plain}
    for ending in ("ids", "id", "uuid", "number", "token", "key"):
        if plain.endswith(ending) and len(plain) > len(ending) + 1:
            forms.add(plain[: -len(ending)])
    for form in list(forms):
        if form.endswith("ies"):
            forms.add(form[:-3] + "y")
        elif form.endswith("es") and len(form) > 4:
            forms.add(form[:-2])
        if form.endswith("s") and len(form) > 3:
            forms.add(form[:-1])
    return frozenset(forms)


def words_of_supply(place: Place, around: frozenset[str], values: Mapping[Place, str]) -> frozenset[str]:
    """What a value is called where it was supplied; for a generic name, what it is the id of; in a URL what is before.

    values: all that this response supplied.
    """
    if not place.inner and place.path:
        last = next(reversed(innermost(place).path), None)
        if isinstance(last, str) and last.lower() not in GENERIC:
            return words_of(last)  # the usual leaf of a document: its key says it
    if place.inner[-2:-1] == ("path",) and isinstance(last := place.inner[-1], int):
        before = values.get(place._replace(inner=(*place.inner[:-1], last - 1)), "")
        static = frozenset() if any(c.isdigit() for c in before) else words_of(before) - GENERIC
        return (static or around) | _words_of_numbered(values.get(place, ""))
    if place.inner[-1:] == ("number",) and place.inner[-3:-2] == ("path",):
        return _words_of_numbered(values.get(place._replace(inner=place.inner[:-1]), ""))
    return _words_of_place(place, around)


def things_of_supply(place: Place, around: frozenset[str]) -> frozenset[str]:
    """Of what an answer says something at a place: what is around it there, and what was asked for.

    Of a field of a form, and of a link that an answer gives, that is no matter: they are sent as they are.
    """
    if innermost(place).kind in ("html", "header") or "query" in place.inner:
        return _ANYTHING
    return around | _objects(place)


def things_of_request(exchange: Exchange, place: Place) -> frozenset[str]:
    """Of what a request says something at a place: what is around it there, and the words of the path."""
    return _ANYTHING | _objects(place) | _static_words(_target(exchange, place))


_ANYTHING = frozenset(("",))


@lru_cache(maxsize=1 << 14)
def _objects(place: Place) -> frozenset[str]:
    found: frozenset[str] = frozenset()
    for name in place.names()[1:]:
        words = words_of(name)
        if words.isdisjoint(_CONTAINERS):
            found |= words
    return found


@lru_cache(maxsize=4096)
def _static_words(target: str) -> frozenset[str]:
    segments = target.partition("?")[0].split("/")
    return frozenset().union(*(words_of(segment) for segment in segments if not any(c.isdigit() for c in segment)))


@lru_cache(maxsize=1 << 14)
def _words_of_place(place: Place, around: frozenset[str]) -> frozenset[str]:
    names = place.names()
    if not names:
        return around
    words = words_of(names[0])
    if names[0].lower() in GENERIC:
        return words - GENERIC | (words_of(names[1]) if len(names) > 1 else frozenset()) | around
    return words


@lru_cache(maxsize=4096)
def around_of(target: str) -> frozenset[str]:
    """What a response is about: the last word of the path; of /users/me and /users/search the one before it, too."""
    path = target.partition("?")[0]
    words = words_of(_last_static(path))
    segments = [segment for segment in path.split("/") if segment]
    if len(segments) > 1 and not any(c.isdigit() for c in segments[-1] + segments[-2]):
        words |= words_of(segments[-2])
    return words


def words_of_request(exchange: Exchange, place: Place) -> frozenset[str]:
    """What the value is called where it is carried; in a path, the segment before it."""
    target = _target(exchange, place)
    place = innermost(place)
    if place.kind == "path":
        segments = target.partition("?")[0].split("/")[1:]
        index = int(place.path[0])
        before = _words_of_collection(segments[index - 1]) if 0 < index <= len(segments) else frozenset()
        return before | _words_of_numbered(segments[index]) if index < len(segments) else before
    names = place.names()
    if not names:
        return frozenset()
    if names[0].lower() in GENERIC:
        return words_of(names[1]) if len(names) > 1 else words_of(_last_static(target))
    return words_of(names[0])


def _target(exchange: Exchange, place: Place) -> str:
    """The target of the request that a place belongs to, also within a batch."""
    return exchange.request.target if place.kind != "multipart" else addressed(exchange.request, place)[1]


@lru_cache(maxsize=4096)
def _last_static(target: str) -> str:
    """The last segment of a path that is a word and not an identifier."""
    for segment in reversed(target.partition("?")[0].split("/")):
        if segment and not any(c.isdigit() for c in segment) and len(segment) < 40:
            return segment
    return ""
