"""The client's direction of an HTTP/1 connection: requests, one after the other, from any split of the bytes."""

from __future__ import annotations

import re
from typing import Final

from capture.observe.body import Body, ChunkedBody, LengthBody
from capture.observe.flight import Flights
from capture.observe.head import (
    CHUNKED,
    HEAD_BYTES_MAX,
    Fault,
    RequestHead,
    check_request_line,
    explain,
    find_head_end,
    parse_request,
    salvage,
)

__all__ = ["MAY_START", "PIPELINE_MAX", "START", "RequestReader"]

PIPELINE_MAX: Final = 64
"""Requests of one connection that may wait for their responses; beyond it the client's bytes are not read."""
_FULL_BODIES: Final = 4
"""With more than this many requests waiting, further request bodies are kept to a sixteenth of the cap."""

START: Final = re.compile(rb"[A-Z][A-Z-]{1,19} [^\x00-\x20\x7f]+ HTTP/1\.[01]\r\n")
MAY_START: Final = re.compile(rb"[A-Z][A-Z-]{0,19}(?: [^\x00-\x20\x7f]*(?: [HTP/1.0]{0,8}\r?)?)?")


class RequestReader:
    """Reads requests and tells `Flights` of each one that begins.

    off: the bytes are not read any more. lost: after a gap, nothing is read until a chunk that surely starts a
    request. paused: CONNECT was sent, and what follows is HTTP only if that is refused.
    """

    __slots__ = (
        "_body",
        "_body_bytes_max",
        "_flights",
        "_held",
        "_held_ns",
        "_last",
        "_last_raw",
        "_line_checked",
        "lost",
        "off",
        "paused",
    )

    def __init__(self, flights: Flights, body_bytes_max: int) -> None:
        self._flights = flights
        self._body_bytes_max = body_bytes_max
        self._body: Body | None = None
        self._held = bytearray()  # an unfinished head, or what follows a CONNECT
        self._held_ns = 0
        self._last: RequestHead | None = None
        self._last_raw = b""
        self._line_checked = False
        self.off = False
        self.lost = False
        self.paused = False

    @property
    def between(self) -> bool:
        """True where the next byte begins a new request."""
        return self._body is None and not (self._held or self.paused or self.lost or self.off)

    def feed(self, data: bytes, at_ns: int) -> None:
        """Read the next bytes; must not be called once `off`."""
        started_ns = at_ns
        if self.lost:
            begun = bytes(self._held) + data
            self._held.clear()
            if START.match(begun) is not None:
                data = begun
            elif START.match(data) is None:
                if len(begun) <= HEAD_BYTES_MAX and MAY_START.fullmatch(begun) is not None:
                    self._held += begun
                return
            self.lost = False
        held = self._held
        if held or self.paused:
            if not held:
                self._held_ns = at_ns
            started_ns = self._held_ns
            scanned = len(held)
            held += data
            if self.paused:
                if len(held) > HEAD_BYTES_MAX:
                    self.broken("request_before_tunnel")
                return
            if held[:1] != b"\r" and len(held) <= HEAD_BYTES_MAX and find_head_end(held, max(0, scanned - 2)) < 0:
                self._check_held()
                return
            data = bytes(held)
            held.clear()
        self._read(data, started_ns, at_ns)

    def _read(self, data: bytes, started_ns: int, at_ns: int) -> None:
        start, size = 0, len(data)
        while start < size and not self.off:
            body = self._body
            if body is not None:
                start = self._feed_body(body, data, start, at_ns)
            elif data[start] == 13 and data.startswith(b"\r\n", start):
                start += 2  # empty lines before a request are ignored, RFC 9112 section 2.2
            else:
                end = data.find(b"\r\n\r\n", start)
                if end < 0 and find_head_end(data, start) < 0:
                    self._held += data[start:]
                    self._held_ns = started_ns
                    self._line_checked = False
                    if data[start:] != b"\r":
                        self._check_held()
                    return
                start = self._head(data, start, end, started_ns, at_ns)
            started_ns = at_ns

    def _check_held(self) -> None:
        """An unfinished head: give up early on what does not begin as a request, or is too long."""
        held = self._held
        if not self._line_checked:
            end = held.find(b"\n", 0, HEAD_BYTES_MAX)
            if end >= 0:
                self._line_checked = True
                fault = _line_fault(bytes(held), 0)
                if fault is not None:
                    self.broken(f"request_{fault}")
                    return
        if len(held) > HEAD_BYTES_MAX:
            self.broken("request_head_too_large")

    def _head(self, data: bytes, start: int, end: int, started_ns: int, at_ns: int) -> int:
        """Read one head; end: where CRLF CRLF was found, -1 where only bare line feeds end it."""
        flights = self._flights
        try:
            if end < 0 or end - start + 4 > HEAD_BYTES_MAX:
                raise Fault("bare_lf")
            raw = data[start : end + 2]
            if raw == self._last_raw and self._last is not None:  # many peers repeat themselves to the letter
                head = self._last
            else:
                head = self._last = parse_request(raw)
                self._last_raw = raw
        except Fault as fault:
            self._malformed(data, start, fault, started_ns)
            return len(data)
        if head.fault is not None:
            self.broken(f"request_{head.fault}", head, started_ns)
            return len(data)
        if len(flights.waiting) >= PIPELINE_MAX:
            self.broken("pipeline_too_deep")
            return len(data)
        flight = flights.began(head, started_ns)
        flights.pipelined = flights.pipelined or len(flights.waiting) > 1
        start = end + 4
        if head.request.method == "CONNECT":  # a body has no meaning here, RFC 9110 section 9.3.6
            flight.ended_ns = at_ns
            self.paused = True
            self._held += data[start:]
            self._held_ns = at_ns
            if len(self._held) > HEAD_BYTES_MAX:
                self.broken("request_before_tunnel")
            elif head.length:
                self.off = True
            return len(data)
        if head.length == 0:
            flight.ended_ns = at_ns
            return start
        if head.coded:
            flight.fault = "request_transfer_coding"
        cap = -1 if flight.token is None else self._body_bytes_max
        if len(flights.waiting) > _FULL_BODIES:
            cap >>= 4
        flights.reading = flight
        self._body = ChunkedBody(cap) if head.length == CHUNKED else LengthBody(cap, head.length)
        return start

    def _malformed(self, data: bytes, start: int, fault: Fault, started_ns: int) -> None:
        behind = find_head_end(data, start)
        line_fault = _line_fault(data, start)
        if line_fault is not None:
            self.broken(f"request_{line_fault}")
        elif behind - start > HEAD_BYTES_MAX:
            self.broken("request_head_too_large")
        else:
            raw = data[start:behind]
            self.broken(f"request_{explain(raw, fault)}", salvage(raw.rstrip(b"\r\n")), started_ns)

    def _feed_body(self, body: Body, data: bytes, start: int, at_ns: int) -> int:
        try:
            start = body.feed(data, start)
        except Fault as fault:
            self.broken(f"request_{fault}")
            return len(data)
        if body.done:
            self._body_ended(at_ns)
        return start

    def _body_ended(self, at_ns: int) -> None:
        flight, body = self._flights.reading, self._body
        self._flights.reading = self._body = None
        if flight is not None and body is not None:
            flight.take_request_body(body)
            flight.ended_ns = at_ns
            if flight.response is not None:  # answered before its body had ended
                self._flights.finish(flight)

    def stop_body(self) -> None:
        """Put what was read of an unfinished body into its request; `Flights.reading` stays."""
        flight, body = self._flights.reading, self._body
        self._body = None
        if flight is not None and body is not None:
            flight.take_request_body(body)

    def cut_body(self, reason: str) -> None:
        """The body that is being read does not go on; its response may still come."""
        self.stop_body()
        flight, self._flights.reading = self._flights.reading, None
        if flight is not None:
            flight.fault = flight.fault or reason
            if flight.response is not None:
                self._flights.finish(flight)

    def broken(self, reason: str, head: RequestHead | None = None, started_ns: int = 0) -> None:
        """The bytes cannot be read any further; responses to what was read still are.

        head: of a request that could be read, though not where it ends.
        """
        self.stop()
        self.cut_body(reason)
        if head is not None and len(self._flights.waiting) < PIPELINE_MAX:
            self._flights.began(head, started_ns).fault = reason
        self._flights.opaque(reason)

    def end(self) -> None:
        """The client sends nothing any more; what it began stays waiting for its response."""
        if self.off:
            return
        if self.head_begun:
            self.broken("request_head_cut")
        self.stop()
        self.cut_body("request_cut")

    def stop(self) -> None:
        """Read nothing any more."""
        self.off = True
        self._held.clear()

    def resume(self, at_ns: int) -> None:
        """CONNECT was refused: what the client sent behind it is HTTP after all."""
        self.paused = False
        rest = bytes(self._held)
        self._held.clear()
        if rest and not self.off:
            self._read(rest, self._held_ns, at_ns)

    def gap(self, missing_bytes: int, at_ns: int) -> bool:
        """Pass over lost bytes; False where it is no longer known where messages begin."""
        body = self._body
        if body is None or missing_bytes <= 0 or not body.skip(missing_bytes):
            return False
        if body.done:
            self._body_ended(at_ns)
        return True

    @property
    def head_begun(self) -> bool:
        """True where the start of a request was read, and not yet all of its head."""
        return not self.paused and not self.lost and bool(self._held.strip(b"\r\n"))

    @property
    def left(self) -> int | None:
        """Bytes to the end of the request that is being read, 0 between two; None where that is not known."""
        if self._body is not None:
            return self._body.left if isinstance(self._body, LengthBody) else None
        return 0 if self.between else None

    def lose(self) -> None:
        """Read nothing until a sure start."""
        self.stop_body()
        self._held.clear()
        self.paused = False
        self.lost = True


def _line_fault(data: bytes, start: int) -> str | None:
    """Why the first line cannot be a request line; None where it can, or is too long to be looked at."""
    end = data.find(b"\n", start, start + HEAD_BYTES_MAX)
    if end < 0:
        return None
    try:
        check_request_line(data[start:end].removesuffix(b"\r"))
    except Fault as fault:
        return str(fault)
    return None
