"""HAR 1.1 and 1.2 in the dialects of Chrome, Firefox, Safari, Insomnia, Firebug, mitmproxy and their like.

HAR keeps bodies after content decoding and as text. So Content-Encoding is taken out of the response (with a note), and
text goes back to bytes by the charset of its type. What no network saw is left out with its reason: data: URLs and hits
of the browser's cache. An entry with status 0 is a request that got no response.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus

import msgspec

from capture.clock import parse_rfc3339
from capture.errors import BadInput
from capture.exchange import Exchange, Headers, Request, Response, Times, header
from capture.log.importers.found import Found, Skipped, as_utf8, whole
from capture.log.importers.wire import address_of, encoded, version_of, wire_text, with_host, without

__all__ = ["exchange_of_entry", "read", "recognise"]

_BEGINNING = re.compile(rb'\s*\{\s*"log"\s*:')
_INSIDE = re.compile(rb'"log"\s*:\s*\{.*"(entries|creator|pages|browser)"\s*:', re.DOTALL)
_BODY_BYTES_MAX = 24 << 20


class _Outer(msgspec.Struct):
    log: _Log


class _Log(msgspec.Struct):
    entries: list[msgspec.Raw]


_OUTER = msgspec.json.Decoder(_Outer)


def recognise(head: bytes) -> bool:
    """True for a JSON object with a `log` in it, in UTF-8 or UTF-16, with or without a byte order mark."""
    text = as_utf8(head).lstrip()
    return text.startswith(b"{") and (_BEGINNING.match(text) is not None or _INSIDE.search(text) is not None)


def read(path: Path) -> Iterator[Found | Skipped]:
    """Every entry that is an exchange, in the order of the file. Raises BadInput where it is no HAR."""
    for number, entry in enumerate(_entries(path)):
        place = f"entry {number}"
        try:
            made = exchange_of_entry(entry)
        except _NotNetwork as reason:
            yield Skipped(place, reason.code, str(reason))
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
            yield Skipped(place, "bad_record", f"not a HAR entry: {error}")
        else:
            yield Found(made, client=path.name.replace(":", "_"))


def _entries(path: Path) -> Iterator[Any]:
    data = as_utf8(whole(path))
    try:
        raws = _OUTER.decode(data).log.entries
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        yield from _by_the_standard_library(path, data)
        return
    del data
    for raw in raws:
        try:
            yield msgspec.json.decode(raw)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            yield _lenient(bytes(raw))


def _lenient(raw: bytes) -> Any:
    """One entry with what msgspec refuses and browsers write: lone surrogates, bytes that are no UTF-8."""
    try:
        return json.loads(raw.decode("utf-8", "replace"))
    except (ValueError, RecursionError) as error:
        return error


def _by_the_standard_library(path: Path, data: bytes) -> Iterator[Any]:
    try:
        outer = json.loads(data.decode("utf-8", "replace"))
    except json.JSONDecodeError as error:
        where = f"line {error.lineno} column {error.colno}"
        raise BadInput(f"{path}: the HAR is cut or broken: {error.msg} at {where}; export it again") from None
    except RecursionError:
        raise BadInput(f"{path}: the HAR is nested too deeply to be one") from None
    log = outer.get("log") if isinstance(outer, dict) else None
    entries = log.get("entries") if isinstance(log, dict) else None
    if not isinstance(entries, list):
        raise BadInput(f"{path}: not a HAR: no list of entries at log.entries")
    yield from entries


class _NotNetwork(Exception):
    """The entry tells of something that did not go over the network."""

    def __init__(self, code: str, why: str) -> None:
        super().__init__(why)
        self.code = code


def exchange_of_entry(entry: Any) -> Exchange:
    """One entry as an exchange; raises _NotNetwork, or any of the errors of a dict that is not what it should be."""
    if isinstance(entry, Exception):
        raise ValueError(str(entry))
    if not isinstance(entry, dict) or not isinstance(entry.get("request"), dict):
        raise TypeError("it is no object with a request in it")
    sent, answer = entry["request"], entry.get("response") or {}
    url = sent["url"]
    if not isinstance(url, str):
        raise TypeError("its url is not text")
    scheme = url.partition(":")[0].lower()
    if scheme in ("data", "blob", "about", "file", "chrome", "chrome-extension", "moz-extension", "javascript"):
        raise _NotNetwork(f"{scheme.replace('-', '_')}_url", f"{url[:40]!r} was not fetched over the network")
    if entry.get("_fromCache") or answer.get("_fromCache"):
        raise _NotNetwork("cache_hit", f"{url[:80]!r} came from the browser's cache")
    address = address_of(url)
    notes: list[str] = []
    start_ns = _started(entry)
    request_headers, authority = _headers(sent.get("headers"))
    request_headers = with_host(request_headers, authority or address.authority)
    body, body_bytes = _sent_body(sent, request_headers, notes)
    request = Request(
        _method(sent.get("method")),
        address.target,
        version_of(sent.get("httpVersion")),
        request_headers,
        body,
        body_bytes,
    )
    status = answer.get("status")
    response = None
    if isinstance(status, int | float) and not isinstance(status, bool) and 100 <= int(status) <= 999:
        response = _response(int(status), answer, notes)
    connection = str(entry.get("connection") or "")
    return Exchange(
        "",
        "",
        "har",
        1.0,
        request,
        response,
        _times(entry, start_ns, response is not None),
        None if response is not None else "no_response",
        (),
        int(connection) if connection.isdecimal() and len(connection) < 16 else -1,
        address.server,
        address.scheme,
        tuple(notes),
    )


def _method(value: Any) -> str:
    if not isinstance(value, str) or not value or not value.isascii() or not value.isprintable() or " " in value:
        raise ValueError(f"its method is {str(value)[:40]!r}")
    return value


def _started(entry: Any) -> int:
    started = entry.get("startedDateTime")
    if isinstance(started, str):
        return parse_rfc3339(started)
    if isinstance(started, int | float) and not isinstance(started, bool):  # some tools write ms since the epoch
        return int(started * 1_000_000)
    raise ValueError("it has no startedDateTime")


def _headers(listed: Any) -> tuple[Headers, str]:
    """(fields without HTTP/2's pseudo fields, what :authority said). Chrome joins repeated ones with line feeds."""
    fields: list[tuple[str, str]] = []
    authority = ""
    pairs = listed.items() if isinstance(listed, dict) else ((item["name"], item.get("value")) for item in listed or ())
    for name, value in pairs:
        text = "" if value is None else str(value)
        if name.startswith(":"):
            authority = wire_text(text) if name == ":authority" else authority
            continue
        fields += [(wire_text(name), wire_text(line.strip("\r "))) for line in text.split("\n")]
    return tuple(fields), authority


def _sent_body(sent: Any, headers: Headers, notes: list[str]) -> tuple[bytes | None, int]:
    data = sent.get("postData")
    declared = sent.get("bodySize")
    size = int(declared) if isinstance(declared, int | float) and declared > 0 else 0
    if not isinstance(data, dict):
        return (b"", 0) if size == 0 else (None, size)
    text, kind = data.get("text"), data.get("mimeType")
    content_type = header(headers, "content-type") or (kind if isinstance(kind, str) else None)
    if isinstance(text, str) and text:
        if data.get("encoding") == "base64" or data.get("_encoding") == "base64":
            body = _unbase64(text)
        else:
            body = encoded(text, content_type)
            length = header(headers, "content-length")
            if length is not None and length.isdecimal() and int(length) != len(body):
                body = _as_declared(text, int(length), body, notes)
        return body, len(body)
    params = data.get("params")
    if isinstance(params, list) and params:
        if "multipart" in (content_type or ""):
            notes.append("har: the multipart body was exported as its fields only")
            return None, size
        body = "&".join(
            f"{quote_plus(str(item.get('name') or ''))}={quote_plus(str(item.get('value') or ''))}" for item in params
        ).encode()
        notes.append("har: the form body was put together from its fields")
        return body, len(body)
    return b"", 0


def _as_declared(text: str, length: int, body: bytes, notes: list[str]) -> bytes:
    """Browsers decode a body that is no text as Latin-1; the length that was sent tells."""
    try:
        raw = text.encode("latin-1")
    except UnicodeEncodeError:
        raw = b""
    if len(raw) == length:
        return raw
    notes.append(f"har: the request body has {len(body)} bytes in the export, {length} were declared")
    return body


def _unbase64(text: str) -> bytes:
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError(f"a body is not the base64 that it says it is: {error}") from None


def _response(status: int, answer: Any, notes: list[str]) -> Response:
    headers, _ = _headers(answer.get("headers"))
    content = answer.get("content")
    content = content if isinstance(content, dict) else {}
    kind = header(headers, "content-type") or content.get("mimeType")
    text = content.get("text")
    body: bytes | None = None
    if isinstance(text, str):
        body = _unbase64(text) if content.get("encoding") == "base64" else encoded(text, str(kind or ""))
    coding = header(headers, "content-encoding")
    if body is not None and coding is not None:
        headers = without(headers, "content-encoding", "content-length")
        notes.append(f"har: the body is as after content decoding; Content-Encoding: {coding[:40]} was taken out")
    if body is not None and status == 304 and body:
        notes.append("har: the body of a 304 is what the browser had in its cache")
    if body is not None:
        size = len(body)
    else:
        declared = [answer.get("bodySize"), content.get("size")]
        size = next((int(value) for value in declared if isinstance(value, int | float) and value > 0), 0)
    truncated = body is not None and len(body) > _BODY_BYTES_MAX
    reason = answer.get("statusText")
    return Response(
        status,
        wire_text(reason) if isinstance(reason, str) else "",
        version_of(answer.get("httpVersion")),
        headers,
        body[:_BODY_BYTES_MAX] if body is not None else None,
        size,
        truncated,
    )


def _times(entry: Any, start_ns: int, answered: bool) -> Times:
    """The request begins when the page asked for it, so that what it waited for is not taken for a cause of it."""
    timings = entry.get("timings")
    timings = timings if isinstance(timings, dict) else {}

    def spent_ns(name: str) -> int:
        value = timings.get(name)
        return int(value * 1_000_000) if isinstance(value, int | float) and 0 < value < 1e12 else 0

    sent_ns = start_ns + sum(map(spent_ns, ("blocked", "dns", "connect", "send")))
    if not answered:
        return Times(start_ns, sent_ns)
    first_ns = sent_ns + spent_ns("wait")
    end_ns = first_ns + spent_ns("receive")
    total = entry.get("time")
    if end_ns == start_ns and isinstance(total, int | float) and 0 < total < 1e12:
        end_ns = start_ns + int(total * 1_000_000)
    return Times(start_ns, sent_ns, first_ns, end_ns)
