"""Bytes of a response to a `Response`: a fast, bounded HTTP/1.1 reader for the client's side (RFC 9112)."""

from __future__ import annotations

import re
from typing import Final

from capture.exchange import Headers, Response

__all__ = ["AnswerReader", "MalformedAnswer", "TooLarge", "whole_answer"]

_CHUNKED, _UNTIL_CLOSE = -1, -2
_HEAD_CACHE_MAX = 2048
_HEAD_CACHED_BYTES_MAX = 4096
_LINE_CACHE_MAX = 8192
_FRAMING_NAMES = frozenset(("content-length", "transfer-encoding", "connection"))
_LINE_MAX = 8192
_TRAILER_BYTES_MAX = 64 << 10
_STATUS_LINE = re.compile(r"(HTTP/\d\.\d) (\d{3})(?: ([^\r\n]*))?\Z")
_END_BARE = re.compile(rb"\r?\n\r?\n")
_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+\Z")
_HEX = re.compile(rb"[0-9A-Fa-f]{1,15}\Z")


class MalformedAnswer(ValueError):
    """What arrived is not an HTTP/1.x response; str() says where it stops being one."""


class TooLarge(ValueError):
    """The head or the body is longer than the caps; str() says which."""


class _Head:
    """What a response's head says, apart from the method it answers; shared between equal heads, never changed."""

    __slots__ = ("framing", "headers", "keep_alive", "plain", "reason", "status", "version")

    def __init__(self, status: int, reason: str, version: str, headers: Headers, framed: Headers) -> None:
        """framed: those of the headers that _FRAMING_NAMES has."""
        self.status = status
        self.reason = reason
        self.version = version
        self.headers = headers
        self.framing = _framing(framed)
        tokens = {
            token.strip().lower()
            for name, value in framed
            if name.lower() == "connection"
            for token in value.split(",")
        }
        self.keep_alive = "close" not in tokens and (version == "HTTP/1.1" or "keep-alive" in tokens)
        # A body of known length follows, whatever the method but HEAD and CONNECT, and then another response may.
        self.plain = self.keep_alive and self.framing >= 0 and status >= 200 and status not in (204, 304)


def _framing(headers: Headers) -> int:
    """The body's length, or _CHUNKED, or _UNTIL_CLOSE (RFC 9112 section 6.3), method and status left aside."""
    length: str | None = None
    for name, value in headers:
        lower = name.lower()
        if lower == "transfer-encoding":
            codings = [c.strip().lower() for n, v in headers if n.lower() == lower for c in v.split(",")]
            return _CHUNKED if codings[-1] == "chunked" else _UNTIL_CLOSE
        if lower == "content-length":
            for part in value.split(","):
                part = part.strip()
                if not (part.isascii() and part.isdigit()) or len(part) > 18:
                    raise MalformedAnswer(f"Content-Length is not a number: {value[:40]!r}")
                if length is not None and int(part) != int(length):
                    raise MalformedAnswer(f"two different Content-Length: {length} and {part}")
                length = part
    return _UNTIL_CLOSE if length is None else int(length)


def _parse_head(raw: bytes) -> _Head:
    first, *lines = raw.decode("latin-1").split("\n")
    match = _STATUS_LINE.match(first.rstrip("\r"))
    if match is None:
        raise MalformedAnswer(f"not a status line: {first[:80]!r}")
    headers: list[tuple[str, str]] = []
    framed: list[tuple[str, str]] = []
    for line in lines:
        known = _lines.get(line)
        if known is not None:
            headers.append(known)
            continue
        text = line[:-1] if line.endswith("\r") else line
        if text[:1] in (" ", "\t") and headers:
            name, value = headers[-1]
            headers[-1] = (name, f"{value} {text.strip(' ' + chr(9))}".strip(" "))
            if framed and name.lower() in _FRAMING_NAMES:
                framed[-1] = headers[-1]
            continue
        header = _parse_line(text)
        headers.append(header)
        if header[0].lower() in _FRAMING_NAMES:
            framed.append(header)
        else:
            if len(_lines) >= _LINE_CACHE_MAX:
                _lines.clear()
            _lines[line] = header
    return _Head(int(match[2]), match[3] or "", match[1], tuple(headers), tuple(framed))


_lines: dict[str, tuple[str, str]] = {}
"""Header lines that say nothing about framing, as they were read before; bounded above. Most come again and again."""


def _parse_line(line: str) -> tuple[str, str]:
    name, colon, value = line.partition(":")
    if not colon or not _NAME.match(name.rstrip(" \t")) or "\0" in value or "\r" in value:
        raise MalformedAnswer(f"not a header line: {line[:80]!r}")
    return name.rstrip(" \t"), value.strip(" \t")


_heads: Final[dict[bytes, _Head]] = {}
"""Heads that were read before; bounded below."""


def _head_of(raw: bytes) -> _Head:
    """What a head without its empty line says; raises MalformedAnswer."""
    head = _heads.get(raw)
    if head is None:
        head = _parse_head(raw)
        if len(raw) <= _HEAD_CACHED_BYTES_MAX:
            if len(_heads) >= _HEAD_CACHE_MAX:
                _heads.clear()
            _heads[raw] = head
    return head


def whole_answer(data: bytes, method: str, body_bytes_max: int, head_bytes_max: int) -> Response | None:
    """The response where `data` is exactly one that lets the connection be used again: the usual case, read fast.

    None where it is anything else, also what is malformed: give it to an `AnswerReader`.
    """
    raw, end, body = data.partition(b"\r\n\r\n")
    if not end or len(raw) > head_bytes_max or method == "HEAD" or method == "CONNECT":
        return None
    head = _heads.get(raw)
    if head is None:
        if b"\n\n" in raw or b"\n\r\n" in raw:
            return None
        try:
            head = _head_of(raw)
        except MalformedAnswer:
            return None
    length = head.framing
    if not head.plain or len(body) != length or length > body_bytes_max:
        return None
    return Response(head.status, head.reason, head.version, head.headers, body, length)


class AnswerReader:
    """Reads the one response to one request; make a new one for the next.

    method: of the request, it decides about the body. body_bytes_max, head_bytes_max: caps. After an error or a
    complete response nothing more may be fed. `rest` is what followed the response on the connection, b"" normally.
    """

    __slots__ = (
        "_body_max",
        "_data",
        "_head",
        "_head_max",
        "_left",
        "_method",
        "_parts",
        "_size",
        "_trailers",
        "_trailers_size",
        "rest",
    )

    def __init__(self, method: str, body_bytes_max: int, head_bytes_max: int = 256 << 10) -> None:
        self._method = method
        self._body_max = body_bytes_max
        self._head_max = head_bytes_max
        self._data = b""
        self._head: _Head | None = None
        self._parts: list[bytes] = []
        self._size = 0
        self._left = -1
        self._trailers: list[str] | None = None
        self._trailers_size = 0
        self.rest = b""

    @property
    def keep_alive(self) -> bool:
        """After a complete response: whether the connection may carry another request."""
        head = self._head
        return head is not None and head.keep_alive and head.status != 101

    def feed(self, data: bytes) -> Response | None:
        """Take the next bytes; the response once it is complete, else None. Raises MalformedAnswer or TooLarge."""
        if self._data:
            data = self._data + data
            self._data = b""
        head = self._head
        while head is None:
            end = data.find(b"\r\n\r\n")
            if end < 0:
                return self._await_head(data)
            raw = data[:end]
            head = _heads.get(raw)
            if head is None:
                found = _END_BARE.search(data)
                assert found is not None
                raw, end = data[: found.start()], found.end() - 4
                head = self._parse(raw)
            data = data[end + 4 :]
            if 100 <= head.status < 200 and head.status != 101:
                head = None  # an interim response: the final one is still to come
                continue
            self._head = head
            framing = head.framing
            if framing > 0 and framing <= len(data) and framing <= self._body_max and self._bodied(head):
                # Head and whole body at once, the common case.
                self.rest = data[framing:]
                body = data if framing == len(data) else data[:framing]
                return Response(head.status, head.reason, head.version, head.headers, body, framing)
            if not self._bodied(head) or framing == 0:
                self.rest = data
                return Response(head.status, head.reason, head.version, head.headers)
            if framing > self._body_max:
                raise TooLarge(f"the body is {framing} bytes long, more than {self._body_max}")
            self._left = framing if framing > 0 else -1
        return self._feed_body(head, data)

    def eof(self) -> Response | None:
        """The peer closed: the response where it was to last until then, else None."""
        if self._head is not None and self._head.framing == _UNTIL_CLOSE:
            return self._complete(self._head)
        return None

    def partial(self) -> Response | None:
        """What has arrived, marked as truncated; None before the head is complete."""
        head = self._head
        if head is None:
            return None
        body = b"".join(self._parts)
        size = head.framing if head.framing > 0 else len(body)
        return Response(head.status, head.reason, head.version, head.headers, body, size, True)

    @property
    def has_head(self) -> bool:
        """True once the head of the final response has arrived."""
        return self._head is not None

    @property
    def size(self) -> int:
        """Bytes of the body that have arrived."""
        return self._size

    def _bodied(self, head: _Head) -> bool:
        return (
            self._method != "HEAD"
            and head.status not in (204, 304, 101)
            and (self._method != "CONNECT" or head.status >= 300)
        )

    def _await_head(self, data: bytes) -> Response | None:
        if data and not b"HTTP/".startswith(data[:5]) and not data.startswith(b"HTTP/"):
            raise MalformedAnswer(f"does not begin with HTTP/: {data[:40]!r}")
        bare = _END_BARE.search(data)
        if bare is not None:
            # Lines that end with a bare line feed (RFC 9112 section 2.2 lets a recipient take them).
            return self.feed(data[: bare.start()] + b"\r\n\r\n" + data[bare.end() :])
        if len(data) > self._head_max:
            raise TooLarge(f"the head is longer than {self._head_max} bytes")
        self._data = data
        return None

    def _parse(self, raw: bytes) -> _Head:
        if len(raw) > self._head_max:
            raise TooLarge(f"the head is longer than {self._head_max} bytes")
        return _head_of(raw)

    def _feed_body(self, head: _Head, data: bytes) -> Response | None:
        if head.framing == _CHUNKED:
            return self._feed_chunked(head, data)
        if head.framing == _UNTIL_CLOSE:
            self._keep(data)
            return None
        if len(data) < self._left:
            self._keep(data)
            self._left -= len(data)
            return None
        self.rest = data[self._left :]
        self._keep(data[: self._left])
        return self._complete(head)

    def _keep(self, data: bytes) -> None:
        if data:
            self._parts.append(data)
            self._size += len(data)
            if self._size > self._body_max:
                raise TooLarge(f"the body is longer than {self._body_max} bytes")

    def _complete(self, head: _Head) -> Response:
        body = b"".join(self._parts)
        trailers: Headers = ()
        if self._trailers:
            trailers = tuple(
                (name.strip(), value.strip(" \t")) for name, _, value in (t.partition(":") for t in self._trailers)
            )
        return Response(head.status, head.reason, head.version, head.headers, body, len(body), False, trailers)

    def _feed_chunked(self, head: _Head, data: bytes) -> Response | None:
        """_left: bytes left of the current chunk; -1 before a size line, 0 before the line end after a chunk."""
        at = 0
        while True:
            if self._left > 0:
                piece = data[at : at + self._left]
                self._keep(piece)
                at += len(piece)
                self._left -= len(piece)
                if self._left:
                    return None
            end = data.find(b"\n", at)
            if end < 0:
                self._data = data[at:]
                if len(self._data) > _LINE_MAX:
                    raise MalformedAnswer("a chunk's size line does not end")
                return None
            line = data[at:end].rstrip(b"\r")
            at = end + 1
            if self._trailers is not None:
                if not line:
                    self.rest = data[at:]
                    return self._complete(head)
                self._take_trailer(line)
            elif self._left == 0:
                if line:
                    raise MalformedAnswer(f"a chunk is longer than its size says: {line[:40]!r}")
                self._left = -1
            else:
                size = line.partition(b";")[0].strip(b" \t")
                if not _HEX.match(size):
                    raise MalformedAnswer(f"not a chunk size: {line[:40]!r}")
                self._left = int(size, 16)
                if self._left == 0:
                    self._trailers = []

    def _take_trailer(self, line: bytes) -> None:
        assert self._trailers is not None
        text = line.decode("latin-1")
        if ":" not in text:
            raise MalformedAnswer(f"not a trailer line: {text[:80]!r}")
        self._trailers.append(text)
        self._trailers_size += len(text)
        if self._trailers_size > _TRAILER_BYTES_MAX:
            raise TooLarge(f"the trailers are longer than {_TRAILER_BYTES_MAX} bytes")
