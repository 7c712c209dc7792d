"""One exchange as one line of JSON, as docs/manual.md gives it, and back again."""

from __future__ import annotations

import base64
import binascii
from typing import Any

import msgspec

from capture.clock import parse_rfc3339, rfc3339
from capture.exchange import Exchange, Headers, Request, Response, Times
from capture.log.text import quiet_json

__all__ = ["LineError", "exchange_of", "line_of", "object_of"]

_ENCODER = msgspec.json.Encoder()


class LineError(ValueError):
    """The line is not an exchange; the message says what is wrong with it."""


def _body(body: bytes | None) -> str | None:
    return None if body is None else base64.b64encode(body).decode("ascii")


def object_of(exchange: Exchange) -> dict[str, Any]:
    """The contract's object; keys after `redacted` are additions that a reader may ignore."""
    request, response, times = exchange.request, exchange.response, exchange.times
    return {
        "id": exchange.id,
        "session": exchange.session,
        "source": exchange.source,
        "at": rfc3339(times.request_start),
        "kept_with": exchange.kept_with,
        "request": {
            "method": request.method,
            "target": request.target,
            "version": request.version,
            "headers": request.headers,
            "body_bytes": request.body_bytes,
            "body": _body(request.body),
            "truncated": request.truncated,
            "trailers": request.trailers,
        },
        "response": None
        if response is None
        else {
            "status": response.status,
            "reason": response.reason,
            "version": response.version,
            "headers": response.headers,
            "body_bytes": response.body_bytes,
            "body": _body(response.body),
            "truncated": response.truncated,
            "trailers": response.trailers,
        },
        "times_ns": {
            "request_start": times.request_start,
            "request_end": times.request_end,
            "response_start": times.response_start,
            "response_end": times.response_end,
            **({} if times.left is None else {"left": times.left}),
        },
        "complete": exchange.complete,
        "incomplete_reason": exchange.incomplete_reason,
        "redacted": exchange.redacted,
        "connection": exchange.connection,
        "server": exchange.server,
        "scheme": exchange.scheme,
        "notes": exchange.notes,
    }


def line_of(exchange: Exchange) -> bytes:
    """The line, with its line feed. It is UTF-8; a header byte above 127 stands as the code point that it maps to."""
    return quiet_json(_ENCODER.encode(object_of(exchange))) + b"\n"


class _Message(msgspec.Struct):
    headers: Headers = ()
    version: str = "HTTP/1.1"
    body_bytes: int | None = None
    body: str | None = None
    truncated: bool = False
    trailers: Headers = ()


class _Request(_Message, kw_only=True):
    method: str
    target: str


class _Response(_Message, kw_only=True):
    status: int
    reason: str = ""


class _Times(msgspec.Struct):
    request_start: int
    request_end: int | None = None
    response_start: int | None = None
    response_end: int | None = None
    left: int | None = None


class _Line(msgspec.Struct, kw_only=True):
    request: _Request
    response: _Response | None = None
    id: str = ""
    session: str = ""
    source: str = "jsonl"
    at: str | None = None
    kept_with: float = 1.0
    times_ns: _Times | None = None
    incomplete_reason: str | None = None
    redacted: tuple[str, ...] = ()
    connection: int = -1
    server: str = ""
    scheme: str = "http"
    notes: tuple[str, ...] = ()


_DECODER = msgspec.json.Decoder(_Line)


def _bytes(message: _Message) -> tuple[bytes | None, int]:
    if message.body is None:
        return None, message.body_bytes or 0
    try:
        body = base64.b64decode(message.body, validate=True)
    except binascii.Error as error:
        raise LineError(f"the body is not base64: {error}") from None
    return body, len(body) if message.body_bytes is None else message.body_bytes


def _on_the_wire(*texts: str) -> None:
    for text in texts:
        if not text.isascii():
            try:
                text.encode("latin-1")
            except UnicodeEncodeError:
                raise LineError(f"{text[:40]!r} has characters above U+00FF, which are no bytes of a message") from None


def exchange_of(line: bytes) -> Exchange:
    """The exchange of a line; only request.method and request.target, and a time, must be there. Raises LineError."""
    try:
        read = _DECODER.decode(line)
    except (msgspec.DecodeError, RecursionError) as error:
        raise LineError(str(error)) from None
    request, response = read.request, read.response
    if not 0 < read.kept_with <= 1:
        raise LineError(f"kept_with must be in (0, 1], found {read.kept_with}")
    if read.times_ns is not None:
        times = Times(*msgspec.structs.astuple(read.times_ns))
    elif read.at is not None:
        try:
            times = Times(parse_rfc3339(read.at))
        except ValueError as error:
            raise LineError(str(error)) from None
    else:
        raise LineError("neither `times_ns` nor `at` is there")
    for message in (request, response):
        if message is not None:
            _on_the_wire(message.version, *(text for pair in (*message.headers, *message.trailers) for text in pair))
    _on_the_wire(request.method, request.target, "" if response is None else response.reason)
    body, body_bytes = _bytes(request)
    sent = Request(
        request.method, request.target, request.version, request.headers, body, body_bytes, request.truncated,
        request.trailers,
    )  # fmt: skip
    answered = None
    if response is not None:
        body, body_bytes = _bytes(response)
        answered = Response(
            response.status, response.reason, response.version, response.headers, body, body_bytes,
            response.truncated, response.trailers,
        )  # fmt: skip
    return Exchange(
        read.id, read.session, read.source, read.kept_with, sent, answered, times, read.incomplete_reason,
        read.redacted, read.connection, read.server, read.scheme, read.notes,
    )  # fmt: skip
