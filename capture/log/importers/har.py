"""HAR 1.1 and 1.2 in the dialects of Chrome, Firefox, Safari, Insomnia, Firebug, mitmproxy and their like.

HAR keeps bodies after content decoding and as text. So Content-Encoding is taken out of the response (with a note), and
text goes back to bytes by the charset of its type; bodies in files of their own (har_files.py) are bytes. An answer
that the browser stopped, and a stream of events that no server ended, were left by the client when the entry ends. What
no network saw is left out with its reason: data: URLs and hits of the browser's cache. An entry with status 0 is a
request that got no response.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus

from capture.clock import parse_rfc3339
from capture.exchange import Exchange, Headers, Request, Response, Times, header
from capture.log.importers.found import Found, Skipped, Torn, as_utf8, text_of
from capture.log.importers.har_files import ZIP_BEGINNING, BesideFile, InZip, Kept, opened_archive
from capture.log.importers.json_array import BrokenText, items_at
from capture.log.importers.wire import address_of, bytes_of, version_of, wire_text, with_host, without

__all__ = ["exchange_of_entry", "read", "recognise"]

_BEGINNING = re.compile(rb'\s*\{\s*"log"\s*:')
_INSIDE = re.compile(rb'"log"\s*:\s*\{.*"(entries|creator|pages|browser)"\s*:', re.DOTALL)
_BODY_BYTES_MAX = 24 << 20
_Bodies = BesideFile | InZip
_MISSING = Kept(b"", -1)
_LEFT = re.compile(r"abort|cancel|left by the client", re.IGNORECASE)
"""How a browser says that it was not the server who broke off: net::ERR_ABORTED, NS_BINDING_ABORTED, cancelled."""


def recognise(head: bytes) -> bool:
    """True for a JSON object with a `log` in it, in UTF-8 or UTF-16, with a byte order mark or not, and for a zip."""
    if head.startswith(ZIP_BEGINNING):
        return True
    text = as_utf8(head).lstrip()
    return text.startswith(b"{") and (_BEGINNING.match(text) is not None or _INSIDE.search(text) is not None)


def read(path: Path) -> Iterator[Found | Skipped]:
    """Every entry that is an exchange, in the order of the file.

    Raises BadInput where it is no HAR, and Torn behind the last whole entry of one that breaks off.
    """
    for number, (entry, kept) in enumerate(_entries(path)):
        place = f"entry {number}"
        try:
            made = exchange_of_entry(entry, kept)
        except _NotNetwork as reason:
            yield Skipped(place, reason.code, str(reason))
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
            yield Skipped(place, "bad_record", f"not a HAR entry: {error}")
        else:
            yield Found(made, client=path.name.replace(":", "_"))


def _entries(path: Path) -> Iterator[tuple[Any, _Bodies]]:
    """Every entry, or the error in its place, and where the bodies are that it only names."""
    broken = None
    with opened_archive(path) as (stream, kept):
        try:
            for entry in items_at(("log", "entries"), text_of(stream)):
                yield entry, kept
        except BrokenText as error:
            broken = error
    if broken is not None:  # where the gzip is torn, that is what was said
        raise Torn(f"{path}: the HAR is cut or broken: {broken} at character {broken.at}; export it again")


class _NotNetwork(Exception):
    """The entry tells of something that did not go over the network."""

    def __init__(self, code: str, why: str) -> None:
        super().__init__(why)
        self.code = code


def exchange_of_entry(entry: Any, kept: _Bodies | None = None) -> Exchange:
    """One entry as an exchange; raises _NotNetwork, or any of the errors of a dict that is not what it should be.

    kept: where bodies are that the entry only names; None where there are none.
    """
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
    status = answer.get("status")
    _was_on_the_network(entry, answer, status, url)
    address = address_of(url)
    notes: list[str] = []
    start_ns = _started(entry)
    request_headers, authority = _headers(sent.get("headers"))
    request_headers = with_host(request_headers, authority or address.authority)
    body, body_bytes = _sent_body(sent, request_headers, kept, notes)
    request = Request(
        _method(sent.get("method")),
        address.target,
        version_of(sent.get("httpVersion")),
        request_headers,
        body,
        body_bytes,
        body is not None and body_bytes > len(body),
    )
    response = None
    reason = None
    failure = str(answer.get("_failureText") or answer.get("_error") or "")
    if failure:
        notes.append(f"har: {failure[:100]}")
    if isinstance(status, int | float) and not isinstance(status, bool) and 100 <= int(status) <= 999:
        response = _response(int(status), answer, kept, notes)
        if failure or _is_endless(entry, response):
            reason = "response_cut"
    connection = str(entry.get("connection") or "")
    return Exchange(
        "",
        "",
        "har",
        1.0,
        request,
        response,
        _times(entry, start_ns, response is not None, reason is None, not failure or _LEFT.search(failure) is not None),
        reason if response is not None else "no_response",
        (),
        int(connection) if connection.isdecimal() and len(connection) < 16 else -1,
        address.server,
        address.scheme,
        tuple(notes),
    )


def _is_endless(entry: Any, response: Response) -> bool:
    """A stream of events that a page listened to until it was gone: its events, or its end, were not exported."""
    kind = (header(response.headers, "content-type") or "").partition(";")[0].strip().lower()
    return kind == "text/event-stream" and (not response.body or entry.get("_resourceType") == "eventsource")


def _was_on_the_network(entry: Any, answer: Any, status: Any, url: str) -> None:
    """Raises _NotNetwork. Not a byte was transferred of an answer from a cache, whether its entry says so or not."""
    if entry.get("_wasFulfilled"):
        raise _NotNetwork("mocked", f"{url[:80]!r} was answered by the test that recorded it")
    if entry.get("_wasAborted"):
        raise _NotNetwork("aborted", f"{url[:80]!r} was stopped before it was sent")
    untransferred = answer.get("_transferSize") == 0 and isinstance(status, int | float) and status >= 200
    if entry.get("_fromCache") or answer.get("_fromCache") or untransferred:
        raise _NotNetwork("cache_hit", f"{url[:80]!r} came from the browser's cache")


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


def _kept_body(owner: Any, kept: _Bodies | None, notes: list[str]) -> Kept | None:
    """The body that stands in a file beside the archive; _MISSING where it names one that is not there."""
    name = owner.get("_file")
    if kept is None or not isinstance(name, str) or owner.get("text"):
        return None
    found = kept.body(name, _BODY_BYTES_MAX)
    if found is None:
        notes.append(f"har: the body is in a file of its own, which is not there: {name[:100]!r}")
    return found or _MISSING


def _sent_body(sent: Any, headers: Headers, kept: _Bodies | None, notes: list[str]) -> tuple[bytes | None, int]:
    """(body, length); None for a body that was sent and is not in the export."""
    data = sent.get("postData")
    data = data if isinstance(data, dict) else {}
    text, kind, params = data.get("text"), data.get("mimeType"), data.get("params")
    content_type = header(headers, "content-type") or (kind if isinstance(kind, str) else None)
    length = _declared(headers)
    exported = _size(sent.get("bodySize"))
    beside = _kept_body(data, kept, notes)
    if beside is not None:
        return (None, length or exported or 0) if beside is _MISSING else (beside.data, beside.size)
    if isinstance(text, str) and text:
        if data.get("encoding") == "base64" or data.get("_encoding") == "base64":
            body = _unbase64(text)
        else:
            body = bytes_of(text, content_type, length, exported)
            if length is not None and length != len(body):
                notes.append(f"har: the request body has {len(body)} bytes in the export, {length} were declared")
        return body, len(body)
    if isinstance(params, list) and params:
        if "multipart" in (content_type or ""):
            notes.append("har: the multipart body was exported as its fields only")
            return None, length or exported or 0
        body = "&".join(
            f"{quote_plus(str(item.get('name') or ''))}={quote_plus(str(item.get('value') or ''))}" for item in params
        ).encode()
        notes.append("har: the form body was put together from its fields")
        return body, len(body)
    chunked = header(headers, "transfer-encoding") is not None
    if length or exported or chunked or (exported is None and "multipart" in (content_type or "")):
        notes.append("har: the request body was not exported")
        return None, length or exported or 0
    return b"", 0


def _declared(headers: Headers) -> int | None:
    length = header(headers, "content-length")
    return int(length) if length is not None and length.isdecimal() and len(length) < 16 else None


def _size(value: Any) -> int | None:
    """A size as HAR writes it; None where it says that it is not known."""
    return int(value) if isinstance(value, int | float) and 0 <= value < 1e15 else None


def _unbase64(text: str) -> bytes:
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError(f"a body is not the base64 that it says it is: {error}") from None


def _response(status: int, answer: Any, kept: _Bodies | None, notes: list[str]) -> Response:
    headers, _ = _headers(answer.get("headers"))
    content = answer.get("content")
    content = content if isinstance(content, dict) else {}
    kind = header(headers, "content-type") or content.get("mimeType")
    text = content.get("text")
    coding = header(headers, "content-encoding")
    body: bytes | None = None
    beside = _kept_body(content, kept, notes)
    if beside is not None:
        body = None if beside is _MISSING else beside.data
    elif isinstance(text, str):
        if content.get("encoding") == "base64":
            body = _unbase64(text)
        else:
            length = _declared(headers) if coding is None else None
            body = bytes_of(text, str(kind or ""), length, _size(content.get("size")))
    if body is not None and coding is not None:
        headers = without(headers, "content-encoding", "content-length")
        notes.append(f"har: the body is as after content decoding; Content-Encoding: {coding[:40]} was taken out")
    if body is not None and status == 304 and body:
        notes.append("har: the body of a 304 is what the browser had in its cache")
    if body is not None:
        size = len(body) if beside is None else beside.size
    else:
        declared = [answer.get("bodySize"), content.get("size")]
        size = next((int(value) for value in declared if isinstance(value, int | float) and value > 0), 0)
    truncated = body is not None and size > _BODY_BYTES_MAX
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


def _times(entry: Any, start_ns: int, answered: bool, whole: bool, by_client: bool) -> Times:
    """The request begins when the page asked for it, so that what it waited for is not taken for a cause of it.

    whole: the answer came to its end; else by_client: whether it was the client that left when the entry ends.
    """
    timings = entry.get("timings")
    timings = timings if isinstance(timings, dict) else {}

    def spent_ns(name: str) -> int:
        value = timings.get(name)
        return int(value * 1_000_000) if isinstance(value, int | float) and 0 < value < 1e12 else 0

    sent_ns = start_ns + sum(map(spent_ns, ("blocked", "dns", "connect", "send")))
    total = entry.get("time")
    total_ns = int(total * 1_000_000) if isinstance(total, int | float) and 0 < total < 1e12 else 0
    if not answered:
        return Times(start_ns, sent_ns, left=start_ns + total_ns if by_client and total_ns else None)
    first_ns = sent_ns + spent_ns("wait")
    end_ns = first_ns + spent_ns("receive")
    if end_ns == start_ns and total_ns:
        end_ns = start_ns + total_ns
    if whole:
        return Times(start_ns, sent_ns, first_ns, end_ns)
    end_ns = max(end_ns, start_ns + total_ns)
    return Times(start_ns, sent_ns, first_ns, None, end_ns if by_client and end_ns > first_ns else None)
