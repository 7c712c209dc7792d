"""Frames of pcap and pcapng files, plain or gzipped, through scapy's readers; the only place where these are used."""

from __future__ import annotations

import contextlib
import heapq
import itertools
import logging
import struct
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from capture.errors import BadInput, UsageError

__all__ = ["Frame", "merged", "read_frames"]

_FRAME_BYTES_MAX = 1 << 18
_BATCH_FRAMES = 64
_PCAP_HEAD_BYTES = 24
_PCAP_PACKET_BYTES = 16
_INTERFACE = 1
_SECRETS = 10
_TIME_OFFSET = 14
_S = 1_000_000_000


class Frame(NamedTuple):
    """One captured frame. at_ns: ns since the Unix epoch. wire_bytes: its length before the capture cut it."""

    link_type: int
    data: bytes
    at_ns: int
    wire_bytes: int


def read_frames(path: Path, damaged: Callable[[str], None]) -> Iterator[Frame]:
    """The frames of a capture file in file order, in constant memory.

    damaged: called with one line where the file is torn or altered; the frames before that are given all the same.
    Raises BadInput where the file cannot be read or is not a capture, UsageError without scapy.
    """
    scapy_utils = _scapy()
    try:
        file = path.open("rb")
    except OSError as error:
        raise BadInput(f"{path}: cannot be read: {error.strerror}") from None
    warnings: list[str] = []
    count = 0
    with file:  # scapy leaves files open that it refuses, so it is given one
        try:
            with _collected(warnings):
                reader = scapy_utils.RawPcapReader(file)
        except (scapy_utils.Scapy_Exception, EOFError, OSError, ValueError):
            raise BadInput(
                f"{path}: not a pcap or pcapng capture file; editcap of Wireshark makes one of other formats"
            ) from None
        frames = _pcapng_frames(reader) if hasattr(reader, "interfaces") else _pcap_frames(reader)
        while batch := _batch(frames, warnings, scapy_utils.Scapy_Exception):
            for frame in batch:
                yield frame
                count += 1
    if warnings:
        damaged(f"{path}: torn or damaged behind packet {count}: {warnings[0]}")


def _batch(frames: Iterator[Frame], warnings: list[str], refusal: type[Exception]) -> list[Frame]:
    """The next frames, none at the end. What scapy says meanwhile is collected, though other files are open too."""
    batch: list[Frame] = []
    with _collected(warnings):
        try:
            batch.extend(itertools.islice(frames, _BATCH_FRAMES))
        except (refusal, ValueError, OverflowError, MemoryError) as error:
            warnings.append(str(error))
    return batch


def merged(paths: Sequence[Path], damaged: Callable[[str], None]) -> Iterator[Frame]:
    """The frames of several files in the order of time, as far as each is in order itself; see `read_frames`.

    A file is open only from its first frame's time to its last one's, so that a capture may be cut into any number.
    """
    begins = [(next((frame.at_ns for frame in read_frames(path, _unsaid)), None), n) for n, path in enumerate(paths)]
    ahead = sorted(((at_ns or 0, n) for at_ns, n in begins), reverse=True)
    open_now: list[tuple[int, int, Frame, Iterator[Frame]]] = []
    while ahead or open_now:
        while ahead and (not open_now or ahead[-1][0] <= open_now[0][0]):
            n = ahead.pop()[1]
            frames = read_frames(paths[n], damaged)
            if (frame := next(frames, None)) is not None:
                heapq.heappush(open_now, (frame.at_ns, n, frame, frames))
        if not open_now:
            continue
        _, n, frame, frames = open_now[0]
        yield frame
        if (following := next(frames, None)) is not None:
            heapq.heapreplace(open_now, (following.at_ns, n, following, frames))
        else:
            heapq.heappop(open_now)


def _unsaid(line: str) -> None:
    """Damage is said when the file is read."""


def _scapy() -> Any:
    try:
        import scapy.utils
    except ImportError:
        raise UsageError("reading packets needs scapy; install understudy with the extra [sniff]") from None
    return scapy.utils


def _pcap_frames(reader: Any) -> Iterator[Frame]:
    scale = 1 if reader.nano else 1000
    link_type = reader.linktype & 0xFFFF  # the upper half says whether frames end with a checksum
    place = _PCAP_HEAD_BYTES
    with _until_end():
        while True:
            try:
                data, meta = reader._read_packet(_FRAME_BYTES_MAX)  # the public iterator cuts frames at 64 KiB
            except EOFError:
                if reader.f.tell() > place:
                    raise ValueError("the file ends in the head of a packet") from None
                raise
            place += _PCAP_PACKET_BYTES + meta.caplen
            yield Frame(link_type, data, meta.sec * _S + meta.usec * scale, max(meta.wirelen, len(data)))


@contextlib.contextmanager
def _until_end() -> Iterator[None]:
    """scapy says by EOFError that a file has ended; gzip likewise, with words, that its stream is cut."""
    try:
        yield
    except EOFError as error:
        if error.args:
            raise ValueError(str(error)) from None


class _Ticks(NamedTuple):
    """What an interface's times count. per_s: ticks in a second; offset_s: seconds since the epoch to add."""

    per_s: int
    offset_s: int


def _pcapng_frames(reader: Any) -> Iterator[Frame]:
    at_ns = 0
    _mend(reader)
    with _until_end():
        while True:
            data, meta = reader._read_packet(_FRAME_BYTES_MAX)
            if meta.tshigh is not None:  # a simple packet block has no time of its own
                ticks = (meta.tshigh << 32) | meta.tslow
                at_ns = ticks * _S // max(1, meta.tsresol.per_s) + meta.tsresol.offset_s * _S
            yield Frame(meta.linktype, data, at_ns, max(meta.wirelen, len(data)))


def _mend(reader: Any) -> None:
    """Let scapy read what it passes over: sections with interfaces of their own, and offsets of their times.

    Each frame's `tsresol` becomes `_Ticks`, which scapy only hands on. Secrets are not read: it would complain of them,
    or keep them.
    """
    read_section, read_interface = reader._read_block_shb, reader.blocktypes[_INTERFACE]

    def section() -> None:
        reader.interfaces.clear()
        reader.process_information.clear()
        read_section()

    def interface(block: bytes, size: int) -> None:
        read_interface(block, size)
        link_type, limit, options = reader.interfaces[-1]
        offset = reader._read_options(block[8:]).get(_TIME_OFFSET, b"")
        offset_s = struct.unpack(reader.endian + "q", offset)[0] if len(offset) == 8 else 0
        options["tsresol"] = _Ticks(options["tsresol"], offset_s)
        # No limit of a packet's length is written as 0, which scapy takes for the limit of simple packets.
        reader.interfaces[-1] = (link_type, limit or _FRAME_BYTES_MAX, options)

    reader._read_block_shb = section
    reader.blocktypes[_INTERFACE] = interface
    del reader.blocktypes[_SECRETS]


class _Collect(logging.Handler):
    def __init__(self, messages: list[str]) -> None:
        super().__init__()
        self._messages = messages

    def emit(self, record: logging.LogRecord) -> None:
        self._messages.append(record.getMessage())


@contextlib.contextmanager
def _collected(messages: list[str]) -> Iterator[None]:
    """scapy says through logging what is wrong with a file; take it as data, and keep it off the terminal."""
    log = logging.getLogger("scapy.runtime")
    before = log.handlers, log.filters, log.propagate
    # Its filter holds back what it has said before, which here would be the damage of another file.
    log.handlers, log.filters, log.propagate = [_Collect(messages)], [], False
    try:
        yield
    finally:
        log.handlers, log.filters, log.propagate = before
