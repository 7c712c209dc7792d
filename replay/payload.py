"""The bytes of a request, made once for all builds when it is planned: only Host, trace and marker are put in later.

The same bytes as `rewrite.template` and `clients.wire.encode_request` make, for requests that need no more than that:
most of them. What is said by the names of a request's headers alone is worked out once for each row of names.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from operator import itemgetter
from typing import Any

from capture.exchange import Exchange
from replay.plan import MARKER
from replay.rewrite import HOP_BY_HOP, body_was_decoded

__all__ = ["Payload", "Traces", "payload_of", "trace_flags"]

_LAYOUTS_MAX = 4096
_TRACES_AT_ONCE = 256
_TRACE_BYTES = 24
_HOLE = "\0"
_KEPT_CONNECTIONS = frozenset(("keep-alive", "close", "Keep-Alive", "Close"))


class Payload:
    """A request that is bytes but for the value of Host, the traceparent and the marker.

    flags: of the new traceparent, as the recorded one had them.
    """

    __slots__ = ("_after_host", "_after_trace", "_before_host", "_body", "_host", "flags")

    def __init__(self, parts: list[str], host: str, recorded_trace: str | None, body: bytes) -> None:
        self._before_host, self._after_host, self._after_trace = parts
        self._host = host
        self._body = body
        self.flags = trace_flags(recorded_trace)

    def for_build(self, authority: str | None, traceparent: str, marker: str) -> bytes:
        """The request as one build gets it. authority: for Host, None keeps the recorded one."""
        head = (
            f"{self._before_host}{self._host if authority is None else authority}{self._after_host}{traceparent}"
            f"{self._after_trace}{MARKER}: {marker}\r\n\r\n"
        ).encode("latin-1")
        return head + self._body if self._body else head


class _Layout:
    """What a row of header names says. plain: False where the values must be looked at one by one (`rewrite`)."""

    __slots__ = ("connections", "host", "kept", "length", "lines", "plain", "trace")

    def __init__(self, names: tuple[str, ...]) -> None:
        lower = [name.lower() for name in names]
        hop = [name in HOP_BY_HOP for name in lower]
        self.host = lower.index("host") if "host" in lower else -1
        self.trace = lower.index("traceparent") if "traceparent" in lower else -1
        self.length = lower.index("content-length") if "content-length" in lower else -1
        self.connections = [at for at, name in enumerate(lower) if name == "connection"]
        once = all(lower.count(name) <= 1 for name in ("host", "traceparent", "content-length"))
        self.plain = (
            once
            and self.host >= 0
            and (self.trace < 0 or self.trace > self.host)
            and "transfer-encoding" not in lower
            and not any(name[:1] == ":" for name in names)
        )
        lines = []
        kept = []
        for at, name in enumerate(names):
            if hop[at]:
                continue
            spelled = name.replace("%", "%%")
            if at in (self.host, self.trace):
                lines.append(f"{spelled}: {_HOLE}\r\n")
            else:
                lines.append(f"{spelled}: %s\r\n")
                kept.append(at)
        if self.trace < 0:
            lines.append(f"traceparent: {_HOLE}\r\n")
        self.lines = "%s %s %s\r\n" + "".join(lines)
        self.kept: Callable[[tuple[str, ...]], Any] = _picker(kept)


def _picker(places: list[int]) -> Callable[[tuple[str, ...]], tuple[str, ...]]:
    if len(places) > 1:
        return itemgetter(*places)
    return lambda values: tuple(values[place] for place in places)


_layouts: dict[tuple[str, ...], _Layout] = {}
"""Shared by all plans, bounded below: a service's clients send few different rows of names."""


def payload_of(exchange: Exchange) -> Payload | None:
    """The request as bytes; None where it needs more changes than Host, trace, marker and leaving out headers.

    Pure; the exchange must have no reason to be skipped.
    """
    request = exchange.request
    if not request.headers or request.version not in ("HTTP/1.1", "HTTP/1.0"):
        return None
    names, values = zip(*request.headers, strict=True)
    layout = _layouts.get(names)
    if layout is None:
        if len(_layouts) >= _LAYOUTS_MAX:
            _layouts.clear()
        layout = _layouts[names] = _Layout(names)
    if not layout.plain:
        return None
    for at in layout.connections:
        if values[at] not in _KEPT_CONNECTIONS:
            return None
    body = request.body or b""
    if layout.length >= 0:
        if values[layout.length] != str(len(body)):
            return None
    elif body:
        return None
    if exchange.notes and body_was_decoded(exchange, "request"):
        return None
    text = layout.lines % (request.method, request.target, request.version, *layout.kept(values))
    parts = text.split(_HOLE)
    if len(parts) != 3:
        return None
    return Payload(parts, values[layout.host], values[layout.trace] if layout.trace >= 0 else None, body)


def trace_flags(recorded: str | None) -> str:
    """The flags of a new traceparent: sampled, or as the recorded one said."""
    return recorded[-2:] if recorded is not None and len(recorded) == 55 else "01"


class Traces:
    """New W3C traceparents, from a source of chance that no other process shares."""

    __slots__ = ("_at", "_chance", "_digits")

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._digits = ""
        self._at = 0

    def new(self, flags: str) -> str:
        """The next one. flags: two hex digits."""
        at = self._at
        digits = self._digits
        if at == len(digits):
            digits, at = self._more(), 0
        self._at = at + 2 * _TRACE_BYTES
        return f"00-{digits[at : at + 32]}-{digits[at + 32 : at + 48]}-{flags}"

    def _more(self) -> str:
        data = self._chance.randbytes(_TRACE_BYTES * _TRACES_AT_ONCE)
        while bytes(8) in data:  # an id of nothing but zeros is none (W3C trace context, section 3.2.2)
            data = self._chance.randbytes(_TRACE_BYTES * _TRACES_AT_ONCE)
        self._digits = data.hex()
        return self._digits
