"""Exchanges through the redactor, and everything of them that reaches the disk."""

from __future__ import annotations

import base64
import gzip
import json
import sys
import zlib
from urllib.parse import quote, quote_plus

import brotli
import msgspec

from capture.exchange import Exchange, Headers, Request, Response, Times
from capture.pipeline import pipeline_from_config
from capture.settings import CaptureConfig, RedactConfig

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

__all__ = ["FORM", "JSON", "JWT", "KEY", "MAIL", "TEXT", "S", "answered", "asked", "spellings", "through", "written"]

KEY = CaptureConfig(redaction_key="0123456789abcdef0123456789abcdef", session_key=("cookie:sid",))
S = "Zq8xW3vK7mP2"
JWT = (
    "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiI5OTg4Nzc2NiIsIm4iOiJKb2huIERvZSJ9.SflKxwRJSMeKKF2QT4fwpMeJf36POk6y"
)
MAIL = "anna.secret@example.com"
JSON = ("Content-Type", "application/json")
TEXT = ("Content-Type", "text/plain")
FORM = ("Content-Type", "application/x-www-form-urlencoded")


def asked(target: str = "/", *headers: tuple[str, str], body: bytes | str | dict[str, object] = b"") -> Request:
    data = json.dumps(body).encode() if isinstance(body, dict) else body.encode() if isinstance(body, str) else body
    return Request("POST" if data else "GET", target, "HTTP/1.1", headers, data, len(data))


def answered(
    *headers: tuple[str, str], body: bytes | str | dict[str, object] = b"", trailers: Headers = ()
) -> Response:
    data = json.dumps(body).encode() if isinstance(body, dict) else body.encode() if isinstance(body, str) else body
    return Response(200, "OK", "HTTP/1.1", headers, data, len(data), trailers=trailers)


def through(request: Request, response: Response | None = None, **rules: object) -> Exchange:
    """The record that the pipeline hands to the log."""
    taken: list[Exchange] = []
    pipeline = pipeline_from_config(KEY, RedactConfig(**rules), taken.append)  # type: ignore[arg-type]
    decision = pipeline.begin(request, "10.0.0.1", 1)
    assert decision is not None
    pipeline.finish(Exchange("", "", "relay", 1.0, request, response, Times(1)), decision)
    assert pipeline.counts.kept == 1, pipeline.counts.line()
    return taken[0]


def spellings(secret: str) -> set[bytes]:
    """The ways in which a secret could be written on disk."""
    coded = base64.b64encode(secret.encode()).decode()
    forms = {secret, quote(secret, safe=""), quote_plus(secret), quote(secret), json.dumps(secret)[1:-1]}
    forms |= {coded, coded.rstrip("="), coded.replace("+", "-").replace("/", "_")}
    return {form.encode() for form in forms} | {secret.encode("utf-16-le")}


def written(exchange: Exchange) -> bytes:
    """Everything that reaches the disk, bodies also decoded."""
    parts = [msgspec.msgpack.encode(exchange)]
    for message in (exchange.request, exchange.response):
        if message is not None and message.body:
            for decode in (gzip.decompress, zlib.decompress, brotli.decompress, zstd.decompress):
                try:
                    parts.append(decode(message.body))
                except (OSError, zlib.error, brotli.error, zstd.ZstdError, EOFError):
                    continue
    return b"\n".join(parts)
