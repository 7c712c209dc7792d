"""Reading one segment: by its index where it is sealed, else block by block, and around damage where there is any."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from functools import partial
from operator import attrgetter
from typing import Generic, TypeVar

import msgspec

from capture.log.block import decode_records, open_payload, split_payload
from capture.log.bodies import BodyCache
from capture.log.cipher import Cipher
from capture.log.footer import Footer, IndexEntry, read_footer
from capture.log.format import (
    BLOCK_BYTES_MAX,
    BLOCK_FOOTER,
    BLOCK_HEAD_BYTES,
    BLOCK_MAGIC,
    BLOCK_RECORDS,
    HEADER_BYTES_MAX,
    HEADER_FIXED_BYTES,
    TRAILER_BYTES,
    BlockHead,
    FormatError,
    SegmentHeader,
    unpack_block_head,
    unpack_header,
    unpack_trailer,
)
from capture.log.shape import Shape
from capture.log.source import ByteSource, Replaced

__all__ = ["Damage", "SegmentReader", "read_header"]

T = TypeVar("T")

_SEARCH_BYTES = 1 << 20
_REPLACED_MAX = 8
_first_record = attrgetter("first_record")
_where = attrgetter("offset", "size")


@dataclass(frozen=True, slots=True)
class Damage:
    """Something that is lost. file, offset: where; what: one line; records: how many at least, None where unknown."""

    file: str
    offset: int
    what: str
    records: int | None = None


def read_header(source: ByteSource) -> tuple[SegmentHeader, bytes]:
    """The header and its bytes; raises FormatError, NewerVersion."""
    data = source.read(0, 4096)
    if len(data) >= HEADER_FIXED_BYTES:
        length = int.from_bytes(data[12:16], "little")
        if HEADER_FIXED_BYTES + length > len(data) and length <= HEADER_BYTES_MAX:
            data = source.read(0, HEADER_FIXED_BYTES + length)
    header = unpack_header(data)
    return header, data[: header.header_bytes]


class SegmentReader(Generic[T]):
    """The blocks of one segment and the records in them.

    live: the writer may still be adding; then an unfinished block at the end is not damage. named_sealed: the file's
    name says that it was sealed; then a missing footer is. What is met is added to `damage`, once for each place.
    `torn_at` is the offset where a torn tail begins, None where there is none.
    """

    def __init__(
        self,
        source: ByteSource,
        shape: Shape[T],
        header: SegmentHeader,
        cipher: Cipher | None,
        bodies: BodyCache,
        *,
        live: bool,
        named_sealed: bool = False,
    ) -> None:
        self.source = source
        self.header = header
        self.footer: Footer | None = None
        self.damage: list[Damage] = []
        self.torn_at: int | None = None
        self.live = live
        self._named_sealed = named_sealed
        self.end = header.header_bytes
        self._shape = shape
        self.cipher = cipher
        self._decoder: msgspec.msgpack.Decoder[list[T]] = msgspec.msgpack.Decoder(
            list[shape.record_type]  # type: ignore[name-defined]
        )
        self._bodies = bodies
        self._bodies_of, self._generation = source.name, 0
        self._first_bodies: list[int] = []
        self._reported: set[int] = set()
        self.index: list[IndexEntry] = []
        self._load()

    @property
    def sealed(self) -> bool:
        """True where the segment has its footer and will not change."""
        return self.footer is not None

    def _load(self) -> None:
        try:
            self._load_footer(self.source.size())
        except FormatError as error:
            if self._named_sealed:
                where = max(0, self.source.size() - TRAILER_BYTES)
                self._note(where, f"the segment's end is missing or damaged: {error}", 0)
            self.refresh()

    def _load_footer(self, size: int) -> None:
        if size < self.header.header_bytes + BLOCK_HEAD_BYTES + TRAILER_BYTES:
            raise FormatError("no trailer: the segment was not sealed")
        offset, length = unpack_trailer(self.source.read(size - TRAILER_BYTES, TRAILER_BYTES))
        if offset + length + TRAILER_BYTES != size or offset < self.header.header_bytes:
            raise FormatError(f"the trailer points to {offset}, which cannot be")
        if length > BLOCK_BYTES_MAX:
            raise FormatError(f"a footer of {length} bytes is over the format's bounds")
        data = self.source.read(offset, length)
        head = unpack_block_head(data)
        if head.kind != BLOCK_FOOTER:
            raise FormatError("the trailer does not point to a footer")
        footer = read_footer(open_payload(head, data[BLOCK_HEAD_BYTES:], self.cipher))
        for entry in footer.index:
            inside = self.header.header_bytes <= entry.offset <= entry.offset + entry.size <= offset
            if not inside or entry.size > BLOCK_BYTES_MAX:
                raise FormatError("the footer's index points outside of the segment")
        self.footer, self.index, self.end = footer, footer.index, offset

    def refresh(self) -> int:
        """Walk on from the last whole block that was found; returns how many more there are now.

        Where bytes are damaged, the walk goes on at the next place where a block surely begins.
        """
        found = 0
        while self.footer is None:
            size = self.source.size()
            if self.end >= size:
                self.torn_at = None
                break
            entry = self._whole_block(self.end, size)
            if entry is None:
                following = None if self.live else self._next_block(self.end + 1, size)
                if following is None:
                    self.torn_at = self.end
                    break
                lost = max(0, following.first_record - self._records_so_far())
                self._note(self.end, f"{following.offset - self.end} bytes are not a whole block", lost)
                self.end = following.offset
                continue
            self.end += entry.size
            if entry.records:  # else it is a footer without its trailer: a segment that was not quite sealed
                self.index.append(entry)
                found += 1
        return found

    def _records_so_far(self) -> int:
        return self.index[-1].first_record + self.index[-1].records if self.index else 0

    def _whole_block(self, offset: int, size: int) -> IndexEntry | None:
        try:
            head = unpack_block_head(self.source.read(offset, BLOCK_HEAD_BYTES))
        except FormatError:
            return None
        if offset + BLOCK_HEAD_BYTES + head.stored > size:
            return None
        return IndexEntry(
            offset,
            BLOCK_HEAD_BYTES + head.stored,
            head.first_record,
            head.records if head.kind == BLOCK_RECORDS else 0,
            head.first_body,
            head.bodies,
            head.first_ns,
            head.last_ns,
        )

    def _next_block(self, offset: int, size: int) -> IndexEntry | None:
        """The next whole block, searched for in bounded pieces."""
        while offset < size:
            piece = self.source.read(offset, _SEARCH_BYTES + len(BLOCK_MAGIC))
            at = piece.find(BLOCK_MAGIC)
            while at >= 0:
                entry = self._whole_block(offset + at, size)
                if entry is not None:
                    return entry
                at = piece.find(BLOCK_MAGIC, at + 1)
            offset += _SEARCH_BYTES
        return None

    def _note(self, offset: int, what: str, records: int | None = None) -> None:
        if offset not in self._reported:
            self._reported.add(offset)
            self.damage.append(Damage(self.source.name, offset, what, records))

    def payload(self, entry: IndexEntry) -> tuple[BlockHead, bytes]:
        """Head and payload of one block; raises FormatError."""
        data = self.source.read(entry.offset, entry.size)
        head = unpack_block_head(data)
        if (head.first_record, head.records, head.first_body, head.bodies, head.kind) != (
            entry.first_record,
            entry.records,
            entry.first_body,
            entry.bodies,
            BLOCK_RECORDS,
        ):
            raise FormatError("the index and the block disagree about what is in it")
        return head, open_payload(head, data[BLOCK_HEAD_BYTES:], self.cipher)

    def records(self, entry: IndexEntry) -> list[T | None]:
        """The records of one block; None in the place of one whose body was in a damaged block.

        A block that is damaged is noted and gives [].
        """
        for _ in range(_REPLACED_MAX):
            try:
                try:
                    return self._records(entry)
                except Replaced:
                    self._renew()
            except FileNotFoundError:
                self._note(0, "the segment is gone: it was pruned while it was read")
                return []
            except OSError as error:
                self._note(entry.offset, f"the block cannot be read: {error.strerror}", entry.records)
                return []
        self._note(entry.offset, "the segment is replaced again and again", entry.records)
        return []

    def _records(self, entry: IndexEntry) -> list[T | None]:
        place = bisect_right(self.index, entry.first_record, key=_first_record) - 1
        if not 0 <= place < len(self.index) or _where(self.index[place]) != _where(entry):
            return self._by_numbers(entry, max(0, place))
        try:
            head, payload = self.payload(entry)
            keep = partial(self._bodies.put, self._bodies_of, entry.offset)
            records = decode_records(head, payload, self._shape, self._decoder, self._body, keep)
        except FormatError as error:
            self._note(entry.offset, str(error), entry.records)
            return []
        lost = sum(record is None for record in records)
        if lost:
            self._note(entry.offset, f"{lost} records refer to a body in a damaged block", lost)
        return records

    def _by_numbers(self, wanted: IndexEntry, place: int) -> list[T | None]:
        """The records of a block that is no more, as the segment was rewritten: they have kept their numbers."""
        found: list[T | None] = []
        end = wanted.first_record + wanted.records
        for entry in self.index[place:]:
            if entry.first_record >= end:
                break
            low = max(0, wanted.first_record - entry.first_record)
            found += self._records(entry)[low : end - entry.first_record]
        return found

    def _renew(self) -> None:
        """Another process has put a rewritten copy in the segment's place."""
        self.source.renew()
        self._generation += 1
        self._bodies_of = f"{self.source.name} {self._generation}"
        self.footer, self.index, self._first_bodies = None, [], []
        self.end = self.header.header_bytes
        self._load()

    def _body(self, number: int) -> bytes | None:
        """A body of an earlier block, from what is remembered or by reading that block again."""
        if len(self._first_bodies) != len(self.index):
            self._first_bodies = [entry.first_body for entry in self.index]
        place = bisect_right(self._first_bodies, number) - 1
        if place < 0 or number >= self.index[place].first_body + self.index[place].bodies:
            return None
        entry = self.index[place]
        bodies = self._bodies.get(self._bodies_of, entry.offset)
        if bodies is None:
            try:
                head, payload = self.payload(entry)
                bodies, _, _ = split_payload(payload, head.flags)
            except FormatError as error:
                self._note(entry.offset, str(error), entry.records)
                return None
            if len(bodies) != entry.bodies:
                return None
            self._bodies.put(self._bodies_of, entry.offset, bodies)
        return bodies[number - entry.first_body]

    def close(self) -> None:
        """Close the source."""
        self.source.close()
