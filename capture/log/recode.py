"""Bodies that a server compressed: kept decompressed in sealed segments, and compressed to the same bytes when read.

What gzip or deflate has packed cannot be packed again, and hides that a thousand pages are alike. So where zlib at one
of its levels makes exactly the bytes that were on the wire, the log keeps the content and how to get those bytes back.
That is tried when it is written and checked when it is read: where another zlib makes other bytes of the same content,
the body is marked (`Recoded`), and its exchange gets a note.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import msgspec
import xxhash

from capture.log.format import FormatError

__all__ = ["NOTE", "Packed", "Recipes", "Recoded", "repack", "unpack"]

NOTE = "log: the body was compressed again by another zlib; its content is the same, its bytes may not be"
_GZIP_HEADER_BYTES, _ZLIB_HEADER_BYTES = 10, 2
_CONTENT_BYTES_MAX = 8 << 20
_CONTENTS_BYTES_MAX = 24 << 20
"""Most bytes that the bodies of one block are decompressed to; the others stay as they were sent."""
_LEVELS = (6, 4, 9, 1, 5, 2, 3, 7, 8)
_TRIES_MAX_AFTER_FAILURES = 2
_FAILURES = 32


class Recoded(bytes):
    """A body whose content is as recorded and whose compressed bytes are not surely so."""


class Packed(msgspec.Struct, frozen=True, array_like=True):
    """The fourth part of a payload, a column each: place of the body in its block, settings of zlib, format header.

    settings: level + 16 x memory level + 256 x window bits. headers: 10 bytes for gzip, 2 for zlib. checksum: XXH3-64
    of all these bodies as they were, one after the other.
    """

    places: list[int] = []
    settings: list[int] = []
    headers: list[bytes] = []
    checksum: int = 0


def _usual(level: int, _content_bytes: int) -> int:
    return level + 16 * 8 + 256 * 15


def _nginx(level: int, content_bytes: int) -> int:
    """nginx makes window and memory smaller for short bodies whose length it knows (ngx_http_gzip_filter_module)."""
    window, memory = 15, 8
    while window > 9 and content_bytes < (1 << window - 1) - 262:
        window, memory = window - 1, memory - 1
    return level + 16 * max(1, memory) + 256 * window


class Recipes:
    """Finds how a body was compressed; what fitted last is tried first, as one server compresses one way."""

    __slots__ = ("_failures", "_ways")

    def __init__(self) -> None:
        self._ways = [(way, level) for level in _LEVELS for way in (_usual, _nginx)]
        self._failures = 0

    def find(self, body: bytes) -> tuple[bytes, int, bytes] | None:
        """(content, settings, header) of a body that zlib can make again to the byte, else None."""
        if body[:4] == b"\x1f\x8b\x08\0" and len(body) > _GZIP_HEADER_BYTES + 8:
            header, trailer = body[:_GZIP_HEADER_BYTES], 8
        elif len(body) > 6 and body[0] == 0x78 and (body[0] << 8 | body[1]) % 31 == 0 and not body[1] & 0x20:
            header, trailer = body[:_ZLIB_HEADER_BYTES], 4
        else:
            return None
        content = _content(body[len(header) : -trailer])
        if content is None:
            return None
        ways = self._ways if self._failures < _FAILURES else self._ways[:_TRIES_MAX_AFTER_FAILURES]
        for place, (way, level) in enumerate(ways):
            settings = way(level, len(content))
            if _coded(content, settings, header) == body:
                self._failures = 0
                self._ways.insert(0, self._ways.pop(place))
                return content, settings, header
        self._failures += 1
        return None


def _content(deflated: bytes) -> bytes | None:
    inflate = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        content = inflate.decompress(deflated, _CONTENT_BYTES_MAX)
    except zlib.error:
        return None
    return content if inflate.eof and not inflate.unused_data and not inflate.unconsumed_tail else None


def _coded(content: bytes, settings: int, header: bytes) -> bytes:
    deflate = zlib.compressobj(settings & 15, zlib.DEFLATED, -(settings >> 8), settings >> 4 & 15)
    coded = header + deflate.compress(content) + deflate.flush()
    if len(header) == _GZIP_HEADER_BYTES:
        return coded + zlib.crc32(content).to_bytes(4, "little") + (len(content) & 0xFFFFFFFF).to_bytes(4, "little")
    return coded + zlib.adler32(content).to_bytes(4, "big")


def repack(bodies: Sequence[bytes], recipes: Recipes) -> tuple[list[bytes], Packed]:
    """The bodies as they are to be stored, and how to get them back."""
    stored: list[bytes] = []
    places: list[int] = []
    settings: list[int] = []
    headers: list[bytes] = []
    checksum = xxhash.xxh3_64()
    left = _CONTENTS_BYTES_MAX
    for place, body in enumerate(bodies):
        found = recipes.find(body) if left > 0 else None
        if found is None:
            stored.append(body)
            continue
        content, way, header = found
        left -= len(content)
        stored.append(content)
        places.append(place)
        settings.append(way)
        headers.append(header)
        checksum.update(body)
    return stored, Packed(places, settings, headers, checksum.intdigest() if places else 0)


def unpack(bodies: list[bytes], packed: Packed) -> list[bytes]:
    """The bodies as they were on the wire; `Recoded` where this zlib makes other bytes. Raises FormatError."""
    if not packed.places:
        return bodies
    if not len(packed.places) == len(packed.settings) == len(packed.headers) <= len(bodies):
        raise FormatError("a block says of other bodies than it has how they were compressed")
    checksum = xxhash.xxh3_64()
    coded: list[bytes] = []
    for place, way, header in zip(packed.places, packed.settings, packed.headers, strict=True):
        possible = 1 <= way & 15 <= 9 and 1 <= way >> 4 & 15 <= 9 and 9 <= way >> 8 <= 15
        if not 0 <= place < len(bodies) or not possible or len(header) not in (2, 10):
            raise FormatError("a block says of a body how it was compressed in a way that there is none of")
        body = _coded(bodies[place], way, header)
        checksum.update(body)
        coded.append(body)
    same = checksum.intdigest() == packed.checksum
    whole = list(bodies)
    for place, body in zip(packed.places, coded, strict=True):
        whole[place] = body if same else Recoded(body)
    return whole
