"""Take the content coding off a body (gzip, deflate, br, zstd), never producing more bytes than a stated bound."""

from __future__ import annotations

import sys
import zlib
from collections.abc import Callable
from typing import Final

import brotli
import msgspec

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

__all__ = ["CODINGS", "Decoded", "decode_content", "parse_codings"]

_CODINGS_MAX: Final = 5
# A Brotli stream of a few bytes can stand for megabytes, and the decoder gives them all at once: fed in steps this
# small, what it can overshoot the bound by stays within some tens of megabytes.
_BROTLI_STEP_BYTES: Final = 16
_ZSTD_WINDOW_LOG_MAX: Final = 27


class Decoded(msgspec.Struct, frozen=True, gc=False):
    """A body without its content coding.

    problem: None where all went well; else why `body` is not the whole content, in words that follow the name of a
    side ("gzip: the stream is cut off"). cut: the problem is the bound, and `body` is the beginning of the content.
    Where a coding is unknown or broken at its very beginning, `body` is what the decoder was given.
    """

    body: bytes
    problem: str | None = None
    cut: bool = False


def parse_codings(value: str | None) -> tuple[str, ...]:
    """The codings of a Content-Encoding value, in the order they were applied; identity and empty ones left out."""
    if not value:
        return ()
    names = (name.strip().lower() for name in value.split(","))
    return tuple(name.removeprefix("x-") for name in names if name and name != "identity")


def decode_content(body: bytes, codings: tuple[str, ...], bytes_max: int) -> Decoded:
    """Undo `codings` (RFC 9110, section 8.4), last applied first, producing at most `bytes_max` bytes at each step."""
    if len(codings) > _CODINGS_MAX:
        return Decoded(body, f"{len(codings)} content codings on top of each other, more than {_CODINGS_MAX}")
    for coding in reversed(codings):
        decode = CODINGS.get(coding)
        if decode is None:
            return Decoded(body, f"content coding {coding[:40]!r} is not known")
        if not body:
            return Decoded(body)  # an answer to HEAD, or an empty body that was not worth coding
        decoded = decode(body, bytes_max)
        if decoded.problem is not None:
            return decoded
        body = decoded.body
    return Decoded(body)


def _too_long(coding: str, pieces: list[bytes], bytes_max: int) -> Decoded:
    content = b"".join(pieces)[:bytes_max]
    return Decoded(content, f"{coding}: the content is longer than {bytes_max} bytes", cut=True)


def _broken(coding: str, body: bytes, pieces: list[bytes], why: str) -> Decoded:
    content = b"".join(pieces)
    return Decoded(content or body, f"{coding}: {why}" if content else f"{coding}: {why}; compared as sent")


def _inflate(coding: str, body: bytes, window_bits: int, bytes_max: int) -> Decoded:
    """One or more zlib, gzip or raw deflate members one after the other."""
    pieces: list[bytes] = []
    room = bytes_max
    rest = body
    while rest:
        inflater = zlib.decompressobj(window_bits)
        try:
            piece = inflater.decompress(rest, room + 1)
        except zlib.error as error:
            if pieces and window_bits > zlib.MAX_WBITS:
                break  # bytes after a whole gzip member that begin no other: common padding, ignored by clients
            return _broken(coding, body, pieces, f"broken stream ({_reason(error)})")
        pieces.append(piece)
        room -= len(piece)
        if room < 0:
            return _too_long(coding, pieces, bytes_max)
        if not inflater.eof:
            return _broken(coding, body, pieces, "the stream is cut off")
        if window_bits <= zlib.MAX_WBITS:
            break
        rest = inflater.unused_data.lstrip(b"\0")
    return Decoded(b"".join(pieces))


def _reason(error: Exception) -> str:
    return str(error).rpartition(": ")[2][:80]


def _gzip(body: bytes, bytes_max: int) -> Decoded:
    return _inflate("gzip", body, 16 + zlib.MAX_WBITS, bytes_max)


def _deflate(body: bytes, bytes_max: int) -> Decoded:
    # Meant is the zlib format; many servers send raw deflate data, so that is tried where the zlib header is not there.
    is_zlib = len(body) >= 2 and body[0] & 0x0F == 8 and (body[0] << 8 | body[1]) % 31 == 0
    return _inflate("deflate", body, zlib.MAX_WBITS if is_zlib else -zlib.MAX_WBITS, bytes_max)


def _brotli(body: bytes, bytes_max: int) -> Decoded:
    decompressor = brotli.Decompressor()
    pieces: list[bytes] = []
    room = bytes_max
    for start in range(0, len(body), _BROTLI_STEP_BYTES):
        try:
            piece = decompressor.process(body[start : start + _BROTLI_STEP_BYTES])
        except brotli.error:
            return _broken("br", body, pieces, "broken stream")
        pieces.append(piece)
        room -= len(piece)
        if room < 0:
            return _too_long("br", pieces, bytes_max)
    if not decompressor.is_finished():
        return _broken("br", body, pieces, "the stream is cut off")
    return Decoded(b"".join(pieces))


def _zstd(body: bytes, bytes_max: int) -> Decoded:
    pieces: list[bytes] = []
    room = bytes_max
    rest = body
    while rest:
        decompressor = zstd.ZstdDecompressor(options={zstd.DecompressionParameter.window_log_max: _ZSTD_WINDOW_LOG_MAX})
        try:
            piece = decompressor.decompress(rest, max_length=room + 1)
        except zstd.ZstdError as error:
            return _broken("zstd", body, pieces, f"broken stream ({_reason(error)})")
        pieces.append(piece)
        room -= len(piece)
        if room < 0:
            return _too_long("zstd", pieces, bytes_max)
        if not decompressor.eof:
            return _broken("zstd", body, pieces, "the stream is cut off")
        rest = decompressor.unused_data
    return Decoded(b"".join(pieces))


CODINGS: Final[dict[str, Callable[[bytes, int], Decoded]]] = {
    "gzip": _gzip,
    "deflate": _deflate,
    "br": _brotli,
    "zstd": _zstd,
}
