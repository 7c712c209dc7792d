"""Envoy's tap traces as JSON, buffered or streamed in segments.

The keys are `http_buffered_trace` and `http_streamed_trace_segment`. The file may hold one JSON document or many, one
behind the other. Field names may be as in the .proto or in camel case. Headers carry HTTP/2's pseudo fields whatever
was spoken; they give method, target and status, and are then taken out.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from capture.clock import parse_rfc3339
from capture.errors import BadInput
from capture.exchange import Exchange, Headers, Request, Response, Times
from capture.log.importers.found import Found, Skipped, whole
from capture.log.importers.wire import wire_text, with_host

__all__ = ["read", "recognise"]

_MARK = re.compile(rb'"(http_buffered_trace|httpBufferedTrace|http_streamed_trace_segment|httpStreamedTraceSegment)"')
_BLANK = re.compile(r"[\s,\x1e\[\]]*")
_STREAMS_MAX = 10_000
_CAMEL = re.compile(r"(?<=[a-z0-9])([A-Z])")


def recognise(head: bytes) -> bool:
    """True for JSON that names one of the two kinds of trace at its beginning."""
    return head.lstrip(b"\xef\xbb\xbf \t\r\n[").startswith(b"{") and _MARK.search(head) is not None


def read(path: Path) -> Iterator[Found | Skipped]:
    """Every trace as an exchange. A trace without times is dated by the file, in the order of the file."""
    text = whole(path).decode("utf-8", "replace").removeprefix("\ufeff")
    fallback_ns = path.stat().st_mtime_ns
    decoder = json.JSONDecoder()
    streams: OrderedDict[str, dict[str, Any]] = OrderedDict()
    at = number = 0
    while (at := _BLANK.match(text, at).end()) < len(text):  # type: ignore[union-attr]  # matches "" at the least
        try:
            document, at = decoder.raw_decode(text, at)
        except (json.JSONDecodeError, RecursionError) as error:
            if number == 0:
                raise BadInput(f"{path}: the Envoy trace is cut or broken: {error}") from None
            yield Skipped(f"trace {number}", "bad_record", f"the file breaks off here: {error}")
            break
        traced = _plain(document) if isinstance(document, dict) else {}
        if "http_buffered_trace" in traced:
            yield _made(traced["http_buffered_trace"], number, fallback_ns + number)
        elif "http_streamed_trace_segment" in traced:
            finished = _segment(streams, traced["http_streamed_trace_segment"])
            if finished is not None:
                yield _made(finished, number, fallback_ns + number)
        else:
            yield Skipped(f"trace {number}", "not_http", "not a trace of an HTTP request")
        number += 1
    for trace in streams.values():
        yield _made(trace, number, fallback_ns + number)
        number += 1


def _plain(value: Any) -> Any:
    """The same with all names as in the .proto."""
    if isinstance(value, dict):
        return {_CAMEL.sub(lambda found: "_" + found[1].lower(), key): _plain(inner) for key, inner in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list) else value


def _segment(streams: OrderedDict[str, dict[str, Any]], segment: Any) -> dict[str, Any] | None:
    """Add one segment to its trace; gives up the oldest trace where there are too many at once."""
    trace = streams.setdefault(str(segment.get("trace_id", "")), {})
    for side in ("request", "response"):
        message = trace.setdefault(side, {})
        if f"{side}_headers" in segment:
            message.update(segment[f"{side}_headers"])
        if f"{side}_body_chunk" in segment:
            message.setdefault("chunks", []).append(segment[f"{side}_body_chunk"])
        if f"{side}_trailers" in segment:
            message["trailers"] = segment[f"{side}_trailers"].get("headers", [])
    return streams.popitem(last=False)[1] if len(streams) > _STREAMS_MAX else None


def _made(trace: Any, number: int, fallback_ns: int) -> Found | Skipped:
    try:
        return Found(_exchange(trace, fallback_ns), client=_client(trace))
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        return Skipped(f"trace {number}", "bad_record", f"not a usable trace: {error}")


def _client(trace: Any) -> str:
    address = (trace.get("downstream_connection") or {}).get("remote_address") or {}
    socket = address.get("socket_address") or {}
    host = str(socket.get("address") or "")
    return f"[{host}]:{socket.get('port_value', 0)}" if ":" in host else host


def _fields(listed: Any) -> tuple[Headers, dict[str, str]]:
    """(fields, pseudo fields)."""
    fields, pseudo = [], {}
    for item in listed or ():
        name = str(item["key"])
        raw = item.get("raw_value")
        value = str(item.get("value") or "")
        if raw and not value:
            value = base64.b64decode(raw).decode("latin-1")
        if name.startswith(":"):
            pseudo[name] = wire_text(value)
        else:
            fields.append((wire_text(name), wire_text(value)))
    return tuple(fields), pseudo


def _body(message: Any) -> tuple[bytes, bool, bool]:
    """(body, whether Envoy cut it, whether it was written as text)."""
    parts, truncated, as_text = [], False, False
    body = message.get("body")
    for chunk in message.get("chunks") or ([body] if isinstance(body, dict) else []):
        truncated = truncated or bool(chunk.get("truncated"))
        if "as_bytes" in chunk:
            try:
                parts.append(base64.b64decode(chunk["as_bytes"]))
            except (binascii.Error, ValueError) as error:
                raise ValueError(f"a body is not base64: {error}") from None
        else:
            as_text = True
            parts.append(str(chunk.get("as_string") or "").encode("utf-8", "surrogatepass"))
    return b"".join(parts), truncated, as_text


def _kept(message: Any, headers: Headers, what: str, notes: list[str]) -> tuple[bytes | None, int, bool]:
    """(body, its full length, whether it was cut); None for one that is not what was sent.

    As text (JSON_BODY_AS_STRING) Envoy drops the bytes that are no UTF-8, which the declared length gives away.
    """
    body, cut, as_text = _body(message)
    text = next((value for name, value in headers if name.lower() == "content-length"), "")
    declared = int(text) if text.isdecimal() and len(text) < 18 else None
    if declared is None or declared == len(body):
        return body, len(body), cut
    if as_text and not cut:
        notes.append(f"envoy: the body of the {what} was written as text, which lost some of its {declared} bytes")
        return None, declared, False
    return body, declared if cut else len(body), cut


def _time(message: Any) -> int | None:
    value = message.get("headers_received_time")
    return parse_rfc3339(value) if isinstance(value, str) else None


def _exchange(trace: Any, fallback_ns: int) -> Exchange:
    sent, answer = trace["request"], trace.get("response") or {}
    headers, pseudo = _fields(sent.get("headers"))
    method, target = pseudo.get(":method"), pseudo.get(":path")
    if not method or not target:
        raise ValueError("it has no :method or no :path")
    authority = pseudo.get(":authority", "")
    headers = with_host(headers, authority) if authority else headers
    notes: list[str] = []
    body, size, cut = _kept(sent, headers, "request", notes)
    trailers, _ = _fields(sent.get("trailers"))
    request = Request(method, target, "HTTP/1.1", headers, body, size, cut, trailers)
    answered, pseudo_answer = _fields(answer.get("headers"))
    status = pseudo_answer.get(":status", "")
    response = None
    if status.isdecimal() and len(status) == 3:
        content, size, cut = _kept(answer, answered, "response", notes)
        end_fields, _ = _fields(answer.get("trailers"))
        response = Response(int(status), "", "HTTP/1.1", answered, content, size, cut, end_fields)
    known_ns = _time(sent)
    start_ns = fallback_ns if known_ns is None else known_ns
    first_ns = _time(answer)
    if known_ns is None:
        notes.append("envoy: the trace has no times, the file's is used")
    server = authority if not authority or ":" in authority else f"{authority}:80"
    return Exchange(
        "", "", "envoy", 1.0, request, response, Times(start_ns, None, first_ns, None),
        None if response is not None else "no_response", (), -1, server, pseudo.get(":scheme") or "http", tuple(notes),
    )  # fmt: skip
