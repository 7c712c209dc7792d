"""The payload of a block: many records and their bodies as one MessagePack array, compressed, and back again.

Pure. The array is [bodies, refs, records, packed]: `bodies` are the longer bodies that stand for the first time in this
segment, numbered on from `first_body` of the head; `refs` is a flat array of triples (record of this block, slot,
number of a body); `records` are the records with those bodies left empty; `packed` says which bodies stand here without
the compression that they had (capture/log/recode.py). Bodies lie together because like lies beside like that way, which
compresses better and decodes as fast.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any, TypeVar

import msgspec
import xxhash
from msgspec.structs import force_setattr

from capture.log.cipher import Cipher
from capture.log.column_values import refs_in_triples, rows_of, values_of
from capture.log.columns import columns_of, refs_in_columns
from capture.log.dictionary import dictionary, zstd
from capture.log.format import (
    BODIES_MAX,
    FLAG_COLUMNS,
    FLAG_DICTIONARY,
    FLAG_ENCRYPTED,
    FLAG_PLAIN,
    RECORDS_BYTES_MAX,
    RECORDS_MAX,
    BlockHead,
    FormatError,
    pack_block_head,
)
from capture.log.recode import NOTE, Packed, Recoded, unpack
from capture.log.shape import Shape

__all__ = [
    "array_count",
    "array_head",
    "decode_records",
    "frame",
    "join_columns",
    "join_payload",
    "open_payload",
    "split_payload",
    "split_rows",
]

T = TypeVar("T")

_DICTIONARY_BELOW_BYTES = 64 << 10
_WINDOW_LOG_MAX = 27
_SLOTS_MAX = 1 << 20
_AS_THEY_ARE = Packed()
_ENCODER = msgspec.msgpack.Encoder()
_SPLIT = msgspec.msgpack.Decoder(tuple[msgspec.Raw, msgspec.Raw, msgspec.Raw, msgspec.Raw])
_PACKED = msgspec.msgpack.Decoder(Packed)
_PACKED_BYTES_MAX = 4 << 20
_BODIES = msgspec.msgpack.Decoder(list[bytes])
_REFS = msgspec.msgpack.Decoder(list[int])
_LIMITS: dict[int, int] = {zstd.DecompressionParameter.window_log_max: _WINDOW_LOG_MAX}


def array_head(count: int) -> bytes:
    """How MessagePack begins an array of `count` items."""
    if count < 16:
        return bytes((0x90 | count,))
    return struct.pack(">BH", 0xDC, count) if count < 1 << 16 else struct.pack(">BI", 0xDD, count)


def array_count(data: bytes | memoryview) -> tuple[int, int]:
    """(items, bytes of the array's head); raises FormatError where no array begins here."""
    first = data[0] if data else 0
    if first & 0xF0 == 0x90:
        return first & 0x0F, 1
    if first == 0xDC and len(data) >= 3:
        return int.from_bytes(data[1:3], "big"), 3
    if first == 0xDD and len(data) >= 5:
        return int.from_bytes(data[1:5], "big"), 5
    raise FormatError("a block's payload is not the array it should be")


def join_payload(
    bodies: list[bytes], refs: list[int], records: bytes | bytearray, count: int, packed: Packed = _AS_THEY_ARE
) -> bytes:
    """The payload before compression; `records` are `count` encoded records one after the other."""
    return b"".join(
        (b"\x94", _ENCODER.encode(bodies), _ENCODER.encode(refs), array_head(count), records, _ENCODER.encode(packed))
    )


def join_columns(
    bodies: list[bytes], refs: list[int], records: bytes | bytearray, count: int, packed: Packed = _AS_THEY_ARE
) -> bytes | None:
    """The same payload by columns, for a head with FLAG_COLUMNS; None where the records could not be had back."""
    column = columns_of(array_head(count) + records)
    if column is None:
        return None
    return b"".join((b"\x94", _ENCODER.encode(bodies), refs_in_columns(refs), column, _ENCODER.encode(packed)))


def frame(head: BlockHead, payload: bytes, level: int, cipher: Cipher | None) -> bytes:
    """One block ready to be written; `stored`, `raw` and `payload_sum` of the head are filled in here.

    Of the head's `flags` only FLAG_COLUMNS counts, the others are worked out here.
    """
    flags = by_columns = head.flags & FLAG_COLUMNS
    if len(payload) < _DICTIONARY_BELOW_BYTES:
        flags |= FLAG_DICTIONARY
        stored = zstd.compress(payload, level, zstd_dict=dictionary())
    else:
        stored = zstd.compress(payload, level)
    if len(stored) >= len(payload):
        flags, stored = by_columns | FLAG_PLAIN, payload
    if cipher is not None:
        flags |= FLAG_ENCRYPTED
    head = _replace(head, flags=flags, raw=len(payload), stored=0, payload_sum=0)
    if cipher is not None:
        stored = cipher.seal(head, stored)
    head = _replace(head, flags=flags, raw=len(payload), stored=len(stored), payload_sum=_sum(stored))
    return pack_block_head(head) + stored


def _sum(data: bytes) -> int:
    return xxhash.xxh3_64_intdigest(data)


def _replace(head: BlockHead, *, flags: int, raw: int, stored: int, payload_sum: int) -> BlockHead:
    return BlockHead(
        head.kind,
        flags,
        stored,
        raw,
        head.first_record,
        head.records,
        head.first_body,
        head.bodies,
        head.first_ns,
        head.last_ns,
        payload_sum,
    )


def open_payload(head: BlockHead, stored: bytes, cipher: Cipher | None) -> bytes:
    """The payload as it was before compression; never more than `head.raw` bytes are made.

    Raises FormatError where it is not whole, not what the checksum says, or cannot be decrypted.
    """
    if len(stored) != head.stored:
        raise FormatError(f"the block has {head.stored} bytes, {len(stored)} are there")
    if _sum(stored) != head.payload_sum:
        raise FormatError("the block's checksum does not match")
    if head.flags & FLAG_ENCRYPTED:
        if cipher is None:
            raise FormatError("the block is encrypted and no key was given")
        stored = cipher.open(head, stored)
    if head.flags & FLAG_PLAIN:
        plain = stored
    else:
        plain = _decompress(stored, head.raw, bool(head.flags & FLAG_DICTIONARY))
    if len(plain) != head.raw:
        raise FormatError(f"the block should have {head.raw} bytes after decompression, found {len(plain)}")
    return plain


def _decompress(stored: bytes, raw: int, with_dictionary: bool) -> bytes:
    if not raw:
        return b""
    try:
        worker = zstd.ZstdDecompressor(dictionary() if with_dictionary else None, _LIMITS)
        plain: bytes = worker.decompress(stored, max_length=raw)
        if not worker.eof and len(plain) == raw:
            # All bytes are out, the end mark of the frame may still be inside: anything more is a lie about `raw`.
            plain += worker.decompress(b"", max_length=1)
    except zstd.ZstdError as error:
        raise FormatError(f"the block cannot be decompressed: {error}") from None
    except EOFError:
        raise FormatError("the block's compressed frame ends too early") from None
    if not worker.eof or worker.unused_data:
        raise FormatError("the block's compressed frame is not what its head says")
    return plain


def split_payload(payload: bytes, flags: int = 0) -> tuple[list[bytes], list[int], msgspec.Raw]:
    """(bodies, refs, records not yet decoded); bounds are checked before anything is allocated.

    flags: of the block's head; with FLAG_COLUMNS the records are one column (capture/log/columns.py).
    """
    by_columns = flags & FLAG_COLUMNS
    try:
        raw_bodies, raw_refs, records, raw_packed = _SPLIT.decode(payload)
        if array_count(memoryview(raw_bodies))[0] > BODIES_MAX:
            raise FormatError(f"a block has at most {BODIES_MAX} bodies")
        if not by_columns and array_count(memoryview(raw_refs))[0] > 3 * _SLOTS_MAX:
            raise FormatError(f"a block has at most {_SLOTS_MAX} references")
        count = 0 if by_columns else array_count(memoryview(records))[0]
        if count > RECORDS_MAX or len(memoryview(records)) > RECORDS_BYTES_MAX:
            raise FormatError(f"a block has at most {RECORDS_MAX} records in {RECORDS_BYTES_MAX} bytes")
        if len(memoryview(raw_packed)) > _PACKED_BYTES_MAX:
            raise FormatError(f"what a block says of compressed bodies has at most {_PACKED_BYTES_MAX} bytes")
        bodies = unpack(_BODIES.decode(raw_bodies), _PACKED.decode(raw_packed))
        refs = refs_in_triples(raw_refs, _SLOTS_MAX) if by_columns else _REFS.decode(raw_refs)
        return bodies, refs, records
    except (msgspec.DecodeError, RecursionError, OverflowError) as error:
        raise FormatError(f"a block's payload is not what it should be: {error}") from None


def split_rows(head: BlockHead, payload: bytes) -> tuple[list[bytes], list[int], bytes | msgspec.Raw]:
    """As `split_payload`, with the records one after the other however they stand there."""
    bodies, refs, records = split_payload(payload, head.flags)
    if head.flags & FLAG_COLUMNS:
        return bodies, refs, b"".join((array_head(head.records), *rows_of(records, head.records)))
    return bodies, refs, records


def decode_records(
    head: BlockHead,
    payload: bytes,
    shape: Shape[T],
    decoder: msgspec.msgpack.Decoder[list[T]],
    body_of: Callable[[int], bytes | None],
    keep: Callable[[list[bytes]], None] = lambda bodies: None,
) -> list[T | None]:
    """The records of a block, whole; None in the place of one whose body cannot be had any more.

    body_of: gives a body of an earlier block by its number, None where that block is damaged.
    keep: is given the bodies of this block, for records of later ones.
    """
    bodies, refs, raw_records = split_payload(payload, head.flags)
    if len(bodies) != head.bodies or len(refs) % 3:
        raise FormatError(f"the block should have {head.bodies} bodies, found {len(bodies)}")
    if bodies:
        keep(bodies)
    try:
        if head.flags & FLAG_COLUMNS:
            records = [record for part in values_of(raw_records, head.records) for record in _typed(part, shape)]
        else:
            records = decoder.decode(raw_records)
    except (msgspec.DecodeError, RecursionError, OverflowError, ValueError) as error:
        raise FormatError(f"a record is not what it should be: {error}") from None
    if len(records) != head.records:
        raise FormatError(f"the block should have {head.records} records, found {len(records)}")
    lost = _put_bodies(head, bodies, refs, records, shape, body_of)
    if not lost:
        return records  # type: ignore[return-value]  # a list of T is one of T | None that nobody appends to
    return [None if place in lost else record for place, record in enumerate(records)]


def _typed(values: list[Any], shape: Shape[T]) -> list[T]:
    # bytes are bytes: never text in base 64, as for JSON.
    return msgspec.convert(values, list[shape.record_type], builtin_types=(bytes,))  # type: ignore[name-defined]


def _note(shape: Shape[Any], record: Any) -> None:
    exchange = shape.exchange(record)
    if exchange is not None and NOTE not in exchange.notes:
        force_setattr(exchange, "notes", (*exchange.notes, NOTE))


def _put_bodies(
    head: BlockHead,
    bodies: list[bytes],
    refs: list[int],
    records: list[Any],
    shape: Shape[Any],
    body_of: Callable[[int], bytes | None],
) -> set[int]:
    """Put each body where it belongs; returns the places of records whose body is lost."""
    lost: set[int] = set()
    first, place_before = head.first_body, -1
    holders: list[Any] = []
    numbers = iter(refs)
    try:
        for place, slot, number in zip(numbers, numbers, numbers, strict=True):
            if place < 0 or slot < 0:
                raise IndexError
            if place != place_before:
                holders, place_before = shape.holders(records[place]), place
            body = bodies[number - first] if number >= first else body_of(number)
            if body is None:
                lost.add(place)
            else:
                # The record was made a moment ago, here, and nobody else has seen it yet.
                if type(body) is Recoded:
                    body = bytes(body)
                    _note(shape, records[place])
                force_setattr(holders[slot], "body", body)
    except IndexError:
        raise FormatError("a block refers to a record or a body that is not there") from None
    return lost
