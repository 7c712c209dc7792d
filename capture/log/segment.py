"""The synchronous writer: records into blocks, blocks into segments, segments into a directory within its budget."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any, Generic, TypeVar

import msgspec

from capture.errors import UsageError
from capture.exchange import Exchange
from capture.log.appender import Appender, new_segment_id
from capture.log.block import frame, join_payload
from capture.log.bodies import BodyTable
from capture.log.budget import DiskBudget, remove_leftovers
from capture.log.cipher import SALT_BYTES, Cipher, key_from, key_id_of, read_key
from capture.log.compact import Original, compact
from capture.log.filters import bloom_of, hash_of, pack_ids
from capture.log.footer import Footer, IndexEntry, pack_footer
from capture.log.format import (
    BLOCK_RECORDS,
    BODIES_MAX,
    RAW_BYTES_MAX,
    RECORDS_BYTES_MAX,
    RECORDS_MAX,
    BlockHead,
    SegmentHeader,
    pack_header,
)
from capture.log.shape import shape_of
from capture.settings import LogConfig

__all__ = ["RecordTooLarge", "RecordWriter", "key_of"]

T = TypeVar("T")

_ENCODER = msgspec.msgpack.Encoder()
_S = 1_000_000_000
_QUIET_BYTES_A_SECOND = 1 << 20
_COMPACT_BYTES = 24 << 20
"""A quiet segment is sealed when it has so much before compression, so that rewriting it never takes long."""
_COLUMNS_RECORDS = 4096
"""A segment with more is rewritten by rows while traffic goes on: columns are made in Python, which delays traffic."""
_AT_END_RECORDS = 50_000
"""The last segment of a writer is rewritten at once where it has no more: nobody waits for the processor by then."""
_MAY_PASS = (errno.ENOSPC, errno.EDQUOT, errno.EIO)
_COMPACT_S, _COMPACT_AT_END_S, _COMPACT_DENSE_S = 2.0, 5.0, 60.0


def _before(deadline: float) -> bool:
    return time.monotonic() < deadline


class RecordTooLarge(ValueError):
    """One record is over the format's bounds; nothing of it was written."""


def key_of(config: LogConfig) -> bytes | None:
    """The key that the configuration names, None where the log is not encrypted. Raises UsageError."""
    if config.key is not None and config.key_file is not None:
        raise UsageError("[log] key and key_file are both given; keep one of them")
    if config.key_file is not None:
        return read_key(config.key_file)
    return None if config.key is None else key_from(config.key, "[log] key")


def _writer_name() -> str:
    try:
        return "understudy " + metadata.version("understudy")
    except metadata.PackageNotFoundError:
        return "understudy 0+source"


@dataclass(slots=True)
class _Block:
    """What the next block will hold."""

    records: bytearray = field(default_factory=bytearray)
    count: int = 0
    bodies: list[bytes] = field(default_factory=list)
    bodies_bytes: int = 0
    refs: list[int] = field(default_factory=list)
    first_ns: int = 0
    last_ns: int = 0
    sessions: set[str] = field(default_factory=set)

    @property
    def raw(self) -> int:
        return len(self.records) + self.bodies_bytes


@dataclass(slots=True)
class _Segment:
    """What is known of the segment that is open."""

    file: Appender
    header: bytes
    cipher: Cipher | None
    created_ns: int
    bodies: BodyTable
    index: list[IndexEntry] = field(default_factory=list)
    sessions: list[list[int]] = field(default_factory=list)
    ids: list[tuple[str, int]] = field(default_factory=list)
    records: int = 0
    raw: int = 0


class RecordWriter(Generic[T]):
    """Writes records of one type to a directory of segments; for one thread.

    directory: made where it is not there. kind: what the header says the records are. meta: plain values for the
    header: source, addresses, redaction, sampling. counts: called when a segment is sealed, what it returns goes into
    the footer as "conservation". now_ns: wall clock for segment ids and rotation by time. dense: nobody waits for this
    writer, so segments are rewritten for size when they are sealed; without it, only where records come slowly enough.
    later: somebody takes the segments from `sealed_as_written` and rewrites them (compactor.py), so the writer does so
    only where it is little. patient: a disk that is full or fails at the beginning is no error yet.

    Where the disk refuses, `write`, `flush` and `close` raise OSError with every record since the last whole block
    still held: call `flush` again when there may be space. After such an error the file ends with a whole block.
    """

    def __init__(
        self,
        directory: Path,
        record_type: type[T],
        kind: str,
        config: LogConfig,
        meta: dict[str, Any],
        *,
        counts: Callable[[], dict[str, Any] | None] = lambda: None,
        now_ns: Callable[[], int] = time.time_ns,
        dense: bool = False,
        later: bool = False,
        patient: bool = False,
        elsewhere: Callable[[Callable[[], None]], None] | None = None,
    ) -> None:
        self.directory = directory
        self._dense, self._later = dense, later
        self._elsewhere = elsewhere
        self._kind = kind
        self._config = config
        self._meta = meta
        self._renewing = False
        self._counts = counts
        self._now_ns = now_ns
        self._key = key_of(config)
        self._shape = shape_of(record_type)
        self._of_exchanges = record_type is Exchange
        self._block = _Block()
        self._segment: _Segment | None = None
        self._run, self._sequence, self._named_ns = "", 0, 0
        self._closed = False
        self._budget = DiskBudget(directory, config.disk_bytes_max, config.when_full)
        self.segments_sealed: list[Path] = []
        self.sealed_as_written: list[Path] = []
        self.bytes_written = 0
        self.records_written = 0
        try:
            remove_leftovers(directory)
            self._open()
        except OSError as error:
            if not patient or error.errno not in _MAY_PASS:
                raise

    @property
    def pending(self) -> int:
        """Records that are held and not yet in a file."""
        return self._block.count

    @property
    def is_open(self) -> bool:
        """True where a write needs no new segment first; else it may raise OSError without holding its record."""
        return self._segment is not None

    @property
    def full(self) -> bool:
        """True where the budget is spent and the policy is to stop."""
        return self._budget.full

    @property
    def pruned(self) -> int:
        """Sealed segments that were removed to stay within the budget."""
        return self._budget.pruned

    def write(self, record: T, at_ns: int) -> None:
        """Add one record; `at_ns` is its time in the index, ns since the epoch.

        Raises OSError; RecordTooLarge, or TypeError, ValueError, OverflowError where the record cannot be encoded, and
        then nothing of it is held.
        """
        segment = self._segment or self._open()
        block = self._block
        start, refs, bodies = len(block.records), len(block.refs), len(block.bodies)
        slot = -1

        def sink(body: Any) -> Any:
            nonlocal slot
            slot += 1
            if body is None or not segment.bodies.worth(body):
                return body
            number, is_first = segment.bodies.number(body)
            if is_first:
                block.bodies.append(body)
                block.bodies_bytes += len(body)
            block.refs += (block.count, slot, number)
            return b""

        try:
            _ENCODER.encode_into(self._shape.strip(record, sink), block.records, start)
        except (TypeError, ValueError, OverflowError):
            self._take_back(segment, start, refs, bodies)
            raise
        if len(block.records) - start > RECORDS_BYTES_MAX // 2 or block.bodies_bytes > RAW_BYTES_MAX // 2:
            self._take_back(segment, start, refs, bodies)
            raise RecordTooLarge(f"a record of {len(block.records) - start} bytes without its bodies is too large")
        self._note(record, at_ns, segment, block)
        if block.raw >= self._config.block_bytes or block.count >= RECORDS_MAX or len(block.bodies) > BODIES_MAX - 4096:
            self.flush()

    def _take_back(self, segment: _Segment, start: int, refs: int, bodies: int) -> None:
        block = self._block
        del block.records[start:], block.refs[refs:]
        segment.bodies.forget(block.bodies[bodies:])
        block.bodies_bytes -= sum(map(len, block.bodies[bodies:]))
        del block.bodies[bodies:]

    def _note(self, record: T, at_ns: int, segment: _Segment, block: _Block) -> None:
        if not block.count:
            block.first_ns = block.last_ns = at_ns
        elif at_ns > block.last_ns:
            block.last_ns = at_ns
        elif at_ns < block.first_ns:
            block.first_ns = at_ns
        exchange = self._shape.exchange(record)
        if exchange is not None:
            block.sessions.add(exchange.session)
            if exchange.id and self._of_exchanges:  # a run is not looked into by id, and has one for every record
                segment.ids.append((exchange.id, segment.records + block.count))
        block.count += 1

    def flush(self) -> None:
        """Write what is held as one block and, where it is time, seal the segment. Raises OSError, nothing lost."""
        if self._closed:
            return
        segment = self._segment or self._open()
        if self._block.count:
            self._append(segment)
        if self._segment is not None and self._due(self._segment):
            self._seal(self._segment, {}, final=False)
            self._open()  # at once, so that whoever looks sees a writer that lives

    def _append(self, segment: _Segment) -> None:
        block = self._block
        payload = join_payload(block.bodies, block.refs, block.records, block.count)
        first_body = segment.bodies.count - len(block.bodies)
        head = BlockHead(
            BLOCK_RECORDS, 0, 0, 0, segment.records, block.count, first_body, len(block.bodies),
            block.first_ns, block.last_ns, 0,
        )  # fmt: skip
        self._do(partial(self._store, segment, head, payload, block.sessions))
        segment.records += block.count
        segment.raw += len(payload)
        self._block = _Block()

    def _do(self, step: Callable[[], None]) -> None:
        """Perform a step here and now, or have it performed elsewhere."""
        if self._elsewhere is None:
            step()
        else:
            self._elsewhere(step)

    def _store(self, segment: _Segment, head: BlockHead, payload: bytes, sessions: set[str]) -> None:
        data = frame(head, payload, self._config.level, segment.cipher)
        self._budget.make_room(len(data))
        offset = segment.file.append(data)
        self._spend(len(data))
        hashes = [hash_of(session) for session in sessions]
        if self._config.compact:
            segment.sessions.append(hashes)
        segment.index.append(
            IndexEntry(
                offset, len(data), head.first_record, head.records, head.first_body, head.bodies,
                head.first_ns, head.last_ns, bloom_of(hashes),
            )
        )  # fmt: skip
        self.bytes_written += len(data)
        self.records_written += head.records

    def _spend(self, size: int) -> None:
        self._budget.used += size

    def _due(self, segment: _Segment) -> bool:
        age_ns = self._now_ns() - segment.created_ns
        old = segment.records > 0 and age_ns >= self._config.segment_seconds * _S
        ripe = self._config.compact and segment.raw >= _COMPACT_BYTES and not self._dense and self._quiet(segment)
        return self._renewing or old or ripe or segment.file.end >= self._config.segment_bytes

    def _quiet(self, segment: _Segment) -> bool:
        """True where rewriting costs little of the time that the segment was open for."""
        age_s = (self._now_ns() - segment.created_ns) / _S
        return segment.raw < _QUIET_BYTES_A_SECOND * age_s

    def renew(self, meta: dict[str, Any]) -> None:
        """Go on in a new segment whose header says `meta`; what is held goes into the old one.

        Raises OSError, nothing lost; the next flush that succeeds begins the new segment.
        """
        self._meta, self._renewing = meta, True
        self.flush()

    def rotate(self) -> None:
        """Seal the open segment where it is due by its age; called now and then by an idle writer."""
        self.flush()

    def abandon(self) -> int:
        """Give up what is held and leave the open segment as it is, for a file that has become unusable.

        Returns how many records are lost: those held, and those written where the file itself is gone. The next
        record begins a new segment.
        """
        lost, self._block = self._block.count, _Block()
        if self._segment is not None:
            if not self._segment.file.path.exists():
                lost += self._segment.records
            self._segment.file.close()
            self._segment = None
        return lost

    def _open(self) -> _Segment:
        self.directory.mkdir(parents=True, exist_ok=True)
        now = self._now_ns()
        salt = b"" if self._key is None else os.urandom(SALT_BYTES)
        self._named_ns = max(now, self._named_ns + 1_000_000)  # the ids of one writer sort, however fast it rotates
        segment_id = new_segment_id(self._named_ns)
        self._run = self._run or segment_id
        header = pack_header(
            SegmentHeader(
                segment=segment_id,
                kind=self._kind,
                writer=_writer_name(),
                created_ns=now,
                key_id="" if self._key is None else key_id_of(self._key),
                salt=salt,
                meta=self._meta,
                run=self._run,
                sequence=self._sequence,
            )
        )
        cipher = None if self._key is None else Cipher(self._key, salt, header)
        file = Appender(self.directory, segment_id, header, self._config.fsync)
        self._sequence += 1
        self._renewing = False
        self._do(partial(self._spend, len(header)))
        self._segment = _Segment(file, header, cipher, now, BodyTable())
        return self._segment

    def _seal(self, segment: _Segment, extra: dict[str, Any], *, final: bool) -> None:
        self._do(partial(self._finish, segment, extra, final))
        self._segment = None

    def _finish(self, segment: _Segment, extra: dict[str, Any], final: bool) -> None:
        footer = Footer(
            records=segment.records,
            raw_bytes=segment.raw,
            sealed_ns=self._now_ns(),
            index=segment.index,
            ids=pack_ids(segment.ids),
            conservation=self._counts(),
            extra=extra,
            final=final,
        )
        sealed = self._rewritten(segment, footer) if self._config.compact and segment.index else None
        if sealed is None:
            sealed = self._sealed_as_written(segment, footer)
        self.segments_sealed.append(sealed)
        self._budget.recount()

    def _sealed_as_written(self, segment: _Segment, footer: Footer) -> Path:
        file, later = segment.file, self._later and bool(segment.index)
        if later:  # known before the name is there, so that nobody takes it for one that will not change any more
            self.sealed_as_written.append(file.sealed_path)
        try:
            return file.seal(pack_footer(footer, file.end, self._config.level, segment.cipher))
        except OSError:
            if later:
                self.sealed_as_written.pop()
            raise

    def _rewritten(self, segment: _Segment, footer: Footer) -> Path | None:
        """Put a copy made for size in the segment's place, where that is to be done now; None where it is not."""
        few = segment.records <= (_AT_END_RECORDS if footer.final else _COLUMNS_RECORDS)
        ends = footer.final and few and self._later
        if not (self._dense or ends or (self._quiet(segment) and (few or not self._later))):
            return None
        most_s = _COMPACT_DENSE_S if self._dense else _COMPACT_AT_END_S if footer.final else _COMPACT_S
        file = segment.file
        original = Original(
            file.directory, file.segment, file.read, segment.header, footer, segment.sessions, segment.cipher
        )
        in_time = partial(_before, time.monotonic() + most_s)
        return compact(original, in_time, file.seal_as, by_columns=self._dense or footer.final or few)

    def close(self, footer: dict[str, Any] | None = None) -> None:
        """Write what is held, put `footer` (plain values) into the last segment's footer, and seal it.

        Raises OSError where the disk refuses; it may then be called again. A second close does nothing.
        """
        if self._closed:
            return
        self.flush()
        segment = self._segment or self._open()  # where the last was sealed just now: the run's end must be on record
        self._seal(segment, footer or {}, final=True)
        self._closed = True
