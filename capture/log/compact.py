"""Rewriting a segment into few large blocks when it is sealed, for services quiet enough to leave the time for it.

A service that sees ten requests a second flushes two or three records at a time; together they compress several times
better. Bodies that the server compressed are kept decompressed where they can be had back to the byte (recode.py).
Records keep their numbers and bodies theirs, so ids stay valid. The copy is written beside the segment and takes its
place by one rename; whatever goes wrong before that leaves the segment as it was.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from capture.log.appender import TEMPORARY_SUFFIX, Appender
from capture.log.block import array_count, frame, join_columns, join_payload, open_payload, split_payload
from capture.log.cipher import Cipher
from capture.log.filters import bloom_of
from capture.log.footer import Footer, IndexEntry, pack_footer
from capture.log.format import (
    BLOCK_HEAD_BYTES,
    BLOCK_RECORDS,
    BODIES_MAX,
    FLAG_COLUMNS,
    RAW_BYTES_MAX,
    RECORDS_BYTES_MAX,
    RECORDS_MAX,
    BlockHead,
    FormatError,
    unpack_block_head,
)
from capture.log.recode import Recipes, repack

__all__ = ["compact"]

_BLOCK_BYTES = 2 << 20
_LEVEL, _LEVEL_OF_LITTLE = 12, 19
_LITTLE_BYTES = 2 << 20
_TRY_BOTH_BYTES = 128 << 10
"""Up to here the dictionary may do more for records one after the other than columns do."""


@dataclass(slots=True)
class _Merged:
    """Blocks put together and not yet written."""

    bodies: list[bytes] = field(default_factory=list)
    refs: list[int] = field(default_factory=list)
    records: bytearray = field(default_factory=bytearray)
    sessions: set[int] = field(default_factory=set)
    bytes: int = 0
    count: int = 0
    first: IndexEntry | None = None
    first_ns: int = 0
    last_ns: int = 0


class _OutOfTimeError(Exception):
    """Rewriting took longer than it may."""


def compact(
    file: Appender,
    header: bytes,
    footer: Footer,
    sessions: list[list[int]],
    cipher: Cipher | None,
    in_time: Callable[[], bool],
    *,
    by_columns: bool,
) -> Path | None:
    """Put a rewritten copy in the segment's place; None where that could not be done.

    sessions: the hashes of the sessions of each block of the footer's index. in_time: asked before each block; False
    ends the rewriting, and the segment stays as it was. by_columns: records by columns where that is smaller, which
    takes twice the time and, other than compression, keeps other threads of the process waiting.
    """
    recipes = Recipes()
    level = _LEVEL_OF_LITTLE if footer.raw_bytes <= _LITTLE_BYTES else _LEVEL
    temporary = file.directory / (file.segment + TEMPORARY_SUFFIX)
    try:
        with temporary.open("xb") as copy:
            copy.write(header)
            index: list[IndexEntry] = []
            merged = _Merged()
            for entry, hashes in zip(footer.index, sessions, strict=True):
                if not in_time():
                    raise _OutOfTimeError
                payload = _payload(file, entry, cipher)
                if merged.count and (
                    merged.bytes + len(payload) > _BLOCK_BYTES
                    or merged.count + entry.records > RECORDS_MAX
                    or len(merged.bodies) + entry.bodies > BODIES_MAX
                    or len(merged.records) > RECORDS_BYTES_MAX // 4
                ):
                    index.append(_write(copy.write, copy.tell(), merged, recipes, level, cipher, by_columns))
                    merged = _Merged()
                _add(merged, entry, payload, hashes)
            index.append(_write(copy.write, copy.tell(), merged, recipes, level, cipher, by_columns))
            rewritten = Footer(
                records=footer.records,
                raw_bytes=footer.raw_bytes,
                sealed_ns=footer.sealed_ns,
                index=index,
                ids=footer.ids,
                conservation=footer.conservation,
                extra=footer.extra,
                final=footer.final,
            )
            copy.write(pack_footer(rewritten, copy.tell(), level, cipher))
        return file.seal_as(temporary)
    except (OSError, FormatError, _OutOfTimeError):
        # No space or no time, or the segment cannot be read back: it is sealed as it is, and a reader will tell.
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        return None


def _payload(file: Appender, entry: IndexEntry, cipher: Cipher | None) -> bytes:
    data = file.read(entry.offset, entry.size)
    return open_payload(unpack_block_head(data), data[BLOCK_HEAD_BYTES:], cipher)


def _add(merged: _Merged, entry: IndexEntry, payload: bytes, sessions: list[int]) -> None:
    bodies, refs, raw_records = split_payload(payload)
    records = memoryview(raw_records)
    if merged.first is None:
        merged.first, merged.first_ns, merged.last_ns = entry, entry.first_ns, entry.last_ns
    merged.first_ns = min(merged.first_ns, entry.first_ns)
    merged.last_ns = max(merged.last_ns, entry.last_ns)
    refs[0::3] = [place + merged.count for place in refs[0::3]]
    merged.refs += refs
    merged.bodies += bodies
    merged.records += records[array_count(records)[1] :]
    merged.count += entry.records
    merged.bytes += len(payload)
    merged.sessions.update(sessions)


def _write(
    write: Callable[[bytes], int],
    offset: int,
    merged: _Merged,
    recipes: Recipes,
    level: int,
    cipher: Cipher | None,
    by_columns: bool,
) -> IndexEntry:
    first = merged.first
    assert first is not None, "a merged block has at least one block in it"
    head = BlockHead(
        BLOCK_RECORDS, 0, 0, 0, first.first_record, merged.count, first.first_body, len(merged.bodies),
        merged.first_ns, merged.last_ns, 0,
    )  # fmt: skip
    data = _smallest(merged, head, recipes, level, cipher, by_columns)
    write(data)
    return IndexEntry(
        offset, len(data), first.first_record, merged.count, first.first_body, len(merged.bodies),
        merged.first_ns, merged.last_ns, bloom_of(merged.sessions),
    )  # fmt: skip


def _smallest(
    merged: _Merged, head: BlockHead, recipes: Recipes, level: int, cipher: Cipher | None, by_columns: bool
) -> bytes:
    """The block by columns, but record by record where that is smaller or all that can be done."""
    bodies, packed = repack(merged.bodies, recipes)
    parts = (merged.refs, merged.records, merged.count)
    rows = join_payload(bodies, *parts, packed)
    if len(rows) > RAW_BYTES_MAX:  # content that explodes when it is decompressed stays as it was sent
        return frame(head, join_payload(merged.bodies, *parts), level, cipher)
    columns = join_columns(bodies, *parts, packed) if by_columns else None
    if columns is None:
        return frame(head, rows, level, cipher)
    data = frame(replace(head, flags=FLAG_COLUMNS), columns, level, cipher)
    if len(rows) > _TRY_BOTH_BYTES:
        return data
    return min(frame(head, rows, level, cipher), data, key=len)
