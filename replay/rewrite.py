"""The documented changes that a recorded request undergoes before it is sent: Host, framing, marker, trace."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from capture.exchange import Exchange, Headers, Request
from replay.coding import encode_body
from replay.row import HOP_BY_HOP, MARKER

__all__ = ["Template", "body_was_decoded", "template"]

_KINDS = {
    "host": "host",
    "transfer-encoding": "chunked",
    "content-length": "length",
    "traceparent": "traceparent",
}


_STILL_CODED = "request_transfer_coding"
"""Why a capture calls an exchange incomplete whose request has a transfer coding that it does not undo."""


class Template:
    """A recorded request made ready for sending, but for what differs between builds.

    request: with hop-by-hop headers removed and framing that fits the body. host: index of its Host header.
    traceparent: index of its traceparent header, -1 where it is to be appended.
    """

    __slots__ = ("host", "recorded_trace", "request", "traceparent")

    def __init__(self, request: Request, host: int, traceparent: int) -> None:
        self.request = request
        self.recorded_trace = request.headers[traceparent][1] if traceparent >= 0 else None
        self.host = host
        self.traceparent = traceparent

    def for_build(
        self, authority: str | None, marker: str, traceparent: str, injected: Mapping[str, str], request: Request | None
    ) -> Request:
        """The request as one build gets it.

        authority: for Host, None keeps the recorded one. injected: headers by name, in place of recorded ones of that
        name or after all others. request: the template's request with values bound, None where none were; it must
        have as many headers.
        """
        base = request if request is not None else self.request
        headers = list(base.headers)
        if authority is not None:
            headers[self.host] = (headers[self.host][0], authority)
        if self.traceparent >= 0:
            headers[self.traceparent] = (headers[self.traceparent][0], traceparent)
        else:
            headers.append(("traceparent", traceparent))
        headers.append((MARKER, marker))
        if injected:
            headers = _inject(headers, injected)
        return Request(
            base.method, base.target, base.version, tuple(headers), base.body, base.body_bytes, False, base.trailers
        )


def template(exchange: Exchange) -> Template:
    """Everything that is the same for all builds. Pure; the exchange must have no reason to be skipped."""
    request = exchange.request
    body = request.body or b""
    removed: frozenset[str] = frozenset()
    chunked = False
    headers: list[tuple[str, str]] = []
    host = traceparent = length = -1
    for pair in request.headers:
        kind = _kind(pair[0])
        if not kind:
            headers.append(pair)
        elif kind == "host":
            if host < 0:
                host = len(headers)
            headers.append(pair)
        elif kind == "hop":
            if pair[0].lower() == "connection":
                removed = removed | _named(pair[1])
        elif kind == "chunked":
            chunked = True
            headers.append(pair)
        elif kind == "length":
            if length < 0:
                length = len(headers)
                headers.append(pair)
        else:
            traceparent = len(headers)
            headers.append(pair)
    if chunked:
        headers = _ending_chunked(headers, exchange.incomplete_reason == _STILL_CODED)
        host, length, traceparent = (
            _find(headers, "host"),
            _find(headers, "content-length"),
            _find(headers, "traceparent"),
        )
    version = request.version
    plain = version in ("HTTP/1.1", "HTTP/1.0")
    if removed or exchange.notes or not plain:
        headers = [pair for pair in headers if pair[0].lower() not in removed]
        body, headers = _encoded_again(exchange, body, headers)
        if not plain:
            version = "HTTP/1.1"
            headers = _joined_cookies(headers)
            chunked = chunked and request.version.startswith("HTTP/1")
        host, length, traceparent = (
            _find(headers, "host"),
            _find(headers, "content-length"),
            _find(headers, "traceparent"),
        )
    if body or chunked or length >= 0:
        headers = _framed(headers, body, chunked)
        host, traceparent = _find(headers, "host"), _find(headers, "traceparent")
    if host < 0:
        headers.insert(0, ("Host", _authority(request.headers)))
        host, traceparent = 0, _find(headers, "traceparent")
    ready = Request(request.method, request.target, version, tuple(headers), body, len(body), False, request.trailers)
    return Template(ready, host, traceparent)


@lru_cache(maxsize=4096)
def _kind(name: str) -> str:
    """What a header is to the rewriting: "" for most, which pass as they are."""
    lower = name.lower()
    if lower in HOP_BY_HOP or lower[:1] == ":":
        return "hop"
    return _KINDS.get(lower, "")


@lru_cache(maxsize=256)
def _named(connection: str) -> frozenset[str]:
    """The headers that a Connection header names, but those that a request cannot do without."""
    return frozenset(token.strip().lower() for token in connection.split(",")) - {
        "host",
        "cookie",
        "keep-alive",
        "close",
    }


def body_was_decoded(exchange: Exchange, side: str) -> bool:
    """True where redaction took the content coding off the body of that side, "request" or "response"."""
    return bool(exchange.notes) and any(note.startswith(f"{side} body decoded") for note in exchange.notes)


def _find(headers: list[tuple[str, str]], name: str) -> int:
    return next((index for index, (key, _) in enumerate(headers) if key.lower() == name), -1)


def _authority(headers: Headers) -> str:
    return next((value for name, value in headers if name.lower() in (":authority", "host")), "localhost")


def _inject(headers: list[tuple[str, str]], injected: Mapping[str, str]) -> list[tuple[str, str]]:
    for name, value in injected.items():
        index = _find(headers, name.lower())
        if index < 0:
            headers.append((name, value))
            continue
        lower = name.lower()
        headers = [pair for at, pair in enumerate(headers) if at == index or pair[0].lower() != lower]
        headers[index] = (headers[index][0], value)
    return headers


def _encoded_again(
    exchange: Exchange, body: bytes, headers: list[tuple[str, str]]
) -> tuple[bytes, list[tuple[str, str]]]:
    """Where redaction decoded the body to look into it, encode it again, or say that it is not encoded."""
    if not body_was_decoded(exchange, "request"):
        return body, headers
    at = _find(headers, "content-encoding")
    if at < 0:
        return body, headers
    again = encode_body(body, headers[at][1])
    if again is None:
        return body, headers[:at] + headers[at + 1 :]
    return again, headers


def _ending_chunked(headers: list[tuple[str, str]], coded: bool) -> list[tuple[str, str]]:
    """Transfer-Encoding as it was where it is chunked, or the body still has the codings before; else chunked alone."""
    values = ",".join(value for name, value in headers if name.lower() == "transfer-encoding")
    before, _, last = values.rpartition(",")
    if last.strip(" \t").lower() == "chunked" and (coded or not before):
        return headers
    at = _find(headers, "transfer-encoding")
    kept = [pair for index, pair in enumerate(headers) if index <= at or pair[0].lower() != "transfer-encoding"]
    kept[at] = (kept[at][0], "chunked")
    return kept


def _joined_cookies(headers: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """HTTP/2 may split Cookie into several fields; HTTP/1.1 has one (RFC 9113 section 8.2.3)."""
    crumbs = [value for name, value in headers if name.lower() == "cookie"]
    if len(crumbs) < 2:
        return headers
    at = _find(headers, "cookie")
    rest = [pair for pair in headers if pair[0].lower() != "cookie"]
    rest.insert(at, (headers[at][0], "; ".join(crumbs)))
    return rest


def _framed(headers: list[tuple[str, str]], body: bytes, chunked: bool) -> list[tuple[str, str]]:
    """Content-Length that fits the body, or none beside Transfer-Encoding (RFC 9112 section 6.2)."""
    at = _find(headers, "content-length")
    if chunked:
        return headers if at < 0 else [pair for pair in headers if pair[0].lower() != "content-length"]
    if at >= 0:
        if headers[at][1] != str(len(body)):
            headers[at] = (headers[at][0], str(len(body)))
    elif body:
        headers.append(("Content-Length", str(len(body))))
    return headers
