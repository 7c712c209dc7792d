"""mitmproxy's flow files, of every version that the installed mitmproxy reads (extra `mitm`)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from capture.errors import UsageError
from capture.exchange import Exchange, Headers, Request, Response, Times
from capture.log.importers.found import Found, Skipped, opened
from capture.log.importers.wire import version_of

__all__ = ["exchange_of_flow", "read", "recognise"]

_BEGINNING = re.compile(rb"\d{1,12}:\d{1,4}:[a-z_]{1,40}[;,]")
_NEXT = re.compile(rb"\d{1,12}:|$")
_OF_A_BAD_STATE = (LookupError, ValueError, TypeError, AttributeError, AssertionError, OverflowError, RecursionError)
"""What mitmproxy raises for a flow whose parts are not what they should be."""
_S = 1_000_000_000


def recognise(head: bytes) -> bool:
    """True for a tnetstring whose first element is a dictionary's key, which is how every flow file begins."""
    return _BEGINNING.match(head) is not None


def read(path: Path) -> Iterator[Found | Skipped]:
    """Every HTTP flow; other kinds are skipped. Flows that are damaged are skipped, and a file that breaks off
    gives what was before, and then one skip."""
    try:
        from mitmproxy import exceptions, http
        from mitmproxy.io import FlowReader
    except ImportError:
        raise UsageError(f"{path}: reading mitmproxy flows needs mitmproxy; install understudy[mitm]") from None
    connections: dict[str, int] = {}
    with opened(path) as stream:
        flows = iter(FlowReader(stream).stream())
        number = 0
        while True:
            place = f"flow {number}"
            try:
                flow = next(flows, None)
            except (exceptions.FlowReadException, *_OF_A_BAD_STATE) as error:
                yield Skipped(place, "bad_record", f"the file breaks off or is damaged here: {error}")
                if _NEXT.match(stream.peek(16)[:16]) is None:  # type: ignore[attr-defined]  # of every reader here
                    return
                number += 1  # its length was whole: the next one begins where it should
                flows = iter(FlowReader(stream).stream())
                continue
            if flow is None:
                return
            number += 1
            if not isinstance(flow, http.HTTPFlow):
                yield Skipped(place, "not_http", f"a {type(flow).__name__}, not an HTTP flow")
                continue
            connection = connections.setdefault(flow.client_conn.id, len(connections))
            if len(connections) > 1 << 16:
                connections.clear()  # numbers only join flows of one connection, which lie near each other
            try:
                yield Found(exchange_of_flow(flow, connection), client=_client(flow))
            except (ValueError, TypeError, AttributeError) as error:
                yield Skipped(place, "bad_record", f"not a usable flow: {error}")


def _client(flow: Any) -> str:
    peer = flow.client_conn.peername
    if not peer or not peer[0]:
        return ""
    return f"[{peer[0]}]:{peer[1]}" if ":" in str(peer[0]) else f"{peer[0]}:{peer[1]}"


def _ns(seconds: float | None) -> int | None:
    """Flow times are floats of seconds: microseconds are what they can tell."""
    return None if seconds is None else round(seconds * 1_000_000) * 1000


def _headers(message: Any) -> Headers:
    return tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in message.headers.fields)


def _trailers(message: Any) -> Headers:
    if not message.trailers:
        return ()
    return tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in message.trailers.fields)


def _left(flow: Any) -> int | None:
    """When the client left, by mitmproxy's own word for it; None where the answer ended, or something else ended it."""
    if flow.error is None or "client" not in flow.error.msg.lower():
        return None
    if flow.response is not None and flow.response.timestamp_end is not None:
        return None
    return _ns(flow.error.timestamp)


def exchange_of_flow(flow: Any, connection: int) -> Exchange:
    """A flow as an exchange; bodies as they were on the wire, before content decoding."""
    sent, answer = flow.request, flow.response
    target = sent.data.path.decode("latin-1")
    host = sent.data.headers.get(b"host") if hasattr(sent.data.headers, "get") else None
    headers = _headers(sent)
    if host is None and sent.data.authority:
        headers = (("Host", sent.data.authority.decode("latin-1")), *headers)
    elif sent.http_version.startswith("HTTP/2") and not any(name.lower() == "host" for name, _ in headers):
        headers = (("Host", sent.pretty_host), *headers)
    body = sent.raw_content
    start_ns = _ns(sent.timestamp_start) or 0
    request = Request(
        sent.data.method.decode("latin-1"),
        target,
        version_of(sent.http_version),
        headers,
        body,
        len(body or b""),
        False,
        _trailers(sent),
    )
    response = None
    reason = None
    if answer is not None:
        content = answer.raw_content
        response = Response(
            answer.status_code,
            answer.data.reason.decode("latin-1"),
            version_of(answer.http_version),
            _headers(answer),
            content,
            len(content or b""),
            False,
            _trailers(answer),
        )
    else:
        reason = "no_response"
    if flow.error is not None:
        reason = reason or "error"
    notes = () if flow.error is None else (f"mitmproxy: {flow.error.msg[:200]}",)
    times = Times(
        start_ns,
        _ns(sent.timestamp_end),
        None if answer is None else _ns(answer.timestamp_start),
        None if answer is None else _ns(answer.timestamp_end),
        _left(flow),
    )
    server = f"[{sent.host}]:{sent.port}" if ":" in sent.host else f"{sent.host}:{sent.port}"
    return Exchange(
        "", "", "mitm", 1.0, request, response, times, reason, (), connection, server, sent.scheme or "http", notes
    )
