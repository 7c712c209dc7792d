"""Content codings of bodies, decoded within a bound and encoded again: gzip, deflate, br, zstd."""

from __future__ import annotations

import gzip
import sys
import zlib
from collections.abc import Callable

import brotli

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

__all__ = ["decode_body", "encode_body"]


def decode_body(body: bytes, codings: str | None, bytes_max: int) -> bytes | None:
    """The body without its content codings (the value of Content-Encoding, None or "" for none).

    None where a coding is unknown, the bytes are damaged, or more than bytes_max would come out. Captured content is
    hostile: no more than bytes_max (and a constant) is ever held.
    """
    names = [name.strip().lower() for name in (codings or "").split(",") if name.strip()]
    for name in reversed(names):
        if name == "identity":
            continue
        decoder = _DECODERS.get(name)
        if decoder is None:
            return None
        try:
            decoded = decoder(body, bytes_max + 1)
        except (zlib.error, brotli.error, zstd.ZstdError, EOFError, ValueError):
            return None
        if decoded is None or len(decoded) > bytes_max:
            return None
        body = decoded
    return body


def encode_body(body: bytes, codings: str | None) -> bytes | None:
    """The body under the content codings, the same bytes each time; None where one is unknown."""
    for name in (name.strip().lower() for name in (codings or "").split(",") if name.strip()):
        encoder = _ENCODERS.get(name)
        if encoder is None:
            return None
        body = encoder(body)
    return body


def _inflate(body: bytes, bytes_max: int, wbits: int) -> bytes:
    whole = b""
    while body:
        stream = zlib.decompressobj(wbits)
        whole += stream.decompress(body, bytes_max - len(whole) or 1)
        if not stream.eof:
            if len(whole) >= bytes_max:
                return whole
            raise EOFError("the compressed body ends early")
        # Several gzip members in a row are one body (RFC 1952 section 2.2).
        body = stream.unused_data if wbits > 16 else b""
    return whole


def _deflate(body: bytes, bytes_max: int) -> bytes:
    try:
        return _inflate(body, bytes_max, 15)
    except zlib.error:
        return _inflate(body, bytes_max, -15)  # what some servers send as "deflate" has no zlib wrapper


def _unbrotli(body: bytes, bytes_max: int) -> bytes | None:
    # Fed in small pieces because this library cannot bound its output: one input piece may grow 1,000 times or more.
    stream = brotli.Decompressor()
    parts: list[bytes] = []
    size = 0
    for at in range(0, len(body), 512):
        part = stream.process(body[at : at + 512])
        size += len(part)
        parts.append(part)
        if size >= bytes_max:
            return b"".join(parts)
    return b"".join(parts) if stream.is_finished() else None


def _unzstd(body: bytes, bytes_max: int) -> bytes | None:
    stream = zstd.ZstdDecompressor()
    decoded: bytes = stream.decompress(body, bytes_max)
    return decoded if stream.eof or len(decoded) >= bytes_max else None


_DECODERS: dict[str, Callable[[bytes, int], bytes | None]] = {
    "gzip": lambda body, bytes_max: _inflate(body, bytes_max, 31),
    "x-gzip": lambda body, bytes_max: _inflate(body, bytes_max, 31),
    "deflate": _deflate,
    "br": _unbrotli,
    "zstd": _unzstd,
}
_ENCODERS: dict[str, Callable[[bytes], bytes]] = {
    "identity": lambda body: body,
    "gzip": lambda body: gzip.compress(body, 6, mtime=0),
    "x-gzip": lambda body: gzip.compress(body, 6, mtime=0),
    "deflate": zlib.compress,
    "br": lambda body: bytes(brotli.compress(body, quality=5)),
    "zstd": lambda body: bytes(zstd.compress(body)),
}
