"""GoReplay's file format: each request and its original response as payloads with one id."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator

from capture.exchange import Exchange
from capture.log.exporters.raw import request_bytes, response_bytes
from capture.log.importers.gor import SEPARATOR

__all__ = ["write"]


def write(exchanges: Iterable[Exchange], left_out: Counter[str]) -> Iterator[bytes]:
    """The file in pieces. The id is 24 hex digits made from ours, which GoReplay would not take."""
    for exchange in exchanges:
        request, response, times = exchange.request, exchange.response, exchange.times
        key = hashlib.sha256(exchange.id.encode("utf-8", "surrogatepass")).hexdigest()[:24]
        if request.version not in ("HTTP/1.0", "HTTP/1.1"):
            left_out[f"{request.version[:10]} is written as HTTP/1.1"] += 1
        if request.body is None:
            left_out["a request whose body was not seen is written without one"] += 1
        if request.truncated or (response is not None and response.truncated):
            left_out["a body that was cut is written as far as it was kept"] += 1
        yield b"1 %s %d 0\n" % (key.encode(), times.request_start) + request_bytes(request) + SEPARATOR
        if response is None:
            continue
        if response.body is None:
            left_out["a response whose body was not seen is written without one"] += 1
        end = times.response_end or times.response_start or times.request_start
        latency = max(0, end - times.request_start)
        yield b"2 %s %d %d\n" % (key.encode(), end, latency) + response_bytes(response, request.method) + SEPARATOR
