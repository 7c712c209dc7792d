"""HAR 1.2, readable by browsers' tools: bodies after content decoding, as text where they are text, else base64."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import parse_qsl

import msgspec

from capture.clock import rfc3339
from capture.exchange import Exchange, Headers, Request, Response, header
from capture.log.text import quiet_json
from capture.redact.coding import codings_of, decode

__all__ = ["entry_of", "origin_of", "url_of", "write"]

_ENCODER = msgspec.json.Encoder()
_DECODED_BYTES_MAX = 64 << 20


def url_of(exchange: Exchange) -> str:
    """The absolute address of the request, by its Host or the server it was captured from.

    Bytes of the target that no address may have (UTF-8 as it is) are percent-encoded (RFC 3986, section 2.1).
    """
    target = "".join(c if "!" <= c <= "~" else f"%{ord(c):02X}" for c in exchange.request.target)
    if "://" in target.partition("?")[0]:
        return target
    return f"{origin_of(exchange)}{target if target.startswith('/') else '/' + target}"


def origin_of(exchange: Exchange) -> str:
    """Scheme and authority of the request, by its Host or the server it was captured from."""
    return f"{exchange.scheme}://{header(exchange.request.headers, 'host') or exchange.server or 'unknown'}"


def _text(body: bytes, content_type: str) -> str | None:
    """The body as text, None where it is none or a reader would not get the same bytes back."""
    if b"\0" in body or "charset" in content_type.lower().replace("charset=utf-8", "").replace('charset="utf-8"', ""):
        return None
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError:
        return None


def _fields(headers: Headers) -> list[dict[str, str]]:
    return [{"name": name, "value": value} for name, value in headers]


def _ms(later_ns: int | None, earlier_ns: int | None) -> float:
    """Milliseconds between, -1 where one of them is not known, as HAR says it."""
    return -1 if later_ns is None or earlier_ns is None else max(0, later_ns - earlier_ns) / 1_000_000


def entry_of(exchange: Exchange) -> dict[str, Any]:
    """One HAR entry; names that begin with an underscore are ours, as HAR provides for."""
    times = exchange.times
    sent, first = times.request_end, times.response_start
    end = times.response_end if times.response_end is not None else times.left
    total = _ms(end, times.request_start)
    entry: dict[str, Any] = {
        "startedDateTime": rfc3339(times.request_start),
        "time": max(total, 0),
        "request": _request(exchange),
        "response": _response(exchange.response),
        "cache": {},
        "timings": {
            "blocked": -1,
            "dns": -1,
            "connect": -1,
            "send": max(0, _ms(sent, times.request_start)),
            "wait": max(0, _ms(first, sent if sent is not None else times.request_start)),
            "receive": max(0, _ms(end, first)),
        },
        "_id": exchange.id,
        "_session": exchange.session,
        "_source": exchange.source,
        "_keptWith": exchange.kept_with,
    }
    if exchange.connection >= 0:
        entry["connection"] = str(exchange.connection)
    if exchange.incomplete_reason is not None:
        entry["comment"] = f"incomplete: {exchange.incomplete_reason}"
        if times.left is not None and exchange.response is not None:
            entry["response"]["_error"] = "left by the client"
    return entry


def _request(exchange: Exchange) -> dict[str, Any]:
    request = exchange.request
    query = request.target.partition("?")[2]
    made: dict[str, Any] = {
        "method": request.method,
        "url": url_of(exchange),
        "httpVersion": request.version,
        "cookies": _cookies(request.headers),
        "headers": _fields(request.headers),
        "queryString": [{"name": name, "value": value} for name, value in parse_qsl(query, keep_blank_values=True)],
        "headersSize": -1,
        "bodySize": request.body_bytes,
    }
    if request.body:
        kind = header(request.headers, "content-type") or ""
        text = _text(request.body, kind)
        made["postData"] = {"mimeType": kind, "text": text if text is not None else _base64(request.body)}
        if text is None:
            made["postData"]["encoding"] = "base64"  # not in HAR 1.2, which has no way to say it; several tools do
    return made


def _cookies(headers: Headers) -> list[dict[str, str]]:
    pairs = [
        pair.strip().partition("=") for name, value in headers if name.lower() == "cookie" for pair in value.split(";")
    ]
    return [{"name": name, "value": value} for name, _, value in pairs if name]


def _base64(body: bytes) -> str:
    return base64.b64encode(body).decode("ascii")


def _response(response: Response | None) -> dict[str, Any]:
    if response is None:
        response = Response(0, "", "unknown", ())
    kind = header(response.headers, "content-type") or ""
    content: dict[str, Any] = {"size": response.body_bytes, "mimeType": kind or "x-unknown"}
    if response.body is not None:
        body, coded = _decoded(response)
        text = _text(body, kind)
        content["size"] = len(body)
        content["text"] = text if text is not None else _base64(body)
        if text is None:
            content["encoding"] = "base64"
        if coded:
            content["comment"] = "the body could not be decoded and is as it was sent"
    location = header(response.headers, "location")
    return {
        "status": response.status,
        "statusText": response.reason,
        "httpVersion": response.version,
        "cookies": _set_cookies(response.headers),
        "headers": _fields(response.headers),
        "content": content,
        "redirectURL": location or "",
        "headersSize": -1,
        "bodySize": response.body_bytes,
    }


def _set_cookies(headers: Headers) -> list[dict[str, str]]:
    pairs = [value.partition(";")[0].partition("=") for name, value in headers if name.lower() == "set-cookie"]
    return [{"name": name.strip(), "value": value.strip()} for name, _, value in pairs if name.strip()]


def _decoded(response: Response) -> tuple[bytes, bool]:
    """(body after content decoding, False) or (body as it was sent, True)."""
    body = response.body or b""
    codings = codings_of(response.headers)
    if not codings or not body:
        return body, False
    done = decode(body, codings, _DECODED_BYTES_MAX)
    return (done.body, False) if done.body is not None and done.whole else (body, True)


def write(exchanges: Iterable[Exchange], left_out: Counter[str]) -> Iterator[bytes]:
    """The file in pieces. left_out: counts what HAR cannot say of an exchange."""
    yield b'{"log":{"version":"1.2","creator":{"name":"understudy","version":"1"},"pages":[],"entries":[\n'
    for number, exchange in enumerate(exchanges):
        _count(exchange.request, left_out)
        _count(exchange.response, left_out)
        yield (b",\n" if number else b"") + quiet_json(_ENCODER.encode(entry_of(exchange)))
    yield b"\n]}}\n"


def _count(message: Request | Response | None, left_out: Counter[str]) -> None:
    if message is None:
        left_out["no response: written with status 0"] += 1
        return
    if message.trailers:
        left_out["trailers are not in HAR"] += 1
    if message.truncated:
        left_out["a body that was cut is written as far as it was kept"] += 1
