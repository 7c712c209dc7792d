"""Counts the requests of a connection that is not sampled, from the client's bytes alone, as cheaply as can be."""

from __future__ import annotations

import re
from typing import Final

from capture.observe.body import Body, ChunkedBody, LengthBody
from capture.observe.connection import recognise
from capture.observe.head import CHUNKED, HEAD_BYTES_MAX, Fault, find_head_end, parse_request
from capture.observe.http2 import PREFACE

__all__ = ["Skim"]

_FRAMED: Final = re.compile(rb"\n(?:content-length|transfer-encoding)[ \t]*:", re.IGNORECASE)
_START: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+ [^\x00-\x20\x7f]+ HTTP/1\.[0-9]\r\n")
_HEADERS: Final = 1


class Skim:
    """Follows just the framing of the client's direction; never raises on any bytes.

    A request is counted when its head is whole, as `ConnectionObserver` would call `begin` for it. It reads on where an
    observer would be stricter: fields that say nothing about a body are not looked at. For HTTP/2 the HEADERS frames
    that open a stream are counted.

    opaque: why the bytes cannot be read on ("tls", "connect", "upgrade", "request_..."), None while they can. What
    follows a request to upgrade is read as HTTP for as long as it is HTTP.
    """

    __slots__ = ("_alone", "_body", "_h2_last_id", "_held", "_http2", "_last", "lost", "opaque")

    def __init__(self) -> None:
        self.opaque: str | None = None
        self.lost = False
        self._held = b""
        self._body: Body | _Frame | None = None
        self._http2: bool | None = None  # None until the first bytes have said so
        self._h2_last_id = 0
        self._last = b""  # head of the last request, in lower case
        self._alone = b""  # the last chunk that was one whole request without a body: clients repeat themselves

    def client_bytes(self, data: bytes) -> int:
        """The client sent these bytes; returns how many requests began in them."""
        if data == self._alone and self._body is None and not self._held:
            return 1 if data else 0
        if self.opaque is not None:
            return 0
        if self._held:
            data = self._held + data
            self._held = b""
        if self._http2:
            return self._frames(data)
        return self._first(data) if self._http2 is None else self._requests(data)

    def gap(self, missing_bytes: int) -> int:
        """So many bytes were lost; returns how many requests surely were in them, at least in part.

        Between two requests that is one, or as many as of the last request's size fit exactly. `lost` says whether the
        start of a request has to be looked for behind it; then `restart` there.
        """
        body, self._body = self._body, None
        held, self._held = self._held, b""
        if isinstance(body, LengthBody | _Frame) and missing_bytes <= body.left:
            body.left -= missing_bytes
            self._body = body if body.left else None
            return 0
        self.lost = True
        if self._http2 or (body is not None and not isinstance(body, LengthBody)):
            return 0
        missing_bytes -= body.left if body is not None else 0
        size = len(self._alone)
        return missing_bytes // size if not held and size and missing_bytes % size == 0 else 1

    @property
    def between(self) -> bool:
        """True where the next byte begins a new request."""
        return self._body is None and not self._held and not self.lost and self.opaque is None

    def restart(self) -> None:
        """The next byte is the first of a request, or of an HTTP/2 connection."""
        self.lost = False
        self._http2 = None

    def _first(self, data: bytes) -> int:
        protocol = recognise(data) if data else None
        if protocol == "http1":
            self._http2 = False
            return self._requests(data)
        if protocol == "http2":
            self._http2 = True
            return self._frames(data[len(PREFACE) :])
        if protocol is None:
            self._held = data
        else:
            self._give_up(protocol)
        return 0

    def _requests(self, data: bytes) -> int:
        count, start, size = 0, 0, len(data)
        while start < size:
            body = self._body
            if body is not None:
                try:
                    start = body.feed(data, start)
                except Fault as fault:
                    self._give_up(f"request_{fault}")
                    return count
                if body.done:
                    self._body = None
                continue
            end = data.find(b"\r\n\r\n", start)
            if end < 0 or data[start] == 13:
                if data.startswith(b"\r\n", start):
                    start += 2
                    continue
                if end < 0:
                    self._hold(data[start:])
                    return count
            head = data[start : end + 2]
            if _START.match(head) is None or end - start + 4 > HEAD_BYTES_MAX:
                self._broken(head)
                return count
            count += 1
            alone = start == 0 and end + 4 == size
            start = end + 4
            if head.startswith(b"CONNECT "):
                self._give_up("connect")
                return count
            lower = head.lower()
            if b"\ncontent-length" in lower or b"\ntransfer-encoding" in lower:
                self._framing(head)
                if self.opaque is not None:
                    return count
            self._last = lower
            if alone and self._body is None:
                self._alone = data
        return count

    def _give_up(self, reason: str) -> None:
        self.opaque = reason
        self._held = self._alone = self._last = b""

    def _upgrading(self) -> bool:
        return b"\nupgrade:" in self._last

    def _framing(self, head: bytes) -> None:
        if _FRAMED.search(head) is None:
            return
        try:
            parsed = parse_request(head)
        except Fault as fault:
            self._give_up(f"request_{fault}")
            return
        if parsed.fault is not None:
            self._give_up(f"request_{parsed.fault}")
        elif parsed.length == CHUNKED:
            self._body = ChunkedBody(-1)
        elif parsed.length:
            self._body = LengthBody(-1, parsed.length)

    def _hold(self, rest: bytes) -> None:
        line_end = rest.find(b"\n")
        if (line_end >= 0 and _START.match(rest) is None) or find_head_end(rest) >= 0 or len(rest) > HEAD_BYTES_MAX:
            self._broken(rest)
        elif not rest[:1].isalpha() and rest != b"\r" and self._upgrading():
            self._give_up("upgrade")
        else:
            self._held = rest

    def _broken(self, head: bytes) -> None:
        if self._upgrading():
            self._give_up("upgrade")
        elif _START.match(head) is None:
            self._give_up("request_bad_request_line")
        elif len(head) > HEAD_BYTES_MAX - 2:
            self._give_up("request_head_too_large")
        else:
            self._give_up("request_bare_lf")

    def _frames(self, data: bytes) -> int:
        count, start, size = 0, 0, len(data)
        while start < size:
            frame = self._body
            if frame is not None:
                start = frame.feed(data, start)
                if frame.done:
                    self._body = None
                continue
            if size - start < 9:
                self._held = data[start:]
                break
            length = int.from_bytes(data[start : start + 3], "big")
            number = int.from_bytes(data[start + 5 : start + 9], "big") & 0x7FFFFFFF
            if data[start + 3] == _HEADERS and number % 2 and number > self._h2_last_id:
                self._h2_last_id = number
                count += 1
            start += 9
            if length <= size - start:
                start += length
            else:
                self._body = _Frame(length)
        return count


class _Frame:
    """The rest of a frame that goes on in the next bytes."""

    __slots__ = ("done", "left")

    def __init__(self, left: int) -> None:
        self.left = left
        self.done = False

    def feed(self, data: bytes, start: int) -> int:
        """The index behind what belongs to this frame."""
        end = min(len(data), start + self.left)
        self.left -= end - start
        self.done = self.left == 0
        return end
