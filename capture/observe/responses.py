"""The server's direction of an HTTP/1 connection: responses, each paired with the oldest request that waits."""

from __future__ import annotations

import re
from typing import Final

from capture.observe.body import Body, ChunkedBody, CloseBody, Digest, LengthBody
from capture.observe.flight import Flights
from capture.observe.head import (
    CHUNKED,
    HEAD_BYTES_MAX,
    UNTIL_CLOSE,
    Fault,
    ResponseHead,
    explain,
    find_head_end,
    frame_response,
    parse_response,
)
from capture.observe.requests import RequestReader

__all__ = ["ResponseReader"]

_START: Final = re.compile(rb"HTTP/1\.[01] [1-5][0-9][0-9][ \r]")
_MAY_START: Final = re.compile(rb"H(?:T(?:T(?:P(?:/(?:1(?:\.(?:[01](?: [0-9]{0,3})?)?)?)?)?)?)?)?")


class ResponseReader:
    """Reads responses; it also stops or resumes the other direction, where a response decides what that means.

    off and lost are as for `RequestReader`. unsure: after a gap, bytes came that may have held the start of the
    response that waits.
    """

    __slots__ = (
        "_body",
        "_body_bytes_max",
        "_flights",
        "_head",
        "_held",
        "_held_ns",
        "_last",
        "_last_raw",
        "_last_whole",
        "_requests",
        "lost",
        "off",
        "unsure",
    )

    def __init__(self, flights: Flights, requests: RequestReader, body_bytes_max: int) -> None:
        self._flights = flights
        self._requests = requests
        self._body_bytes_max = body_bytes_max
        self._head: ResponseHead | None = None  # of the response whose body is being read
        self._body: Body | None = None
        self._held = bytearray()  # an unfinished head
        self._held_ns = 0
        self._last: ResponseHead | None = None
        self._last_raw = b""
        self._last_whole = False
        self.off = False
        self.lost = False
        self.unsure = False

    def feed(self, data: bytes, at_ns: int) -> None:
        """Read the next bytes; must not be called once `off`."""
        started_ns = at_ns
        if self.lost:
            data = bytes(self._held) + data
            self._held.clear()
            if _START.match(data) is None:
                if _MAY_START.fullmatch(data) is not None:
                    self._held += data
                else:
                    self.unsure = bool(self._flights.waiting)
                return
            if not self._flights.waiting:
                return  # its request was lost, or given up in that gap
            self.lost = False
        held = self._held
        if held:
            started_ns = self._held_ns
            scanned = len(held)
            held += data
            if held[:1] != b"\r" and len(held) <= HEAD_BYTES_MAX and find_head_end(held, max(0, scanned - 2)) < 0:
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
                start += 2  # seen behind bodies in the wild, and harmless
            else:
                end = data.find(b"\r\n\r\n", start)
                if end < 0 and find_head_end(data, start) < 0:
                    self._hold(data[start:], started_ns)
                    return
                start = self._response(data, start, end, started_ns, at_ns)
            started_ns = at_ns

    def _hold(self, rest: bytes, started_ns: int) -> None:
        if not self._flights.waiting and rest != b"\r":
            self.broken("response_without_request")
        elif len(rest) > HEAD_BYTES_MAX:
            self.broken("response_head_too_large")
        else:
            self._held += rest
            self._held_ns = started_ns

    def _response(self, data: bytes, start: int, end: int, started_ns: int, at_ns: int) -> int:
        """Read one head, and its body where all of it is here; end: where CRLF CRLF was found, or -1."""
        if not self._flights.waiting:
            self.broken("response_without_request")
            return len(data)
        flight = self._flights.waiting[0]
        try:
            if end < 0 or end - start + 4 > HEAD_BYTES_MAX:
                raise Fault("bare_lf")
            head = self._parse(data[start : end + 2], flight.token is not None)
        except Fault as fault:
            flight.response_ns = started_ns
            raw = data[start : find_head_end(data, start)]
            self.broken(f"response_{'head_too_large' if len(raw) > HEAD_BYTES_MAX else explain(raw, fault)}")
            return len(data)
        start = end + 4
        status = head.status
        if status < 200 and status != 101:
            return start
        flight.response_ns = started_ns
        self._head = head
        method = flight.request.method
        if status == 101 or (method == "CONNECT" and status < 300):
            self._ended(b"", 0, None, at_ns)
            self._tunnel("upgrade" if status == 101 else "connect")
            return len(data)
        if method == "CONNECT" and self._requests.paused:
            self._requests.resume(at_ns)
        if status == 204 or status == 304 or method == "HEAD":
            self._ended(b"", 0, None, at_ns)
            return start
        if head.fault is not None:
            self.broken(f"response_{head.fault}")
            return len(data)
        length = head.length
        if 0 <= length <= len(data) - start:  # the whole body is here: the usual case
            kept = min(length, self._body_bytes_max) if flight.token is not None else 0
            digest = None
            if kept < length and flight.token is not None:
                digest = Digest(data[start : start + length])
            self._ended(data[start : start + kept], length, None, at_ns, digest)
            return start + length
        cap = -1 if flight.token is None else self._body_bytes_max
        if length == CHUNKED:
            self._body = ChunkedBody(cap)
        elif length == UNTIL_CLOSE:
            self._body = CloseBody(cap)
        else:
            self._body = LengthBody(cap, length)
        return start

    def _parse(self, raw: bytes, whole: bool) -> ResponseHead:
        """The head, with its headers only where whole; many peers repeat themselves to the letter."""
        if raw == self._last_raw and self._last is not None and (self._last_whole or not whole):
            return self._last
        head = self._last = parse_response(raw) if whole else frame_response(raw)
        self._last_raw, self._last_whole = raw, whole
        return head

    def _feed_body(self, body: Body, data: bytes, start: int, at_ns: int) -> int:
        try:
            start = body.feed(data, start)
        except Fault as fault:
            self.broken(f"response_{fault}")
            return len(data)
        if body.done:
            self._ended(bytes(body.kept), body.length, body, at_ns)
        return start

    def _ended(
        self, kept: bytes, length: int, body: Body | None, at_ns: int | None, digest: Digest | None = None
    ) -> None:
        """The response to waiting[0] is over; at_ns None: its last byte was not seen."""
        flights = self._flights
        flight = flights.waiting.popleft()
        head = self._head
        self._head = self._body = None
        if head is not None and flight.token is not None:
            flight.take_response(head, kept, length, body, body.digest if body is not None else digest)
            flight.response_ended_ns = at_ns
        if flight is not flights.reading:
            flights.finish(flight)
        elif flight.token is None:
            flights.reading = None

    def _cut(self, reason: str) -> None:
        """End the first waiting exchange with what there is of its response."""
        flights, body = self._flights, self._body
        flight = flights.waiting[0]
        flight.fault = flight.fault or reason
        if flight is flights.reading:
            self._requests.stop_body()
            flights.reading = None
        if body is not None:
            self._ended(bytes(body.kept), body.length, body, None)
        else:
            self._ended(b"", 0, None, None)

    def broken(self, reason: str) -> None:
        """The bytes cannot be read any further, so no later request can be paired either."""
        self.stop()
        self._requests.stop()
        if self._flights.waiting:
            self._cut(reason)
        self._requests.stop_body()
        self._flights.flush("response_unreadable", "response_unreadable")
        self._flights.opaque(reason)

    def _tunnel(self, reason: str) -> None:
        self.stop()
        self._requests.stop()
        self._requests.stop_body()
        self._flights.flush(reason, reason)
        self._flights.opaque(reason)

    def stop(self) -> None:
        """Read nothing any more."""
        self.off = True
        self._held.clear()

    def end(self, at_ns: int) -> None:
        """The server sends nothing any more: the proper end of a body that has no other."""
        if self.off:
            return
        body = self._body
        if isinstance(body, CloseBody):
            self._ended(bytes(body.kept), body.length, body, at_ns)
        else:
            self.cut("response_cut")
        self.stop()

    def cut(self, reason: str) -> None:
        """The response that is being read, if any, does not go on."""
        if self._flights.waiting and (self._head is not None or self._held.strip(b"\r\n")):
            self._cut(reason)

    def gap(self, missing_bytes: int) -> bool:
        """Pass over lost bytes; False where it is no longer known where messages begin."""
        body = self._body
        if body is None or missing_bytes <= 0 or not body.skip(missing_bytes):
            return False
        if body.done:
            self._ended(bytes(body.kept), body.length, body, None)
        return True

    @property
    def begun(self) -> bool:
        """True where some of the response to the oldest request that waits was read."""
        return self._head is not None or bool(self._held)

    @property
    def left(self) -> int | None:
        """Bytes to the end of the response that is being read, 0 between two; None where that is not known."""
        if self.off or self.lost or self._held:
            return None
        if self._body is not None:
            return self._body.left if isinstance(self._body, LengthBody) else None
        return None if self._flights.waiting else 0

    def lose(self) -> None:
        """Read nothing until a sure start."""
        self.unsure = False
        self._head = self._body = None
        self._held.clear()
        self.lost = True
