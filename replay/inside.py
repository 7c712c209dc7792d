"""What a value has inside itself: the parts that a response may have supplied, and how to put others in their place."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator
from itertools import islice
from urllib.parse import unquote_plus

from replay.json_leaves import is_row, json_leaves
from replay.json_splice import splice_json, splice_row
from replay.place import Step
from replay.supply import challenge_parameters, unpacked

__all__ = ["parts_inside", "put_inside"]

_VALUE_MAX = 64 << 10
_PARTS_MAX = 500
_KEY_MIN = 8
_WORD = re.compile(r"[A-Za-z0-9_-]{8,}")
_RUN = re.compile(r"[A-Za-z0-9_.~+/=-]{8,}")
_UUID = re.compile(r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")
_SEGMENT = re.compile(r"(?<=/)[^/?#&\s\"'<>]+")
_FIELD = re.compile(r"(?<=[?&])([A-Za-z0-9_.\[\]-]+)=([^&#\s\"'<>]+)")
_NUMBERED = re.compile(r"(?<![\w.:/-])([A-Za-z]{2,40}?)(?:Node|Type)?:([0-9]{1,9})(?![\w.:-])")
"""`Order:17`, as the identifiers of Relay (GraphQL) are in base64, and `order:17`; no port and no time of day."""
_KEYED = re.compile(r"(?<![\w.:/-])([A-Za-z]{2,40})\(([0-9]{1,9})\)")
"""`Orders(17)`, as OData has it in its addresses."""
_JWT = re.compile(r"(e[A-Za-z0-9_-]{3,})\.([A-Za-z0-9_-]{4,})\.([A-Za-z0-9_-]*)\Z")


def parts_inside(value: str) -> Iterator[tuple[tuple[Step, ...], str, str]]:
    """(inner, text, name) of what stands inside a value; name: what it is called there, "" where that is not said.

    inner begins with "basic" (user and password of RFC 7617), "param" (what a server of RFC 7616 wants back), "jwt" or
    "signed" (claims of a token without or with a signature), "base64" (of JSON or of text), "json" (JSON inside a
    string) or "at" (a word, or a part of an address, from that character on). The same text may come several times by
    different ways; the widest first.
    """
    if not 8 <= len(value) <= _VALUE_MAX:
        return
    if value[:6].lower() == "basic ":
        text = _decoded(value[6:].strip())
        if text is not None and ":" in text:
            user, _, password = text.partition(":")
            yield ("basic", 0), user, "user"
            yield ("basic", 1), password, "password"
        return
    if value[:7].lower() == "digest ":
        for name, start, end in challenge_parameters(value):
            yield ("param", name), value[start:end], name
        return
    if value[:1] == "e" and (match := _JWT.match(value)) is not None:
        head, claims = _decoded(match[1]), _decoded(match[2])
        if head is not None and claims is not None:
            way = "jwt" if '"none"' in head.lower() and not match[3] else "signed"
            for place, text in json_leaves(claims.encode("utf-8", "replace")):
                yield (way, *place.path), text, _name(place.path)
        return
    if value[:1] in ("{", "["):
        for place, text in json_leaves(value.encode("utf-8", "replace")):
            yield ("json", *place.path), text, _name(place.path)
    elif (text_inside := unpacked(value)) is not None:
        if text_inside[:1] == "{":
            for place, text in json_leaves(text_inside.encode("utf-8", "replace")):
                yield ("base64", "json", *place.path), text, _name(place.path)
        else:
            user, colon, key = text_inside.partition(":")
            if colon and len(key) >= _KEY_MIN:
                yield ("base64", "at", len(user) + 1), key, "password"  # as in Basic, under a header of another name
            yield from ((("base64", *inner), text, name) for inner, text, name in _words(text_inside))
    yield from _words(value)


def _name(path: tuple[Step, ...]) -> str:
    return next((step for step in reversed(path) if isinstance(step, str)), "")


def _words(value: str) -> Iterator[tuple[tuple[Step, ...], str, str]]:
    """Addresses' segments and fields, and runs of characters that ids and tokens are made of."""
    left = _PARTS_MAX
    seen: set[tuple[int, int]] = set()
    if "/" in value:
        before = ""
        for match in _SEGMENT.finditer(value):
            seen.add(match.span())
            yield ("at", match.start()), match[0], before
            before = match[0]
            left -= 1
        for match in _FIELD.finditer(value):
            seen.add(match.span(2))
            yield ("at", match.start(2)), unquote_plus(match[2]), match[1]
            left -= 1
    if ":" in value:
        for match in islice(_NUMBERED.finditer(value), left):
            yield ("at", match.start(2)), match[2], match[1]
    if "(" in value:
        for match in islice(_KEYED.finditer(value), left):
            yield ("at", match.start(2)), match[2], match[1]
    for pattern in (_RUN, _UUID, _WORD):
        for match in pattern.finditer(value):
            if match.span() in seen or left <= 0 or match.span() == (0, len(value)):
                continue
            seen.add(match.span())
            left -= 1
            yield ("at", match.start()), match[0], ""


def put_inside(value: str, changes: list[tuple[tuple[Step, ...], str, str]]) -> str | None:
    """The value with other texts inside: (inner, the text there now, the one to put there).

    None where that cannot be done: the claims of a JSON Web Token whose signature is not ours to make (RFC 7515).
    """
    by_way: dict[str, list[tuple[tuple[Step, ...], str, str]]] = {}
    for inner, old, new in changes:
        by_way.setdefault(str(inner[0]), []).append((inner[1:], old, new))
    # What is said to stand at a character stands there as long as nothing else has changed.
    for way, items in sorted(by_way.items(), key=lambda item: item[0] != "at"):
        changed = _WAYS[way](value, items)
        if changed is None:
            return None
        value = changed
    return value


def _at(value: str, items: list[tuple[tuple[Step, ...], str, str]]) -> str | None:
    taken: list[tuple[int, int, str]] = []
    for (start, *_), old, new in sorted(items, key=lambda item: len(item[1]), reverse=True):
        begin = int(start)
        end = begin + len(old)
        if value[begin:end] != old or any(begin < upto and since < end for since, upto, _ in taken):
            continue  # is written otherwise there, or stands inside a wider part that is replaced
        taken.append((begin, end, new))
    for begin, end, new in sorted(taken, reverse=True):
        value = value[:begin] + new + value[end:]
    return value


def _basic(value: str, items: list[tuple[tuple[Step, ...], str, str]]) -> str | None:
    text = _decoded(value[6:].strip())
    if text is None:
        return None
    parts = list(text.partition(":")[::2])
    for (index, *_), _, new in items:
        parts[int(index)] = new
    encoded = base64.b64encode(":".join(parts).encode("utf-8", "surrogateescape")).decode()
    return value[:6] + encoded


def _param(value: str, items: list[tuple[tuple[Step, ...], str, str]]) -> str | None:
    changes = {str(name): (old, new) for (name, *_), old, new in items}
    for name, start, end in reversed(list(challenge_parameters(value))):
        if name in changes and value[start:end] == changes[name][0]:
            value = value[:start] + changes[name][1].replace('"', "") + value[end:]
    return value


def _json(value: str, items: list[tuple[tuple[Step, ...], str, str]]) -> str | None:
    values = {path: new for path, _, new in items}
    if is_row("", data := value.encode("utf-8", "surrogateescape")):
        return splice_row(data, values).decode("utf-8", "surrogateescape")
    return splice_json(value, values)


def _base64(value: str, items: list[tuple[tuple[Step, ...], str, str]]) -> str | None:
    text = unpacked(value)
    changed = None if text is None else put_inside(text, items)
    if changed is None:
        return None
    data = changed.encode("utf-8", "surrogateescape")
    urlsafe = bool(set("-_") & set(value)) or ("=" not in value and not set("+/") & set(value))
    encoded = (base64.urlsafe_b64encode(data) if urlsafe else base64.b64encode(data)).decode()
    return encoded if "=" in value or len(value) % 4 == 0 else encoded.rstrip("=")


def _jwt(value: str, items: list[tuple[tuple[Step, ...], str, str]]) -> str | None:
    """A token without a signature (RFC 7519 section 6) is made anew."""
    match = _JWT.match(value)
    claims = None if match is None else _decoded(match[2])
    if match is None or claims is None:
        return None
    changed = splice_json(claims, {path: new for path, _, new in items}).encode("utf-8", "surrogateescape")
    return f"{match[1]}.{base64.urlsafe_b64encode(changed).decode().rstrip('=')}."


def _decoded(text: str) -> str | None:
    alphabet = b"-_" if set("-_") & set(text) else None
    try:
        data = base64.b64decode(text + "=" * (-len(text) % 4), altchars=alphabet)
    except (binascii.Error, ValueError):
        return None
    return data.decode("utf-8", "surrogateescape")


def _signed(_value: str, _items: list[tuple[tuple[Step, ...], str, str]]) -> str | None:
    return None


_WAYS = {"at": _at, "basic": _basic, "param": _param, "json": _json, "base64": _base64, "jwt": _jwt, "signed": _signed}
