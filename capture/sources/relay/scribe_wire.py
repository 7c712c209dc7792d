"""What a relay and its scribe say to each other: frames of a kind, a length and MessagePack, over one stream socket.

To the scribe: exchanges as they were seen, what holds from then on, and counts for the footers, in this order of time.
From the scribe: how it is doing, ten times a second. What was seen goes from memory to memory, and into no file.
"""

from __future__ import annotations

import dataclasses
import socket
import struct
from collections.abc import Iterable, Iterator
from typing import Any, Literal

import msgspec

from capture.exchange import Exchange
from capture.log.block import array_head
from capture.settings import CaptureConfig, LogConfig, RedactConfig

__all__ = [
    "CHANGE",
    "COUNTS",
    "END",
    "EXCHANGES",
    "READY",
    "REFUSED",
    "RENEW",
    "ScribeStart",
    "Told",
    "decode_exchanges",
    "encode_exchange",
    "exchange_frames",
    "frame",
    "received",
]

EXCHANGES, CHANGE, RENEW, COUNTS, END = b"E", b"A", b"R", b"C", b"X"
"""To the scribe: an array of exchanges; a pickled (CaptureConfig, RedactConfig); meta of the next segment; what the
counts grew by; the same for the last time."""
READY, REFUSED = b"T", b"!"
"""From the scribe: a `Told`; a pickled error that kept it from starting."""

_HEAD = struct.Struct("!cI")
_FRAME_BYTES = 1 << 20
_READ_BYTES = 1 << 18

encode_exchange = msgspec.msgpack.Encoder().encode
"""One exchange as MessagePack. Raises TypeError, ValueError or OverflowError for one that it cannot say."""
decode_exchanges = msgspec.msgpack.Decoder(list[Exchange]).decode
"""The exchanges of one frame."""


@dataclasses.dataclass(frozen=True, slots=True)
class ScribeStart:
    """What a scribe begins with. log: directory or URL; meta: as for `LogWriter`; capture: with its redaction key."""

    log: str
    log_config: LogConfig
    meta: dict[str, Any]
    capture: CaptureConfig
    redact: RedactConfig
    messages: Literal["text", "json"]


class Told(msgspec.Struct, frozen=True, array_like=True):
    """What a scribe has done so far.

    taken, taken_bytes: exchanges that it has read, and their bytes as sent. lost: of these, not written, by reason;
    lost_incomplete: of those, the ones that were incomplete, by why. errors: by reason, what else went wrong. The rest
    is as in `LogStats`, of its own log. cpu_ns: processor time of all its threads. ended: it is the last word.
    """

    taken: int = 0
    taken_bytes: int = 0
    lost: dict[str, int] = {}
    lost_incomplete: dict[str, int] = {}
    queued: int = 0
    queued_bytes: int = 0
    written: int = 0
    written_bytes: int = 0
    segments: int = 0
    pruned: int = 0
    errors: dict[str, int] = {}
    failing: str | None = None
    cpu_ns: int = 0
    rss_bytes: int = 0
    ended: bool = False


def frame(kind: bytes, payload: bytes) -> bytes:
    """One frame, ready to be sent."""
    return _HEAD.pack(kind, len(payload)) + payload


def exchange_frames(encoded: Iterable[bytes]) -> Iterator[bytes]:
    """Frames of about a megabyte that hold these exchanges, in their order."""
    batch: list[bytes] = []
    size = 0
    for exchange in encoded:
        batch.append(exchange)
        size += len(exchange)
        if size >= _FRAME_BYTES:
            yield _joined(batch, size)
            batch, size = [], 0
    if batch:
        yield _joined(batch, size)


def _joined(batch: list[bytes], size: int) -> bytes:
    head = array_head(len(batch))
    return b"".join((_HEAD.pack(EXCHANGES, len(head) + size), head, *batch))


def received(channel: socket.socket) -> Iterator[tuple[bytes, bytes]]:
    """(kind, payload) of each frame until the other side has ended or died; waits for each. Never raises OSError."""
    held = bytearray()
    while True:
        while len(held) >= _HEAD.size:
            kind, length = _HEAD.unpack_from(held)
            end = _HEAD.size + length
            if len(held) < end:
                break
            payload = bytes(memoryview(held)[_HEAD.size : end])
            del held[:end]
            yield kind, payload
        try:
            data = channel.recv(_READ_BYTES)
        except OSError:
            return
        if not data:
            return
        held += data
