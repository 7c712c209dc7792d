"""The scribe's own process: takes exchanges as they were seen, redacts them and writes the log, beside the traffic.

It ends with the relay: told to (END), it seals the log; where the relay died, what had come is written as it would have
been, and the segment stays open, as after any death. Signals are the relay's business, and ignored here.
"""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import os
import pickle
import signal
import socket
import sys
import threading
import time
from collections import Counter

import msgspec

from capture.clock import Clock
from capture.conservation import Conservation
from capture.errors import RunFailed, UnderstudyError
from capture.exchange import Exchange
from capture.log.block import array_head
from capture.log.writer import LogWriter
from capture.pipeline import redaction_key
from capture.pseudonym import Pseudonyms
from capture.redact import Redactor
from capture.settings import CaptureConfig, RedactConfig
from capture.sources.relay.messages import set_up_messages
from capture.sources.relay.scribe_wire import (
    CHANGE,
    COUNTS,
    END,
    EXCHANGES,
    READY,
    REFUSED,
    RENEW,
    ScribeStart,
    Told,
    decode_exchanges,
    frame,
    received,
)
from capture.sources.relay.status import rss_bytes

__all__ = ["WORK_MAX", "Scribing", "scribe_main"]

WORK_MAX = 3_000_000
"""`[redact] work_max` where none is configured: nobody waits here but the queue."""
_TELL_S = 0.1
_ORPHAN_S = 5.0
_GC_THRESHOLD = 50_000


class Scribing:
    """The redactor and the log of one scribe, and the counts of what became of what it was given. For one thread."""

    def __init__(self, start: ScribeStart, clock: Clock) -> None:
        """Raises OSError, UsageError or BadInput where the log cannot be begun."""
        self._redactor = _redactor(start.capture, start.redact)
        self.writer = LogWriter(start.log, start.log_config, start.meta, now_ns=clock.now_ns)
        self.writer.sync_conservation(self._settled)
        self._counts = Conservation()
        self._taken = self._taken_bytes = 0
        self._lost: Counter[str] = Counter()
        self._lost_incomplete: Counter[str] = Counter()

    def take(self, kind: bytes, payload: bytes) -> bool:
        """Do what one frame says; False for the last one. Raises nothing for what was captured."""
        if kind == EXCHANGES:
            exchanges = decode_exchanges(payload)
            for exchange in exchanges:
                self._write(exchange)
            self._taken_bytes += len(payload) - len(array_head(len(exchanges)))
            self._taken += len(exchanges)
        elif kind == CHANGE:
            self._redactor = _redactor(*pickle.loads(payload))
        elif kind == RENEW:
            self.writer.renew(msgspec.msgpack.decode(payload))
        elif kind in (COUNTS, END):
            counts = Conservation()
            counts.merge(self._counts)
            counts.merge(Conservation.from_dict(msgspec.msgpack.decode(payload)))
            self._counts = counts  # whole at once: the log's thread reads it
        return kind != END

    def told(self, ended: bool = False) -> Told:
        """How it is doing; from any thread."""
        log = self.writer.stats()
        taken, taken_bytes = self._taken, self._taken_bytes
        lost = self._lost + Counter(dict(self.writer.lost))
        return Told(
            taken, taken_bytes, dict(lost), dict(self._lost_incomplete), log.queued, log.queued_bytes, log.written,
            log.written_bytes, log.segments, log.pruned, log.errors, log.failing, time.process_time_ns(), rss_bytes(),
            ended,
        )  # fmt: skip

    def end(self) -> None:
        """Write everything and seal the log."""
        self.writer.close(self._settled())

    def leave(self, wait_s: float) -> None:
        """Wait until what was taken is in a file, but not for ever; the segment stays open."""
        until_s = time.monotonic() + wait_s
        while self.writer.stats().queued and time.monotonic() < until_s:
            time.sleep(0.01)

    def _write(self, exchange: Exchange) -> None:
        reason: str | None
        try:
            exchange = self._redactor.redact(exchange)
        except Exception:  # noqa: BLE001  # what could not be redacted must not be written; counted
            reason = "redactor_error"
        else:
            try:
                reason = self.writer.put(exchange)
            except Exception:  # noqa: BLE001  # fail-open: counted as a loss, with its reason
                reason = "log_error"
        if reason is not None:
            # Made anew, and not changed: other threads read them.
            self._lost = self._lost + Counter({reason: 1})
            if exchange.incomplete_reason is not None:
                self._lost_incomplete = self._lost_incomplete + Counter({exchange.incomplete_reason: 1})

    def _settled(self) -> Conservation:
        """The relay's counts without what was lost here; what the log lost it takes off by itself."""
        counts = Conservation.from_dict(self._counts.as_dict())
        counts.lose(self._lost, self._lost_incomplete)
        return counts


def _redactor(capture: CaptureConfig, redact: RedactConfig) -> Redactor:
    if redact.work_max is None:
        redact = dataclasses.replace(redact, work_max=WORK_MAX)
    return Redactor(redact, Pseudonyms(redaction_key(capture)))


def scribe_main() -> None:
    """Entry of the process: argument is the channel's descriptor, stdin holds a pickled `ScribeStart`."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, _ignore)  # unlike SIG_IGN not handed on to processes that the log starts
    channel = socket.socket(fileno=int(sys.argv[1]))
    start: ScribeStart = pickle.loads(sys.stdin.buffer.read())
    set_up_messages(start.messages)
    try:
        scribing = Scribing(start, Clock())
    except OSError as error:
        _send(channel, REFUSED, pickle.dumps(RunFailed(f"--log: {start.log}: cannot be written: {error.strerror}")))
        sys.exit(RunFailed.exit_code)
    except UnderstudyError as error:
        _send(channel, REFUSED, pickle.dumps(error))
        sys.exit(error.exit_code)
    # Records are plain data without cycles; full collections now and then would only cost time.
    gc.collect()
    gc.freeze()
    gc.set_threshold(_GC_THRESHOLD, 20, 100)
    stopped = threading.Event()
    telling = threading.Thread(target=_tell, args=(scribing, channel, stopped), name="understudy-tell", daemon=True)
    telling.start()
    for kind, payload in received(channel):
        if not scribing.take(kind, payload):
            break
    else:
        scribing.leave(_ORPHAN_S)
        os._exit(RunFailed.exit_code)  # nothing that the log's threads still want may hold up an orphan
    scribing.end()
    stopped.set()
    telling.join()
    _send(channel, READY, msgspec.msgpack.encode(scribing.told(ended=True)))


def _ignore(number: int, at: object) -> None:
    """The relay has the signal, too, and says what is to be done."""


def _tell(scribing: Scribing, channel: socket.socket, stopped: threading.Event) -> None:
    while True:
        _send(channel, READY, msgspec.msgpack.encode(scribing.told()))
        if stopped.wait(_TELL_S):
            return


def _send(channel: socket.socket, kind: bytes, payload: bytes) -> None:
    """Say something to the relay; where it is gone, the reading side finds out."""
    with contextlib.suppress(OSError):
        channel.sendall(frame(kind, payload))
