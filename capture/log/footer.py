"""The footer of a sealed segment: block index, ids, counts and conservation, as one block before the trailer."""

from __future__ import annotations

from typing import Any

import msgspec

from capture.log.block import frame
from capture.log.cipher import Cipher
from capture.log.format import BLOCK_FOOTER, BlockHead, FormatError, pack_trailer

__all__ = ["Footer", "IndexEntry", "pack_footer", "read_footer"]


class IndexEntry(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Where one block is and what is in it. size: bytes with its head. sessions: a Bloom filter, b"" where unknown."""

    offset: int
    size: int
    first_record: int
    records: int
    first_body: int
    bodies: int
    first_ns: int
    last_ns: int
    sessions: bytes = b""


class Footer(msgspec.Struct, frozen=True):
    """A map on the wire, so that a later minor version can add keys.

    raw_bytes: of all blocks before compression. ids: table of explicit ids (filters.pack_ids). conservation: counts of
    the time in which this segment was open, None where the writer keeps none. extra: whatever the writer was given.
    """

    records: int
    raw_bytes: int
    sealed_ns: int
    index: list[IndexEntry]
    ids: bytes = b""
    conservation: dict[str, Any] | None = None
    extra: dict[str, Any] = {}


_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(Footer)


def pack_footer(footer: Footer, offset: int, level: int, cipher: Cipher | None) -> bytes:
    """Footer block and trailer, ready to stand at `offset`."""
    payload = _ENCODER.encode(footer)
    first = min((entry.first_ns for entry in footer.index), default=0)
    last = max((entry.last_ns for entry in footer.index), default=0)
    head = BlockHead(BLOCK_FOOTER, 0, 0, 0, footer.records, 0, 0, 0, first, last, 0)
    data = frame(head, payload, level, cipher)
    return data + pack_trailer(offset, len(data))


def read_footer(payload: bytes) -> Footer:
    """A footer from its payload; raises FormatError."""
    try:
        return _DECODER.decode(payload)
    except (msgspec.DecodeError, RecursionError, OverflowError) as error:
        raise FormatError(f"the footer is not what it should be: {error}") from None
