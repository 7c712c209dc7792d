"""Content codings: a body decoded for the search, never beyond a bound."""

from __future__ import annotations

import sys
import zlib
from typing import NamedTuple

import brotli

from capture.exchange import Headers, headers_named

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

__all__ = ["Decoded", "codings_of", "decode"]

_PIECE = 64 << 10
_BROTLI_PIECE = 8


class Decoded(NamedTuple):
    """What came of decoding. body: None where the coding is unknown or broken, or the bound was passed.

    whole: False where the coded bytes ended too early, and `body` is what they gave. why: for body None.
    """

    body: bytes | None
    whole: bool
    why: str = ""


def codings_of(headers: Headers) -> tuple[str, ...]:
    """The content codings in the order in which they were applied, lower case, without `identity` (RFC 9110 8.4)."""
    codings = [
        word.strip().lower() for value in headers_named(headers, "content-encoding") for word in value.split(",")
    ]
    return tuple(coding for coding in codings if coding and coding != "identity")


def decode(body: bytes, codings: tuple[str, ...], bytes_max: int) -> Decoded:
    """`body` with all codings taken off, in bounded memory: gzip, deflate (with and without zlib's frame), br, zstd."""
    whole = True
    for coding in reversed(codings[:4]):
        decoder = _DECODERS.get(coding)
        if decoder is None:
            return Decoded(None, False, f"coding {coding[:20]} not known")
        try:
            done = decoder(body, bytes_max)
        except (zlib.error, brotli.error, zstd.ZstdError, EOFError, ValueError):
            return Decoded(None, False, f"{coding} broken")
        if done.body is None:
            return done
        body, whole = done.body, whole and done.whole
    if len(codings) > 4:
        return Decoded(None, False, "more than 4 codings")
    return Decoded(body, whole)


def _inflate(body: bytes, bytes_max: int, window: int) -> Decoded:
    parts: list[bytes] = []
    left = bytes_max
    rest = body
    while rest:
        decoder = zlib.decompressobj(window)
        piece = decoder.decompress(rest, left + 1)
        if len(piece) > left:
            return Decoded(None, False, "too long to redact")
        parts.append(piece)
        left -= len(piece)
        if not decoder.eof:
            return Decoded(b"".join(parts), False)
        # gzip allows several members one after the other (RFC 1952 section 2.2); anything else behind is ignored.
        rest = decoder.unused_data if decoder.unused_data[:2] == b"\x1f\x8b" and window > 15 else b""
    return Decoded(b"".join(parts), True)


def _gzip(body: bytes, bytes_max: int) -> Decoded:
    return _inflate(body, bytes_max, 16 + zlib.MAX_WBITS)


def _deflate(body: bytes, bytes_max: int) -> Decoded:
    try:
        return _inflate(body, bytes_max, zlib.MAX_WBITS)
    except zlib.error:
        return _inflate(body, bytes_max, -zlib.MAX_WBITS)


def _brotli(body: bytes, bytes_max: int) -> Decoded:
    decoder = brotli.Decompressor()
    parts: list[bytes] = []
    size = 0
    # Brotli before 1.2 cannot bound what one call gives. A meta-block is at most 16 MiB (RFC 7932 section 9.2) and
    # takes more than eight bytes, so pieces this small keep one call below two of them.
    for start in range(0, len(body), _BROTLI_PIECE):
        piece = decoder.process(body[start : start + _BROTLI_PIECE])
        size += len(piece)
        if size > bytes_max:
            return Decoded(None, False, "too long to redact")
        parts.append(piece)
    return Decoded(b"".join(parts), bool(decoder.is_finished()))


def _zstd(body: bytes, bytes_max: int) -> Decoded:
    parts: list[bytes] = []
    left = bytes_max
    rest = body
    while rest:
        decoder = zstd.ZstdDecompressor(options={zstd.DecompressionParameter.window_log_max: 27})
        while True:
            piece = decoder.decompress(rest, max_length=min(left + 1, _PIECE))
            rest = b""
            parts.append(piece)
            left -= len(piece)
            if left < 0:
                return Decoded(None, False, "too long to redact")
            if decoder.eof:
                rest = decoder.unused_data
                break
            if decoder.needs_input:
                return Decoded(b"".join(parts), False)
    return Decoded(b"".join(parts), True)


_DECODERS = {"gzip": _gzip, "x-gzip": _gzip, "deflate": _deflate, "br": _brotli, "zstd": _zstd}
