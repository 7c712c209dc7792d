"""The footer of a sealed segment: block index, ids, counts and conservation, as one block before the trailer."""

from __future__ import annotations

from typing import Any

import msgspec

from capture.log.block import array_count, frame
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

    raw_bytes: of all blocks before compression. ids: table of explicit ids (filters.pack_ids). final: this
    is the last segment of a writer that was closed. conservation: counts of
    the time in which this segment was open, None where the writer keeps none. extra: whatever the writer was given.
    rewritten: the segment is a copy made for size (compact.py), which there is no use in making again.
    """

    records: int
    raw_bytes: int
    sealed_ns: int
    index: list[IndexEntry]
    ids: bytes = b""
    conservation: dict[str, int | dict[str, int]] | None = None
    extra: dict[str, Any] = {}
    final: bool = False
    rewritten: bool = False


class _Footer(msgspec.Struct, frozen=True):
    """The same map with what could grow when decoded left encoded, so that it can be measured first."""

    records: int
    raw_bytes: int
    sealed_ns: int
    index: msgspec.Raw
    ids: bytes = b""
    conservation: msgspec.Raw = msgspec.Raw(b"\xc0")
    extra: msgspec.Raw = msgspec.Raw(b"\x80")
    final: bool = False
    rewritten: bool = False


_BLOCKS_MAX = 1 << 18
_EXTRA_BYTES_MAX = 1 << 20
_ENCODER = msgspec.msgpack.Encoder()
_OUTER = msgspec.msgpack.Decoder(_Footer)
_INDEX = msgspec.msgpack.Decoder(list[IndexEntry])
_COUNTS = msgspec.msgpack.Decoder(dict[str, int | dict[str, int]] | None)
_EXTRA = msgspec.msgpack.Decoder(dict[str, Any])


def pack_footer(footer: Footer, offset: int, level: int, cipher: Cipher | None) -> bytes:
    """Footer block and trailer, ready to stand at `offset`."""
    payload = _ENCODER.encode(footer)
    first = min((entry.first_ns for entry in footer.index), default=0)
    last = max((entry.last_ns for entry in footer.index), default=0)
    head = BlockHead(BLOCK_FOOTER, 0, 0, 0, footer.records, 0, 0, 0, first, last, 0)
    data = frame(head, payload, level, cipher)
    return data + pack_trailer(offset, len(data))


def read_footer(payload: bytes) -> Footer:
    """A footer from its payload; raises FormatError. Bounds are checked before anything grows in memory."""
    try:
        outer = _OUTER.decode(payload)
        if array_count(memoryview(outer.index))[0] > _BLOCKS_MAX:
            raise FormatError(f"a segment has at most {_BLOCKS_MAX} blocks")
        if max(len(memoryview(outer.conservation)), len(memoryview(outer.extra))) > _EXTRA_BYTES_MAX:
            raise FormatError(f"a footer's counts and extras have at most {_EXTRA_BYTES_MAX} bytes")
        return Footer(
            records=outer.records,
            raw_bytes=outer.raw_bytes,
            sealed_ns=outer.sealed_ns,
            index=_INDEX.decode(outer.index),
            ids=outer.ids,
            conservation=_COUNTS.decode(outer.conservation),
            extra=_EXTRA.decode(outer.extra),
            final=outer.final,
            rewritten=outer.rewritten,
        )
    except (msgspec.DecodeError, RecursionError, OverflowError) as error:
        raise FormatError(f"the footer is not what it should be: {error}") from None
