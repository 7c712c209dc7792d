"""The bytes of a request, made once for all builds when it is planned: only Host, trace and marker are put in later.

The same bytes as `rewrite.template` and `clients.wire.encode_request` make, for requests that need no more than that:
most of them.
"""

from __future__ import annotations

import random
from typing import Final

from capture.exchange import Exchange
from replay.rewrite import body_was_decoded
from replay.row import Row, row_of

__all__ = ["Payload", "Traces", "payload_of", "trace_flags"]

_TRACES_AT_ONCE = 256
_TRACE_BYTES: Final = 24
_KEPT_CONNECTIONS: Final = frozenset(("keep-alive", "close", "Keep-Alive", "Close"))


class Payload:
    """A request that is bytes but for the value of Host, the traceparent and the marker.

    flags: of the new traceparent, as the recorded one had them.
    """

    __slots__ = ("_body", "_host", "_host_at", "_pieces", "_trace_at", "flags")

    def __init__(self, row: Row, pieces: list[str], host: str, recorded_trace: str | None, body: bytes) -> None:
        """pieces: those of the row, with all values but the marker and a new traceparent; they become this one's."""
        self._pieces = pieces
        self._host_at = row.host_at
        self._trace_at = row.trace_at
        self._host = host
        self._body = body
        self.flags = trace_flags(recorded_trace)

    def for_build(self, authority: str | None, traceparent: str, marker: str) -> bytes:
        """The request as one build gets it. authority: for Host, None keeps the recorded one."""
        pieces = self._pieces
        pieces[self._host_at] = self._host if authority is None else authority
        pieces[self._trace_at] = traceparent
        pieces[-2] = marker
        head = "".join(pieces).encode("latin-1")
        return head + self._body if self._body else head


def payload_of(exchange: Exchange, row: Row | None = None, values: tuple[str, ...] = ()) -> Payload | None:
    """The request as bytes; None where it needs more changes than Host, trace, marker and leaving out headers.

    Pure; the exchange must have no reason to be skipped. row, values: what `row_of` says of its headers, where it was
    asked already.
    """
    request = exchange.request
    if row is None:
        row, values = row_of(request.headers)
    version = request.version
    if not row.plain or (version != "HTTP/1.1" and version != "HTTP/1.0"):
        return None
    for at in row.connections:
        if values[at] not in _KEPT_CONNECTIONS:
            return None
    body = request.body or b""
    if row.length >= 0:
        if values[row.length] != str(len(body)):
            return None
    elif body:
        return None
    if exchange.notes and body_was_decoded(exchange, "request"):
        return None
    pieces = row.pieces.copy()
    pieces[1] = request.method
    pieces[3] = request.target
    pieces[5] = version
    at = 7
    for kept in row.kept(values):
        pieces[at] = kept
        at += 2
    return Payload(row, pieces, values[row.host], values[row.trace] if row.trace >= 0 else None, body)


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
