"""Reading a log: in time order over all segments, by id, by time, by session, as it grows; and what is damaged."""

from __future__ import annotations

import time
from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, TypeVar

from msgspec.structs import force_setattr

from capture.conservation import Conservation
from capture.errors import BadInput
from capture.exchange import Exchange
from capture.log.appender import SEALED_SUFFIX
from capture.log.bodies import BodyCache
from capture.log.cipher import Cipher, environment_key, key_id_of
from capture.log.filters import find_ids, may_contain
from capture.log.footer import IndexEntry
from capture.log.format import FormatError, NewerVersion
from capture.log.merge import Slice, merge
from capture.log.scan import Damage, SegmentReader, read_header
from capture.log.shape import Shape, shape_of
from capture.log.source import ByteSource, Replaced, StoredSegment
from capture.log.store import LocalStore, SingleFile, Store, open_store
from capture.log.writer import EXCHANGE_KIND

__all__ = ["Damage", "Log", "SegmentInfo", "open_log", "open_segment", "open_segment_file", "read_records"]

T = TypeVar("T")

_REPLACED_MAX = 8


@dataclass(frozen=True, slots=True)
class SegmentInfo:
    """What is known of one segment without reading its records.

    name: file name. size: bytes on disk; raw_bytes: before compression, None where the segment is not sealed. live: its
    writer is at work; sealed: it has its footer. records: in whole blocks. first_ns, last_ns: 0 where it is empty.
    run, sequence, final: which writer made it, as its how manieth, and whether it was the last when that writer was
    closed. torn_at: byte offset where a torn tail begins, None where there is none. conservation: of the time it was
    open, None where it was not sealed or its writer keeps none. extra: what else the footer holds.
    """

    name: str
    segment: str
    kind: str
    writer: str
    created_ns: int
    size: int
    raw_bytes: int | None
    encrypted: bool
    live: bool
    sealed: bool
    blocks: int
    records: int
    first_ns: int
    last_ns: int
    run: str
    sequence: int
    final: bool
    torn_at: int | None
    meta: dict[str, Any]
    conservation: dict[str, Any] | None
    extra: dict[str, Any]


def _open_segment(
    store: Store, stored: StoredSegment, shape: Shape[T], kind: str, key: bytes | None, bodies: BodyCache
) -> SegmentReader[T] | Damage | None:
    """A reader of one segment; Damage where its header is unreadable; None where it was only just created.

    Raises BadInput for what cannot be opened by this program or with this key.
    """
    for _ in range(_REPLACED_MAX):
        try:
            return _open_source(store.open(stored.name), stored, shape, kind, key, bodies)
        except Replaced:
            continue
    raise BadInput(f"{store.location}/{stored.name}: is replaced again and again; try again later")


def _open_source(
    source: ByteSource, stored: StoredSegment, shape: Shape[T], kind: str, key: bytes | None, bodies: BodyCache
) -> SegmentReader[T] | Damage | None:
    try:
        header, header_bytes = read_header(source)
    except NewerVersion as error:
        raise BadInput(f"{source.name}: {error}") from None
    except FormatError as error:
        if stored.live:
            return None
        return Damage(source.name, 0, f"the segment's header cannot be read: {error}")
    if header.kind != kind:
        raise BadInput(f"{source.name}: holds records of kind {header.kind!r}, expected {kind!r}")
    cipher = None
    if header.key_id:
        if key is None:
            raise BadInput(
                f"{source.name}: the log is encrypted with key {header.key_id}; give it with --log-key-file or "
                "UNDERSTUDY_LOG_KEY"
            )
        if key_id_of(key) != header.key_id:
            raise BadInput(
                f"{source.name}: the log is encrypted with key {header.key_id}, the key given is {key_id_of(key)}"
            )
        cipher = Cipher(key, header.salt, header_bytes)
    sealed = stored.name.endswith(SEALED_SUFFIX)
    return SegmentReader(source, shape, header, cipher, bodies, live=stored.live, named_sealed=sealed)


class _Segments:
    """The open segments of one location."""

    def __init__(self, store: Store, shape: Shape[Any], kind: str, key: bytes | None) -> None:
        self.store = store
        self.readers: dict[str, SegmentReader[Any]] = {}
        self.unreadable: dict[str, Damage] = {}
        self._shape, self._kind, self._key = shape, kind, key
        self._bodies = BodyCache()
        if not self.refresh():
            raise BadInput(f"{store.location}: no segments of a log here; name the directory that was given as --log")

    def refresh(self) -> list[StoredSegment]:
        """See what is new, and bring the readers into the order of the log; returns all that is there."""
        there = self.store.segments()
        for stored in there:
            known = self.readers.get(stored.segment)
            if known is not None and known.live and not stored.live:
                known.close()  # sealed since, or its writer has gone: what is there now will not change
                del self.readers[stored.segment]
            if stored.segment not in self.readers and stored.segment not in self.unreadable:
                found = _open_segment(self.store, stored, self._shape, self._kind, self._key, self._bodies)
                if isinstance(found, Damage):
                    self.unreadable[stored.segment] = found
                elif found is not None:
                    self.readers[stored.segment] = found
        self.readers = dict(sorted(self.readers.items()))  # one that was sealed meanwhile keeps its place
        return there

    def info(self, stored: StoredSegment) -> SegmentInfo | None:
        """What is known of a segment; None where its header is unreadable."""
        reader = self.readers.get(stored.segment)
        if reader is None:
            return None
        header, footer, index = reader.header, reader.footer, reader.index
        return SegmentInfo(
            name=stored.name,
            segment=header.segment,
            kind=header.kind,
            writer=header.writer,
            created_ns=header.created_ns,
            size=stored.size,
            raw_bytes=None if footer is None else footer.raw_bytes,
            encrypted=bool(header.key_id),
            live=stored.live,
            sealed=reader.sealed,
            blocks=len(index),
            records=sum(entry.records for entry in index),
            first_ns=min((entry.first_ns for entry in index), default=0),
            last_ns=max((entry.last_ns for entry in index), default=0),
            run=header.run,
            sequence=header.sequence,
            final=footer is not None and footer.final,
            torn_at=reader.torn_at,
            meta=header.meta,
            conservation=None if footer is None else footer.conservation,
            extra={} if footer is None else footer.extra,
        )

    def damage(self) -> list[Damage]:
        """What was found damaged so far; reading more may find more."""
        found = list(self.unreadable.values())
        for reader in self.readers.values():
            found += reader.damage
            if reader.torn_at is not None and not reader.live:
                left = reader.source.size() - reader.torn_at
                found.append(
                    Damage(reader.source.name, reader.torn_at, f"torn tail: {left} bytes after the last whole block")
                )
        return found

    def close(self) -> None:
        for reader in self.readers.values():
            reader.close()


class Log:
    """An opened log of exchanges. What is read of it is what was there when it was opened, but for `follow`."""

    def __init__(self, segments: _Segments) -> None:
        self._segments = segments
        self._there = segments.refresh()

    @property
    def location(self) -> str:
        """The directory or URL."""
        return self._segments.store.location

    @property
    def segments(self) -> list[SegmentInfo]:
        """Every readable segment, oldest first."""
        infos = (self._segments.info(stored) for stored in self._there)
        return [info for info in infos if info is not None]

    @property
    def damage(self) -> list[Damage]:
        """What is known to be damaged; complete once everything was read (`understudy log verify` does)."""
        return self._segments.damage()

    def conservation(self) -> Conservation:
        """The sum of the footers' counts. Segments without a footer (live, or their writer was killed) have none."""
        total = Conservation()
        for info in self.segments:
            if info.conservation is not None:
                total.merge(Conservation.from_dict(info.conservation))
        return total

    def exchanges(
        self, start_ns: int | None = None, end_ns: int | None = None, session: str | None = None
    ) -> Iterator[Exchange]:
        """Exchanges whose request began in [start_ns, end_ns), in that order over all segments, ids filled in.

        Of one instant: by segment (their names sort by age), and in a segment as they were written.
        session: only those of this session. Blocks that cannot hold what is wanted are not read.
        """
        slices = []
        for reader in self._segments.readers.values():
            ratio = _ratio(reader)
            for entry in reader.index:
                if session is None or may_contain(entry.sessions, session):
                    read = partial(_identified, reader, entry)
                    slices.append(Slice(entry.first_ns, entry.last_ns, int(entry.size * ratio), read))
        merged = merge(slices, start_ns, end_ns)
        return merged if session is None else (x for x in merged if x.session == session)

    def get(self, exchange_id: str) -> Exchange | None:
        """The exchange of that id, None where the log has none; reads one block, and tables of explicit ids."""
        segment, dash, number = exchange_id.rpartition("-")
        if dash and number.isdecimal():
            usual = self._segments.readers.get(segment)  # a file may have another name, and the right one is the first
            others = (reader for reader in self._segments.readers.values() if reader.header.segment == segment)
            for reader in chain(() if usual is None else (usual,), others):
                found = _by_number(reader, int(number))
                if found is not None and found.id == exchange_id:
                    return found
        for reader in self._segments.readers.values():
            for place in _explicit(reader, exchange_id):
                found = _by_number(reader, place)
                if found is not None and found.id == exchange_id:
                    return found
        return None

    def unordered(self) -> Iterator[Exchange]:
        """Every exchange, segment after segment in the order of writing: the cheapest way to see all of them."""
        for reader in self._segments.readers.values():
            for entry in reader.index:
                yield from _identified(reader, entry)

    def remove(self, info: SegmentInfo) -> None:
        """Delete a segment from the log; what was read of it before stays valid."""
        self._segments.store.remove(info.name)

    def count(self, info: SegmentInfo) -> int:
        """Read every block of one segment and say how many whole exchanges are in it; damage is noted on the way."""
        reader = self._reader(info)
        return sum(record is not None for entry in reader.index for record in reader.records(entry))

    def end_of(self, info: SegmentInfo) -> tuple[str, int]:
        """(file, offset behind the last whole block) of one segment."""
        reader = self._reader(info)
        return reader.source.name, reader.end

    def _reader(self, info: SegmentInfo) -> SegmentReader[Any]:
        """By the name of its file, which need not be what its header says."""
        return self._segments.readers[StoredSegment(info.name, info.size, info.live).segment]

    @property
    def local(self) -> bool:
        """True for a directory, where a writer that lives can be seen."""
        return isinstance(self._segments.store, LocalStore)

    def follow(
        self,
        *,
        poll_s: float = 0.2,
        until: Callable[[], bool] = lambda: False,
        sleep: Callable[[float], None] = time.sleep,
    ) -> Iterator[Exchange]:
        """What is there and then what is added, segment by segment in the order of writing; ends once `until()`.

        Looks again every `poll_s` seconds; a segment that is sealed or compacted meanwhile is not read twice.
        """
        done: dict[str, int] = {}
        while True:
            last = until()
            self._there = self._segments.refresh()
            for segment, reader in list(self._segments.readers.items()):
                reader.refresh()
                for entry in reader.index:
                    seen = done.get(segment, 0)
                    if entry.first_record + entry.records > seen:
                        yield from _identified(reader, entry, max(0, seen - entry.first_record))
                        done[segment] = entry.first_record + entry.records
            if last:
                return
            sleep(poll_s)

    def close(self) -> None:
        """Let go of open files."""
        self._segments.close()

    def __enter__(self) -> Log:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _ratio(reader: SegmentReader[Any]) -> float:
    """How much larger a block is before compression: as in the footer, or a guess; it only steers memory."""
    stored = sum(entry.size for entry in reader.index)
    return reader.footer.raw_bytes / stored if reader.footer is not None and stored else 16.0


def _identified(reader: SegmentReader[Exchange], entry: IndexEntry, skip: int = 0) -> list[Exchange]:
    """The exchanges of one block that are whole, with their ids, but for the first `skip`."""
    records = reader.records(entry)
    if skip:
        records = records[skip:]
    prefix, number = reader.header.segment + "-", entry.first_record + skip
    whole = True
    for place, exchange in enumerate(records, number):
        if exchange is None:
            whole = False
        elif not exchange.id:
            force_setattr(exchange, "id", prefix + str(place))  # made a moment ago, nobody else has seen it
    return records if whole else [x for x in records if x is not None]  # type: ignore[return-value]


def _by_number(reader: SegmentReader[Exchange], number: int) -> Exchange | None:
    """One record by its number: the block by binary search, then that block alone is read."""
    place = bisect_right(reader.index, number, key=lambda entry: entry.first_record) - 1
    if place < 0 or number >= reader.index[place].first_record + reader.index[place].records:
        return None
    entry = reader.index[place]
    records = reader.records(entry)
    if not records:
        return None
    exchange = records[number - entry.first_record]
    if exchange is not None and not exchange.id:
        force_setattr(exchange, "id", f"{reader.header.segment}-{number}")
    return exchange


def _explicit(reader: SegmentReader[Exchange], exchange_id: str) -> Iterator[int]:
    """Numbers of the records that may carry this id: from the footer's table, or by reading what is not sealed."""
    if reader.footer is not None:
        yield from find_ids(reader.footer.ids, exchange_id)
        return
    for entry in reader.index:
        for place, exchange in enumerate(reader.records(entry), entry.first_record):
            if exchange is not None and exchange.id == exchange_id:
                yield place


def open_log(path: str | Path, *, key: bytes | None = None) -> Log:
    """Open a log for reading: a directory, or an URL of an object store.

    key: of an encrypted log; UNDERSTUDY_LOG_KEY where it is None. Raises BadInput, one line, where there is no log, it
    is of a newer major version, or the key is missing or wrong.
    """
    return Log(_Segments(open_store(path), shape_of(Exchange), EXCHANGE_KIND, _key(key)))


def open_segment_file(path: Path, *, key: bytes | None = None) -> Log:
    """Open one segment file as a log of its own, wherever it lies. Raises as `open_log` does."""
    return Log(_Segments(SingleFile(path), shape_of(Exchange), EXCHANGE_KIND, _key(key)))


def open_segment(path: Path, key: bytes | None = None) -> SegmentReader[Exchange]:
    """The blocks of one segment file of exchanges. Raises BadInput as `open_log` does, and where it is unreadable."""
    store = SingleFile(path)
    found = _open_segment(store, store.segments()[0], shape_of(Exchange), EXCHANGE_KIND, _key(key), BodyCache())
    if not isinstance(found, SegmentReader):
        raise BadInput(f"{path}: {found.what if found else 'the segment was only just begun'}")
    return found


def read_records(directory: Path | str, record_type: type[T], kind: str, *, key: bytes | None = None) -> Iterator[T]:
    """All records of a kind in the order in which they were written, segment after segment.

    Raises BadInput as `open_log` does, at once. Records that are lost to damage are left out.
    """
    segments = _Segments(open_store(directory), shape_of(record_type), kind, _key(key))
    return _all_records(segments)


def _all_records(segments: _Segments) -> Iterator[Any]:
    try:
        for reader in segments.readers.values():
            for entry in reader.index:
                yield from (record for record in reader.records(entry) if record is not None)
    finally:
        segments.close()


def _key(key: bytes | None) -> bytes | None:
    return environment_key() if key is None else key
