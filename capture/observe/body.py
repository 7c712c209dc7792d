"""Readers of message bodies: counted, chunked, or until the connection closes, each kept up to a cap."""

from __future__ import annotations

import re
from typing import Final

import xxhash

from capture.exchange import Headers
from capture.observe.head import HEAD_BYTES_MAX, Fault, find_head_end, parse_fields

__all__ = ["CHUNK_LINE_BYTES_MAX", "Body", "ChunkedBody", "CloseBody", "Digest", "LengthBody"]

CHUNK_LINE_BYTES_MAX: Final = 4096
"""Longest line of a chunk size with its extensions."""

_CHUNK_LINE: Final = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\x00-\x08\x0a-\x1f\x7f]*)?")


class Digest:
    """XXH3 (128 bits) of a whole body of which only the beginning is kept, so that it can be told from others."""

    __slots__ = ("_hasher",)

    def __init__(self, kept: bytes | bytearray) -> None:
        self._hasher = xxhash.xxh3_128(kept)

    def update(self, data: bytes | memoryview) -> None:
        """Take in what followed."""
        self._hasher.update(data)

    def note(self, side: str) -> str:
        """How the record says it; side: "request" or "response"."""
        return f"{side} body digest: xxh3-128:{self._hasher.hexdigest()}"


class Body:
    """A body that is being read. `feed` takes what belongs to it; nothing is kept where cap is negative.

    length: bytes that belong to the body so far, kept or not. lost: some of them were not seen (`skip`). digest: of the
    whole body where it is longer than the cap, else None.
    """

    __slots__ = ("cap", "digest", "done", "kept", "length", "lost", "trailers")

    def __init__(self, cap: int) -> None:
        self.cap = cap
        self.kept = bytearray()
        self.length = 0
        self.digest: Digest | None = None
        self.done = False
        self.lost = False
        self.trailers: Headers = ()

    def feed(self, data: bytes, start: int) -> int:
        """Read `data` from `start` on; returns the index behind what belonged to this body. Raises Fault."""
        raise NotImplementedError

    def skip(self, missing_bytes: int) -> bool:
        """Pass over bytes that were never seen; False where it is no longer known where the body is."""
        raise NotImplementedError

    def _keep(self, data: bytes, start: int, end: int) -> None:
        self.length += end - start
        room = self.cap - len(self.kept)
        if end - start <= room:
            self.kept += data[start:end]
        elif self.cap >= 0:
            self.kept += data[start : start + room]
            if self.digest is None:
                self.digest = Digest(self.kept)
            self.digest.update(memoryview(data)[start + room : end])


class LengthBody(Body):
    """A body of exactly `left` bytes."""

    __slots__ = ("left",)

    def __init__(self, cap: int, left: int) -> None:
        super().__init__(cap)
        self.left = left

    def feed(self, data: bytes, start: int) -> int:
        end = min(len(data), start + self.left)
        self._keep(data, start, end)
        self.left -= end - start
        self.done = self.left == 0
        return end

    def skip(self, missing_bytes: int) -> bool:
        self.lost = True
        if missing_bytes > self.left:
            return False
        self.left -= missing_bytes
        self.done = self.left == 0
        return True


class CloseBody(Body):
    """A body that ends with the connection; never done by itself."""

    __slots__ = ()

    def feed(self, data: bytes, start: int) -> int:
        self._keep(data, start, len(data))
        return len(data)

    def skip(self, missing_bytes: int) -> bool:
        self.lost = True
        return True


class ChunkedBody(Body):
    """The chunked transfer coding, RFC 9112 section 7.1: extensions are passed over, trailers kept.

    left: bytes of the current chunk to come, and 2 for its line end; 0 between chunks. held: an unfinished line, or
    the unfinished trailers (`in_trailers`).
    """

    __slots__ = ("held", "in_trailers", "left")

    def __init__(self, cap: int) -> None:
        super().__init__(cap)
        self.left = 0
        self.held = b""
        self.in_trailers = False

    def feed(self, data: bytes, start: int) -> int:
        size = len(data)
        while start < size and not self.done:
            if self.left:
                start = self._data(data, start)
            elif self.in_trailers:
                start = self._trailers(data, start)
            else:
                start = self._line(data, start)
        return start

    def _data(self, data: bytes, start: int) -> int:
        if self.left > 2:
            end = min(len(data), start + self.left - 2)
            self._keep(data, start, end)
            self.left -= end - start
            if self.left > 2 or end == len(data):
                return end
            start = end
        end = min(len(data), start + self.left)
        if data[start:end] != b"\r\n"[2 - self.left : 2 - self.left + end - start]:
            raise Fault("bad_chunk_end")
        self.left -= end - start
        return end

    def _line(self, data: bytes, start: int) -> int:
        end = data.find(b"\n", start, start + CHUNK_LINE_BYTES_MAX + 1)
        line = data[start:end] if end >= 0 else data[start:]
        if self.held:
            line = self.held + line
        if len(line) > CHUNK_LINE_BYTES_MAX:
            raise Fault("chunk_line_too_long")
        if end < 0:
            self.held = line
            return len(data)
        self.held = b""
        if line[-1:] != b"\r":
            raise Fault("bare_lf")
        match = _CHUNK_LINE.fullmatch(line, 0, len(line) - 1)
        if match is None:
            raise Fault("bare_cr" if b"\r" in line[:-1] else "bad_chunk_size")
        chunk = int(match[1], 16)
        if chunk:
            self.left = chunk + 2
        else:
            self.in_trailers = True
        return end + 1

    def _trailers(self, data: bytes, start: int) -> int:
        if not self.held and data.startswith(b"\r\n", start):
            self.done = True
            return start + 2
        before = len(self.held)
        block = self.held + data[start : start + HEAD_BYTES_MAX + 4]
        if block[:2] == b"\r\n":
            self.done = True
            return start + 2 - before
        if block[:1] == b"\n":
            raise Fault("bare_lf")
        end = find_head_end(block, max(0, before - 2))
        if (end if end >= 0 else len(block)) > HEAD_BYTES_MAX:
            raise Fault("trailers_too_large")
        if end < 0:
            self.held = block
            return len(data)
        self.held = b""
        if block[end - 4 : end] != b"\r\n\r\n":
            raise Fault("bare_lf")
        self.trailers = parse_fields(block[: end - 2])
        self.done = True
        return start + end - before

    def skip(self, missing_bytes: int) -> bool:
        self.lost = True
        if self.left < 2 or missing_bytes > self.left - 2:
            return False
        self.left -= missing_bytes
        return True
