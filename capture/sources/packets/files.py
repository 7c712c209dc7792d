"""Frames of pcap and pcapng files, plain or gzipped, through scapy's readers; the only place where these are used."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from capture.errors import BadInput, UsageError

__all__ = ["Frame", "read_frames"]

_FRAME_BYTES_MAX = 1 << 18
_PCAP_HEAD_BYTES = 24
_PCAP_PACKET_BYTES = 16
_INTERFACE = 1
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
    with file, _collected(warnings):  # scapy leaves files open that it refuses, so it is given one
        try:
            reader = scapy_utils.RawPcapReader(file)
        except (scapy_utils.Scapy_Exception, EOFError, OSError, ValueError):
            raise BadInput(
                f"{path}: not a pcap or pcapng capture file; editcap of Wireshark makes one of other formats"
            ) from None
        frames = _pcapng_frames(reader) if hasattr(reader, "interfaces") else _pcap_frames(reader)
        try:
            for frame in frames:
                yield frame
                count += 1
        except (scapy_utils.Scapy_Exception, ValueError, OverflowError, MemoryError) as error:
            warnings.append(str(error))
    if warnings:
        damaged(f"{path}: torn or damaged behind packet {count}: {warnings[0]}")


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


def _pcapng_frames(reader: Any) -> Iterator[Frame]:
    at_ns = 0
    read_interface = reader.blocktypes[_INTERFACE]

    def interface(block: bytes, size: int) -> None:
        """No limit of a packet's length is written as 0, which scapy takes for the limit of simple packets."""
        read_interface(block, size)
        link_type, limit, *rest = reader.interfaces[-1]
        reader.interfaces[-1] = (link_type, limit or _FRAME_BYTES_MAX, *rest)

    reader.blocktypes[_INTERFACE] = interface
    with _until_end():
        while True:
            data, meta = reader._read_packet(_FRAME_BYTES_MAX)
            if meta.tshigh is not None:  # a simple packet block has no time of its own
                ticks = (meta.tshigh << 32) | meta.tslow
                at_ns = ticks * _S // max(1, meta.tsresol)
            yield Frame(meta.linktype, data, at_ns, max(meta.wirelen, len(data)))


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
    handler, propagate, others = _Collect(messages), log.propagate, log.handlers[:]
    log.handlers, log.propagate = [handler], False
    try:
        yield
    finally:
        log.handlers, log.propagate = others, propagate
