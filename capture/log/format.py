"""The frames of a segment, byte by byte: header, block heads and the trailer, each under its own checksum.

Pure: bytes in, records out. docs/log-format.md is the specification; whoever changes a number here changes it there,
and tests/test_capture_log_format.py decodes the example of that page. All integers are little-endian and unsigned but
for times, which are signed. Every byte of a segment is under exactly one checksum (XXH3, 64 bit, seed 0), so a flipped
bit anywhere is found.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

import msgspec
import xxhash

__all__ = [
    "BLOCK_BYTES_MAX",
    "BLOCK_FOOTER",
    "BLOCK_HEAD_BYTES",
    "BLOCK_MAGIC",
    "BLOCK_RECORDS",
    "BODIES_MAX",
    "FLAG_COLUMNS",
    "FLAG_DICTIONARY",
    "FLAG_ENCRYPTED",
    "FLAG_PLAIN",
    "HEADER_BYTES_MAX",
    "HEADER_FIXED_BYTES",
    "MAGIC",
    "MAJOR",
    "MINOR",
    "RAW_BYTES_MAX",
    "RECORDS_BYTES_MAX",
    "RECORDS_MAX",
    "TRAILER_BYTES",
    "BlockHead",
    "FormatError",
    "NewerVersion",
    "SegmentHeader",
    "pack_block_head",
    "pack_header",
    "pack_trailer",
    "unpack_block_head",
    "unpack_header",
    "unpack_trailer",
]

MAGIC = b"\x89USTLOG\n"
"""First eight bytes of every segment: not text (high bit), and a line feed that a text-mode copy would alter."""
MAJOR, MINOR = 1, 0
BLOCK_MAGIC = b"USBK"
_TRAILER_MAGIC = b"\x89USTEND\n"

_HEADER = struct.Struct("<8sBBHIQ")  # magic, major, minor, reserved, meta bytes, checksum
_BLOCK = struct.Struct("<4sBBHIIQIIIqqQ")
_TRAILER = struct.Struct("<QIIQ8s")  # footer offset, footer bytes with head, reserved, checksum, magic
_CHECKSUM = struct.Struct("<Q")

HEADER_FIXED_BYTES = _HEADER.size  # 24
BLOCK_HEAD_BYTES = _BLOCK.size + _CHECKSUM.size  # 68
TRAILER_BYTES = _TRAILER.size  # 32

HEADER_BYTES_MAX = 1 << 20
RAW_BYTES_MAX = 64 << 20
"""Most bytes a block may have after decompression; a reader refuses more before it allocates."""
BLOCK_BYTES_MAX = RAW_BYTES_MAX + 4096
"""Most bytes of a block on disk with its head: content that does not compress, with nonce and tag."""
RECORDS_BYTES_MAX = 8 << 20
"""Most bytes of a block's records without their bodies: bounds the memory of a block made to explode when decoded."""
RECORDS_MAX = 1 << 16
BODIES_MAX = 1 << 16

BLOCK_RECORDS, BLOCK_FOOTER = 1, 2
FLAG_PLAIN, FLAG_DICTIONARY, FLAG_ENCRYPTED, FLAG_COLUMNS = 1, 2, 4, 8
_FLAGS_KNOWN = FLAG_PLAIN | FLAG_DICTIONARY | FLAG_ENCRYPTED | FLAG_COLUMNS


class FormatError(ValueError):
    """These bytes are not what they should be; the message says what was expected, the caller knows where."""


class NewerVersion(FormatError):
    """The segment was written in a newer major version than this reader knows."""


@dataclass(frozen=True, slots=True)
class SegmentHeader:
    """What is known when a segment is begun.

    segment: its id, twelve characters. kind: "exchange" or whatever the record is called. writer: program and version.
    created_ns: ns since the epoch. key_id: "" where not encrypted, else which key opens it. salt: 16 random bytes from
    which the segment's own key is derived, b"" where not encrypted. meta: source, addresses, redaction, sampling.
    run, sequence: the id of the first segment that this writer made, and this one's place after it, from 0; so a
    missing segment is noticed. header_bytes: length of the whole header on disk, which is where the first block begins.
    """

    segment: str
    kind: str
    writer: str
    created_ns: int
    key_id: str
    salt: bytes
    meta: dict[str, Any]
    run: str = ""
    sequence: int = 0
    header_bytes: int = 0
    minor: int = MINOR


@dataclass(frozen=True, slots=True)
class BlockHead:
    """One block's frame. `stored` payload bytes follow its 68 bytes; they are `raw` bytes once decoded.

    first_record, records: numbers of the records in it. first_body, bodies: numbers of the bodies in it.
    first_ns, last_ns: least and greatest time of its records. payload_sum: XXH3 of the stored payload.
    """

    kind: int
    flags: int
    stored: int
    raw: int
    first_record: int
    records: int
    first_body: int
    bodies: int
    first_ns: int
    last_ns: int
    payload_sum: int


def _sum(data: bytes | memoryview) -> int:
    return xxhash.xxh3_64_intdigest(data)


def pack_header(header: SegmentHeader) -> bytes:
    """The header as it stands at offset 0."""
    values = {
        "segment": header.segment,
        "kind": header.kind,
        "writer": header.writer,
        "created_ns": header.created_ns,
        "key_id": header.key_id,
        "salt": header.salt,
        "run": header.run,
        "sequence": header.sequence,
        "meta": header.meta,
    }
    body = msgspec.msgpack.encode(values)
    if len(body) > HEADER_BYTES_MAX:
        raise FormatError(f"a header of {len(body)} bytes is over the {HEADER_BYTES_MAX} allowed")
    fixed = _HEADER.pack(MAGIC, MAJOR, header.minor, 0, len(body), 0)[:-8]
    return fixed + _CHECKSUM.pack(_sum(fixed + body)) + body


def unpack_header(data: bytes) -> SegmentHeader:
    """The header from the first bytes of a segment (HEADER_FIXED_BYTES + HEADER_BYTES_MAX are always enough).

    Raises NewerVersion for a newer major version and FormatError for everything else that is wrong.
    """
    if len(data) < HEADER_FIXED_BYTES:
        raise FormatError(f"a segment header has at least {HEADER_FIXED_BYTES} bytes, found {len(data)}")
    magic, major, minor, reserved, length, checksum = _HEADER.unpack_from(data)
    if magic != MAGIC:
        raise FormatError(f"a segment begins with {MAGIC!r}, found {magic!r}")
    end = HEADER_FIXED_BYTES + length
    if length > HEADER_BYTES_MAX or end > len(data):
        raise FormatError(f"the header says it has {length} bytes, {len(data) - HEADER_FIXED_BYTES} are there")
    body = data[HEADER_FIXED_BYTES:end]
    if _sum(data[: HEADER_FIXED_BYTES - 8] + body) != checksum:
        raise FormatError("the header's checksum does not match")
    # The checksum comes first: these 24 bytes mean the same in every version, and a flipped bit is not a new version.
    if major > MAJOR:
        raise NewerVersion(
            f"written in log format {major}.{minor}, this program reads up to {MAJOR}.x; install a newer understudy"
        )
    if major != MAJOR or reserved:
        raise FormatError(f"the header says version {major}.{minor}, which never was")
    try:
        values = msgspec.msgpack.decode(body, type=dict[str, Any])
        return SegmentHeader(
            segment=_typed(values, "segment", str),
            kind=_typed(values, "kind", str),
            writer=_typed(values, "writer", str),
            created_ns=_typed(values, "created_ns", int),
            key_id=_typed(values, "key_id", str),
            salt=_typed(values, "salt", bytes),
            meta=_typed(values, "meta", dict),
            run=_typed(values, "run", str),
            sequence=_typed(values, "sequence", int),
            header_bytes=end,
            minor=minor,
        )
    except (msgspec.DecodeError, RecursionError) as error:
        raise FormatError(f"the header is not the map it should be: {error}") from None


def _typed(values: dict[str, Any], name: str, kind: type) -> Any:
    value = values.get(name)
    if not isinstance(value, kind):
        raise FormatError(f"the header's {name!r} must be {kind.__name__}, found {type(value).__name__}")
    return value


def pack_block_head(head: BlockHead) -> bytes:
    """The 68 bytes before a block's payload."""
    fixed = _BLOCK.pack(
        BLOCK_MAGIC,
        head.kind,
        head.flags,
        0,
        head.stored,
        head.raw,
        head.first_record,
        head.records,
        head.first_body,
        head.bodies,
        head.first_ns,
        head.last_ns,
        head.payload_sum,
    )
    return fixed + _CHECKSUM.pack(_sum(fixed))


def unpack_block_head(data: bytes | memoryview) -> BlockHead:
    """The head of a block from its first 68 bytes; raises FormatError where it is none or breaks a bound."""
    if len(data) < BLOCK_HEAD_BYTES:
        raise FormatError(f"a block head has {BLOCK_HEAD_BYTES} bytes, {len(data)} are there")
    fixed = data[: _BLOCK.size]
    magic, kind, flags, reserved, stored, raw, first_record, records, first_body, bodies, first_ns, last_ns, payload = (
        _BLOCK.unpack(fixed)
    )
    if magic != BLOCK_MAGIC:
        raise FormatError(f"a block begins with {BLOCK_MAGIC!r}, found {bytes(magic)!r}")
    if _CHECKSUM.unpack_from(data, _BLOCK.size)[0] != _sum(fixed):
        raise FormatError("the block head's checksum does not match")
    if flags & ~_FLAGS_KNOWN or reserved or kind not in (BLOCK_RECORDS, BLOCK_FOOTER):
        raise FormatError(f"unknown kind {kind} or flags {flags:#x} of a block")
    if (
        raw > RAW_BYTES_MAX
        or BLOCK_HEAD_BYTES + stored > BLOCK_BYTES_MAX
        or records > RECORDS_MAX
        or bodies > BODIES_MAX
    ):
        raise FormatError(f"a block of {raw} bytes, {records} records and {bodies} bodies is over the format's bounds")
    return BlockHead(kind, flags, stored, raw, first_record, records, first_body, bodies, first_ns, last_ns, payload)


def pack_trailer(footer_offset: int, footer_bytes: int) -> bytes:
    """The last 32 bytes of a sealed segment; footer_bytes counts the footer block with its head."""
    fixed = _TRAILER.pack(footer_offset, footer_bytes, 0, 0, b"")[:16]
    return fixed + _CHECKSUM.pack(_sum(fixed)) + _TRAILER_MAGIC


def unpack_trailer(data: bytes) -> tuple[int, int]:
    """(footer offset, footer bytes) from the last 32 bytes; raises FormatError where the segment is not sealed."""
    if len(data) != TRAILER_BYTES:
        raise FormatError(f"a trailer has {TRAILER_BYTES} bytes, found {len(data)}")
    offset, length, reserved, checksum, magic = _TRAILER.unpack(data)
    if magic != _TRAILER_MAGIC:
        raise FormatError("no trailer: the segment was not sealed")
    if checksum != _sum(data[:16]) or reserved:
        raise FormatError("the trailer's checksum does not match")
    return offset, length
