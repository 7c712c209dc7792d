"""Session keys: what of a request says to whose visit it belongs, as `--session-key` spells it."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Literal, NamedTuple
from urllib.parse import unquote_plus

from capture.config import nearest
from capture.errors import UsageError
from capture.exchange import Headers, Request, header

__all__ = ["KeySpec", "SessionKey", "client_of", "cookie_value", "key_in", "key_of", "parse_specs", "query_value"]

_SPECS = ["client", "cookie:NAME", "header:NAME", "query:NAME", "traceparent"]
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z\[\]-]+")
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")
_SCHEMES = frozenset(("bearer", "token", "apikey", "jwt"))


class KeySpec(NamedTuple):
    """One `--session-key`. kind: as spelt, without the name; name: lower case for headers, "" where there is none."""

    kind: Literal["client", "cookie", "header", "query", "traceparent"]
    name: str = ""

    @property
    def label(self) -> str:
        """The spec as it is spelt; the `kind` of the session keys it finds."""
        return f"{self.kind}:{self.name}" if self.name else self.kind


class SessionKey(NamedTuple):
    """What was found: kind is the label of the spec, value the text that tells sessions apart."""

    kind: str
    value: str


def parse_specs(words: tuple[str, ...]) -> tuple[KeySpec, ...]:
    """The specs of the given words, in order; none means `client`. Raises UsageError for one that is not known."""
    specs = []
    for word in words or ("client",):
        kind, colon, name = word.partition(":")
        if kind in ("client", "traceparent") and not colon:
            specs.append(KeySpec(kind))  # type: ignore[arg-type]
        elif kind in ("cookie", "header", "query") and _NAME.fullmatch(name):
            specs.append(KeySpec(kind, name.lower() if kind == "header" else name))  # type: ignore[arg-type]
        else:
            raise UsageError(f"--session-key {word!r}: not a session key; {nearest(word, _SPECS)}")
    return tuple(specs)


def client_of(client: str) -> str:
    """The address in "ip", "ip:port" or "[ipv6]:port", without the port; "" stays ""."""
    if client.startswith("["):
        return client[1:].partition("]")[0]
    if client.count(":") == 1:
        return client.partition(":")[0]
    return client


def key_of(spec: KeySpec, request: Request) -> SessionKey | None:
    """The key that the request carries for a spec other than `client`, or None; an empty value is none."""
    value: str | None
    if spec.kind == "cookie":
        value = cookie_value(request.headers, spec.name)
    elif spec.kind == "header":
        value = header(request.headers, spec.name)
        if value is not None and spec.name == "authorization":
            value = without_scheme(value)
    elif spec.kind == "query":
        value = query_value(request.target, spec.name)
    else:
        match = _TRACEPARENT.match(header(request.headers, "traceparent") or "")
        value = match.group(1) if match else None
    return SessionKey(spec.label, value) if value else None


def key_in(spec: KeySpec) -> Callable[[bytes], SessionKey | None]:
    """What `key_of` finds, from the bytes of a head: a function for one spec other than `client`.

    The head is a well-formed one of HTTP/1; the key is the same as that of the request a parser makes of it.
    """
    label, name = spec.label, spec.name
    if spec.kind == "query":

        def in_target(head: bytes) -> SessionKey | None:
            target = head[: head.find(b"\r\n")].decode("latin-1").partition(" ")[2].rpartition(" ")[0]
            value = query_value(target, name)
            return SessionKey(label, value) if value else None

        return in_target
    field = name if spec.kind == "header" else spec.kind
    pattern = re.compile(rb"\n%b:[ \t]*([^\r\n]*)" % re.escape(field.encode()), re.IGNORECASE)
    if spec.kind == "header" and name != "authorization":
        search = pattern.search

        def in_header(head: bytes) -> SessionKey | None:
            match = search(head)
            value = match.group(1).decode("latin-1").rstrip(" \t") if match is not None else ""
            return SessionKey(label, value) if value else None

        return in_header

    def in_fields(head: bytes) -> SessionKey | None:
        values = pattern.findall(head)
        if not values:
            return None
        headers = tuple([(field, value.decode("latin-1").rstrip(" \t")) for value in values])
        return key_of(spec, Request("", "", "", headers))

    return in_fields


def without_scheme(value: str) -> str:
    """The token of `Authorization: Bearer TOKEN`, so that it equals the token of the response that handed it out."""
    scheme, space, token = value.partition(" ")
    return token.strip() if space and scheme.lower() in _SCHEMES else value


def cookie_value(headers: Headers, name: str) -> str | None:
    """The first value of the cookie of that name in the Cookie fields of a request (RFC 6265 section 5.4), or None."""
    for field, value in headers:
        if field.lower() == "cookie" and name in value:
            for pair in value.split(";"):
                found, equals, text = pair.partition("=")
                if equals and found.strip() == name:
                    return text.strip().strip('"')
    return None


def query_value(target: str, name: str) -> str | None:
    """The first value of the query field of that name in a request target, percent-decoded, or None."""
    query = target.partition("?")[2].partition("#")[0]
    if name not in query:
        return None
    for pair in query.split("&"):
        found, equals, text = pair.partition("=")
        if equals and unquote_plus(found) == name:
            return unquote_plus(text)
    return None
