"""Rewriting a segment into few large blocks: when it is sealed, or later (rewrite.py).

A service that sees ten requests a second flushes two or three records at a time; together they compress several times
better. Bodies that the server compressed are kept decompressed where they can be had back to the byte (recode.py).
Records keep their numbers and bodies theirs, so ids stay valid. The copy is written beside the segment and takes its
place by one rename; whatever goes wrong before that leaves the segment as it was.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO

from capture.log.appender import TEMPORARY_SUFFIX
from capture.log.block import array_count, frame, join_columns, join_payload, open_payload, split_rows
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
from capture.log.recode import Recipes, Recoded, repack

__all__ = ["Original", "compact"]

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


@dataclass(frozen=True, slots=True)
class Original:
    """A segment as it was written.

    read: bytes of it, by offset and length. header: its bytes on disk. sessions: the hashes of the sessions of each
    block of the footer's index.
    """

    directory: Path
    segment: str
    read: Callable[[int, int], bytes]
    header: bytes
    footer: Footer
    sessions: list[list[int]]
    cipher: Cipher | None


class _OutOfTimeError(Exception):
    """Rewriting took longer than it may."""


def compact(
    original: Original, in_time: Callable[[], bool], place: Callable[[Path], Path], *, by_columns: bool
) -> Path | None:
    """Make a rewritten copy and put it in the segment's place; None where that could not be done.

    in_time: asked before each block; False ends the rewriting, and the segment stays as it was. place: puts the whole
    copy where it belongs and says where that is; may raise OSError. by_columns: records by columns where that is
    smaller, which takes twice the time and, other than compression, keeps other threads of the process waiting.
    """
    temporary = original.directory / (original.segment + TEMPORARY_SUFFIX)
    try:
        with _copy_at(temporary) as copy:
            try:
                _rewrite(original, copy.write, copy.tell, in_time, by_columns)
                copy.flush()
                return place(temporary)
            except (OSError, FormatError, _OutOfTimeError):
                with contextlib.suppress(OSError):
                    os.unlink(temporary)
                return None
    except OSError:
        # No space, no right to write, or another process is at it.
        return None


def _copy_at(temporary: Path) -> BinaryIO:
    """The file for the copy, locked; what a killed process left there goes. Raises OSError where another is at it."""
    try:
        with temporary.open("rb") as left:
            _lock(left)
            temporary.unlink()
    except FileNotFoundError:
        pass
    copy = open(temporary, "xb", opener=_private)  # noqa: SIM115
    try:
        _lock(copy)
        if not os.fstat(copy.fileno()).st_nlink:
            raise BlockingIOError(errno.EAGAIN, "another process took it for one that was left over", str(temporary))
    except OSError:
        copy.close()
        raise
    return copy


def _lock(file: BinaryIO) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise
    except OSError:
        return  # a file system without locks


def _private(path: str, flags: int) -> int:
    """Opened with the rights that every segment has (appender.py)."""
    return os.open(path, flags | os.O_CLOEXEC, 0o640)


def _rewrite(
    original: Original,
    write: Callable[[bytes], int],
    tell: Callable[[], int],
    in_time: Callable[[], bool],
    by_columns: bool,
) -> None:
    recipes, footer, cipher = Recipes(), original.footer, original.cipher
    level = _LEVEL_OF_LITTLE if footer.raw_bytes <= _LITTLE_BYTES else _LEVEL
    write(original.header)
    index: list[IndexEntry] = []
    merged = _Merged()
    for entry, hashes in zip(footer.index, original.sessions, strict=True):
        if not in_time():
            raise _OutOfTimeError
        data = original.read(entry.offset, entry.size)
        head = unpack_block_head(data)
        payload = open_payload(head, data[BLOCK_HEAD_BYTES:], cipher)
        if merged.count and (
            merged.bytes + len(payload) > _BLOCK_BYTES
            or merged.count + entry.records > RECORDS_MAX
            or len(merged.bodies) + entry.bodies > BODIES_MAX
            or len(merged.records) > RECORDS_BYTES_MAX // 4
        ):
            index.append(_write(write, tell(), merged, recipes, level, cipher, by_columns))
            merged = _Merged()
        _add(merged, entry, head, payload, hashes)
    if merged.count:
        index.append(_write(write, tell(), merged, recipes, level, cipher, by_columns))
    write(pack_footer(_footer_of(footer, index), tell(), level, cipher))


def _footer_of(footer: Footer, index: list[IndexEntry]) -> Footer:
    return Footer(
        records=footer.records,
        raw_bytes=footer.raw_bytes,
        sealed_ns=footer.sealed_ns,
        index=index,
        ids=footer.ids,
        conservation=footer.conservation,
        extra=footer.extra,
        final=footer.final,
        rewritten=True,
    )


def _add(merged: _Merged, entry: IndexEntry, head: BlockHead, payload: bytes, sessions: list[int]) -> None:
    bodies, refs, raw_records = split_rows(head, payload)
    if any(type(body) is Recoded for body in bodies):
        raise FormatError("a body was compressed by another zlib than this one, and stays as it is")
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
