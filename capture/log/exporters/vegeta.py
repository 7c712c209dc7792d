"""vegeta's targets as JSON lines: method, url, header and body in base64 (vegeta attack -format=json)."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from capture.exchange import Exchange
from capture.log.exporters.har import url_of

__all__ = ["target_of", "write"]

_ENCODER = msgspec.json.Encoder()
_HOP = frozenset(("connection", "content-length", "keep-alive", "transfer-encoding", "upgrade", "te", "trailer"))


def target_of(exchange: Exchange) -> dict[str, Any]:
    """One target by vegeta's schema."""
    request = exchange.request
    header: dict[str, list[str]] = {}
    for name, value in request.headers:
        if name.lower() not in _HOP:
            header.setdefault(name, []).append(value)
    target: dict[str, Any] = {"method": request.method, "url": url_of(exchange), "header": header}
    if request.body:
        target["body"] = base64.b64encode(request.body).decode("ascii")
    return target


def write(exchanges: Iterable[Exchange], left_out: Counter[str]) -> Iterator[bytes]:
    """One line a target."""
    for exchange in exchanges:
        request = exchange.request
        if request.body is None or request.truncated:
            left_out["a body that was not seen whole is written as far as it was kept"] += 1
        yield _ENCODER.encode(target_of(exchange)) + b"\n"
