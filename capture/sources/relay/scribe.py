"""The scribe as its relay sees it: a log (`put` never waits) whose redaction and writing happen in another process.

The relay's core then spends on an exchange what it takes to observe and to hand it over; what is slow to redact delays
no client. Exchanges go through an anonymous socket, in memory only. A scribe that dies is started again; what it had
not written by its last word is lost, counted as `scribe_died`, as is what comes until the next one is there.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
import pickle
import socket
import subprocess
import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from itertools import groupby
from typing import Any, cast

import msgspec

from capture.conservation import Conservation
from capture.count_board import CountBoard
from capture.errors import RunFailed
from capture.exchange import Exchange
from capture.log.growth import Growth
from capture.log.writer import LogStats, spool_of
from capture.settings import CaptureConfig, RedactConfig
from capture.sources.relay.messages import say
from capture.sources.relay.scribe_wire import (
    CHANGE,
    COUNTS,
    END,
    READY,
    RENEW,
    ScribeStart,
    Told,
    encode_exchange,
    exchange_frames,
    frame,
    received,
)

__all__ = ["Scribe"]

_CODE = "from capture.sources.relay.scribe_process import scribe_main; scribe_main()"
_GATHER_S = 0.005
"""How long exchanges are gathered before they are sent together: waking a thread for each would cost more than it."""
_COUNTS_S = 1.0
_START_S = 60.0
_REAP_S = 5.0
_RESTART_S = (0.2, 0.5, 1.0, 2.0, 5.0, 10.0)


class _Life:
    """One process of the scribe: what it was given, and what it said last. wake: there is something to send."""

    def __init__(self, process: subprocess.Popen[bytes], channel: socket.socket) -> None:
        self.process = process
        self.channel = channel
        self.out: deque[bytes | tuple[bytes, bytes]] = deque()
        self.wake = threading.Event()
        self.awake = False
        self.accepted = self.accepted_bytes = 0
        self.told = Told()
        self.ready = False


class Scribe:
    """Hands exchanges to a process that redacts them and writes them into a log; stands where a `LogWriter` would.

    What is handed over must not have been redacted yet. The bounds of the queue, `[log] queue_records` and
    `queue_bytes`, hold for what the other process has not read, and once more in front of its log.
    """

    def __init__(self, start: ScribeStart) -> None:
        """Start the process and wait until its log is open. Raises what kept it from starting."""
        self.directory = spool_of(start.log, start.log_config)[0]
        self._start = start
        self._counts: Callable[[], Conservation] = Conservation
        self._board: CountBoard | None = None
        self._handed = self._handed_before = self._posted_lost = 0
        self._growth = Growth(self._settled_counts)
        self._telling = threading.Lock()
        self._lock = threading.Lock()
        self._refused = 0
        self._reason: str | None = "scribe_died"  # until it is there
        self._closing = threading.Event()
        self._before = Told()
        self._died: Counter[str] = Counter()
        self._sending_ns = self._hearing_ns = 0
        self._error: Exception | None = None
        self._known = threading.Event()
        self._life: _Life | None = None
        self._thread = threading.Thread(target=self._keep, name="understudy-scribe", daemon=True)
        self._thread.start()
        if not self._known.wait(_START_S):
            self._closing.set()
            raise RunFailed("the scribe did not start within a minute; `--scribe off` does without")
        if self._error is not None:
            raise self._error

    def put(self, exchange: Exchange) -> str | None:
        """As `LogWriter.put`, for an exchange that is yet to be redacted; also "scribe_died" and "unencodable"."""
        with self._lock:
            reason, life = self._reason, self._life
            if reason is None and life is not None:
                reason = life.told.failing or self._accept(life, exchange)
            if reason is not None:
                self._refused += 1
            return reason

    def follow(self, capture: CaptureConfig, redact: RedactConfig) -> None:
        """Redact by these from the next exchange on. They must have been tried. Never waits."""
        with self._lock:
            self._start = dataclasses.replace(self._start, capture=capture, redact=redact)
        self._command(CHANGE, pickle.dumps((capture, redact)))

    def renew(self, meta: dict[str, Any]) -> None:
        """As `LogWriter.renew`."""
        with self._lock:
            self._start = dataclasses.replace(self._start, meta=meta)
        self._command(RENEW, msgspec.msgpack.encode(meta))

    def sync_conservation(self, counts: Callable[[], Conservation]) -> None:
        """As `LogWriter.sync_conservation`; `counts` is called in a thread of this scribe."""
        self._counts = counts

    def tell(self, board: CountBoard) -> None:
        """As `LogWriter.tell`, but what was handed over counts as written: the other process writes it in any case."""
        self._board = board

    def settle(self, counts: Conservation) -> None:
        """Move what was lost after it was accepted to `shed`, so that the counts tell the truth."""
        with self._lock:
            told = self._life.told if self._life is not None else Told()
            before, died = self._before, Counter(self._died)
        for one in (before, told):
            counts.lose(one.lost, one.lost_incomplete)
        counts.lose(died)

    def stats(self) -> LogStats:
        """As `LogWriter.stats`; what is on its way counts as queued."""
        with self._lock:
            life, before, reason = self._life, self._before, self._reason
            told = life.told if life is not None else Told()
            queued, queued_bytes = told.queued, told.queued_bytes
            if life is not None:
                queued += life.accepted - told.taken
                queued_bytes += life.accepted_bytes - told.taken_bytes
            refused = self._refused
            lost = Counter(before.lost) + Counter(told.lost) + self._died
        return LogStats(
            queued=queued,
            queued_bytes=max(0, queued_bytes),
            written=before.written + told.written,
            written_bytes=before.written_bytes + told.written_bytes,
            refused=refused,
            segments=before.segments + told.segments,
            pruned=before.pruned + told.pruned,
            lost=dict(lost),
            errors=dict(Counter(before.errors) + Counter(told.errors)),
            failing=told.failing or (reason if reason != "closed" else None),
        )

    @property
    def cpu_ns(self) -> int:
        """Processor time of the other process, and of handing over to it."""
        told = self._life.told if self._life is not None else Told()
        return self._before.cpu_ns + told.cpu_ns + self._sending_ns + self._hearing_ns

    @property
    def rss_bytes(self) -> int:
        """Resident memory of the other process; 0 where there is none."""
        return self._life.told.rss_bytes if self._life is not None else 0

    def close(self, conservation: Conservation | None = None) -> None:
        """Have everything that was accepted written and the log sealed; returns when the process has ended."""
        if conservation is not None:
            final = conservation
            self._counts = lambda: final
        with self._lock:
            self._reason = "closed"
            self._closing.set()
            begun = self._life is not None
        if begun:
            self._tell_counts(END)
        self._thread.join()

    def _accept(self, life: _Life, exchange: Exchange) -> str | None:
        try:
            data = encode_exchange(exchange)
        except (TypeError, ValueError, OverflowError):
            return "unencodable"
        config, told = self._start.log_config, life.told
        waiting = life.accepted_bytes - told.taken_bytes
        if life.accepted - told.taken >= config.queue_records or (waiting and waiting + len(data) > config.queue_bytes):
            return "queue_full"
        life.accepted += 1
        life.accepted_bytes += len(data)
        life.out.append(data)
        self._awaken(life)
        return None

    def _command(self, kind: bytes, payload: bytes) -> None:
        with self._lock:
            life = self._life
            if life is not None:
                life.out.append((kind, payload))
                self._awaken(life)

    def _tell_counts(self, kind: bytes) -> None:
        """Say what the counts grew by; nothing may come behind the last time."""
        with self._telling:
            if kind == END or not self._closing.is_set():
                self._command(kind, msgspec.msgpack.encode(self._growth.take()))

    @staticmethod
    def _awaken(life: _Life) -> None:
        if not life.awake:
            life.awake = True
            life.wake.set()

    def _settled_counts(self) -> Conservation:
        """The counts without what was lost with processes that have died; the living one takes off its own."""
        with self._lock:
            before, died = self._before, Counter(self._died)
        counts = Conservation.from_dict(self._counts().as_dict())
        counts.lose(before.lost, before.lost_incomplete)
        counts.lose(died)
        return counts

    # Everything below runs in the scribe's own threads.

    def _keep(self) -> None:
        """Start the process, listen to it, and start it again when it dies, until the log is closed."""
        deaths = 0
        while True:
            life = self._born()
            if life is not None:
                sending = threading.Thread(target=self._send, args=(life,), name="understudy-hand-over", daemon=True)
                sending.start()
                ended = self._hear(life)
                self._bury(life, sending)
                if ended or self._error is not None:
                    return
                say("the scribe died", logging.ERROR, status=life.process.returncode)
            elif not self._known.is_set():
                return
            if self._closing.wait(_RESTART_S[min(deaths, len(_RESTART_S) - 1)]):
                return
            deaths += 1

    def _born(self) -> _Life | None:
        """A new process, told how to begin; None where the system has none to give."""
        ours, theirs = socket.socketpair()
        with self._lock:
            package = pickle.dumps(self._start)
        command = [sys.executable, "-c", _CODE, str(theirs.fileno())]
        try:
            process = subprocess.Popen(
                command,
                pass_fds=[theirs.fileno()],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(entry or os.getcwd() for entry in sys.path)},
                # Signals that the terminal sends to all must not reach it: it ends with the relay, after it.
                start_new_session=True,
            )
        except OSError as error:
            ours.close()
            self._cannot_start(RunFailed(f"the scribe cannot be started: {error.strerror}; `--scribe off`"))
            return None
        finally:
            theirs.close()
        assert process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(package)
            process.stdin.close()
        return _Life(process, ours)

    def _cannot_start(self, error: Exception) -> None:
        """At the beginning that is an error of the command; later on the next try may do."""
        if not self._known.is_set():
            self._error = error
            self._known.set()

    def _hear(self, life: _Life) -> bool:
        """Take what the process says until it ends; True where it has had its last word."""
        told_s = 0.0
        for kind, payload in received(life.channel):
            if kind != READY:
                self._cannot_start(pickle.loads(payload))
                break
            with self._lock:
                life.told = told = msgspec.msgpack.decode(payload, type=Told)
            if not life.ready:
                life.ready = True
                self._begin(life)
            if self._board is not None:
                lost = self.stats().lost
                self._posted_lost = sum(lost.values())
                self._board.log(self._handed - self._posted_lost, lost)
            if told.ended:
                return True
            if time.monotonic() >= told_s + _COUNTS_S:
                told_s = time.monotonic()
                self._tell_counts(COUNTS)
            self._hearing_ns = time.thread_time_ns()
        return False

    def _begin(self, life: _Life) -> None:
        """From now on exchanges go to this process; it does not answer for what was before it."""
        first = not self._known.is_set()
        if not first:
            with self._telling:
                self._growth.take()
        with self._lock:
            self._life = life
            closing = self._closing.is_set()
            if not closing:
                self._reason = None
        if closing:
            self._tell_counts(END)  # `close` found nobody to tell it
        self._known.set()
        if not first:
            say("the scribe was started again", logging.WARNING)

    def _send(self, life: _Life) -> None:
        before_ns = self._sending_ns
        while True:
            life.wake.wait()
            life.wake.clear()
            if not self._closing.is_set():
                time.sleep(_GATHER_S)
            with self._lock:
                items = list(life.out)
                life.out.clear()
                life.awake = False
            if not items:
                return  # woken by `_bury`
            try:
                for data in _frames(items):
                    life.channel.sendall(data)
            except OSError:
                return  # it is gone, as the listening thread finds out
            self._handed += sum(isinstance(item, bytes) for item in items)
            if self._board is not None:
                self._board.log(self._handed - self._posted_lost, {})
            self._sending_ns = before_ns + time.thread_time_ns()
            if isinstance(items[-1], tuple) and items[-1][0] == END:
                return

    def _bury(self, life: _Life, sending: threading.Thread) -> None:
        """The process is gone or about to go: count what is lost with it, and what it has done."""
        with self._lock:
            told, before = life.told, self._before
            if self._life is life:
                self._life = None
                if not told.ended:
                    self._died["scribe_died"] += life.accepted - told.taken + told.queued
                    if self._reason is None:
                        self._reason = "scribe_died"
            life.out.clear()
            # Of what this process was given nothing waits any more: it is written or lost.
            self._handed = self._handed_before = self._handed_before + life.accepted
            self._before = _summed(before, told)
        with contextlib.suppress(OSError):
            life.channel.shutdown(socket.SHUT_RDWR)
        life.wake.set()
        sending.join()
        life.channel.close()
        try:
            life.process.wait(_REAP_S)
        except subprocess.TimeoutExpired:
            life.process.kill()
            life.process.wait()
        if not self._known.is_set():
            self._cannot_start(RunFailed("the scribe ended before it had begun; `--scribe off` does without"))


def _frames(items: list[bytes | tuple[bytes, bytes]]) -> Iterator[bytes]:
    """What is to be sent, in its order, exchanges that follow each other together."""
    for is_exchange, group in groupby(items, lambda item: isinstance(item, bytes)):
        if is_exchange:
            yield from exchange_frames(cast("Iterable[bytes]", group))
        else:
            for kind, payload in cast("Iterable[tuple[bytes, bytes]]", group):
                yield frame(kind, payload)


def _summed(before: Told, told: Told) -> Told:
    """What several processes did, one after the other; of states nothing."""
    return Told(
        lost=dict(Counter(before.lost) + Counter(told.lost)),
        lost_incomplete=dict(Counter(before.lost_incomplete) + Counter(told.lost_incomplete)),
        written=before.written + told.written,
        written_bytes=before.written_bytes + told.written_bytes,
        segments=before.segments + told.segments,
        pruned=before.pruned + told.pruned,
        errors=dict(Counter(before.errors) + Counter(told.errors)),
        cpu_ns=before.cpu_ns + told.cpu_ns,
    )
