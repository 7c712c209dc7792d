"""The log as capture sees it: `put` never waits, a thread of its own encodes, compresses and writes.

A disk that refuses (full, failing, read-only) stops the log and never the traffic: what was accepted waits in bounded
memory, what comes meanwhile is refused with the reason, and writing resumes by itself when the disk takes it again.
"""

from __future__ import annotations

import errno
import hashlib
import tempfile
import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from capture.conservation import Conservation
from capture.count_board import CountBoard
from capture.exchange import Exchange
from capture.log.compactor import Compactor, CompactStats
from capture.log.growth import Growth
from capture.log.segment import RecordTooLarge, RecordWriter, key_of
from capture.log.store import is_url, location_of
from capture.settings import LogConfig

if TYPE_CHECKING:
    from capture.log.ship import Shipper, ShipStats

__all__ = ["EXCHANGE_KIND", "LogStats", "LogWriter", "spool_of"]

EXCHANGE_KIND = "exchange"
_HEAD_BYTES = 1500
_BATCH = 256
_BREATH = 16
_BREATH_S = 0.0005
"""Where less than a batch waits, the thread rests after every few exchanges: it shares the interpreter with the
traffic, and what it would take for all in one go is the delay of every request that comes meanwhile. Where more comes
than that, throughput counts, and resting would cost too much of it."""
_BACKOFF_MAX = 30
_CLOSE_RETRIES = 3
_SHIP_DRAIN_S = 30.0
_COMPACT_DRAIN_S = 10.0
_GONE = (errno.ENOENT, errno.ESTALE, errno.EBADF)


@dataclass(frozen=True, slots=True)
class LogStats:
    """A snapshot. queued_bytes: about; written: records of blocks that are in a file; lost: as LogWriter's; errors:
    failed writes by errno name; failing: the reason, None while well."""

    queued: int
    queued_bytes: int
    written: int
    written_bytes: int
    refused: int
    segments: int
    pruned: int
    lost: dict[str, int]
    errors: dict[str, int]
    failing: str | None


def _reason(error: OSError) -> str:
    return "disk_full" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "log_error"


def spool_of(directory: Path | str, config: LogConfig) -> tuple[Path, str | None]:
    """(local directory, object store to copy to or None). A log that is an URL is written to a spool beside."""
    if not is_url(directory):
        return Path(directory), config.ship_to
    location = location_of(directory)
    name = hashlib.sha256(location.encode()).hexdigest()[:16]
    return config.spool or Path(tempfile.gettempdir()) / f"understudy-spool-{name}", location


def _size(exchange: Exchange) -> int:
    size = _HEAD_BYTES
    if exchange.request.body:
        size += len(exchange.request.body)
    if exchange.response is not None and exchange.response.body:
        size += len(exchange.response.body)
    return size


class LogWriter:
    """Writes exchanges to a directory of segments from any thread.

    directory: as for RecordWriter, or an URL of an object store, to which sealed segments are then shipped from a local
    spool, as they are with `ship_to` of the configuration. meta: as for RecordWriter. lost: exchanges that were
    accepted and then could not be written, by reason; take them from `kept` before the conservation line is printed
    (`settle` does).
    """

    def __init__(
        self,
        directory: Path | str,
        config: LogConfig,
        meta: dict[str, Any],
        *,
        now_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self.directory, ship_to = spool_of(directory, config)
        self.lost: Counter[str] = Counter()
        self._config = config
        self._counts: Callable[[], Conservation] | None = None
        self._board: CountBoard | None = None
        self._growth = Growth(self._settled_counts)
        self._queue: deque[tuple[Exchange, int]] = deque()
        self._queued_bytes = 0
        self._taken_bytes = 0
        self._refused = 0
        self._failing: str | None = None
        self._errors: Counter[str] = Counter()
        self._closing = False
        self._announced = 0
        self._meta: dict[str, Any] | None = None
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._records = RecordWriter(
            self.directory,
            Exchange,
            EXCHANGE_KIND,
            config,
            meta,
            counts=self._footer_counts,
            now_ns=now_ns,
            later=True,
            patient=True,
        )
        if not self._records.is_open:
            self._failing = "disk_full"  # until the thread has found out
        self._compactor: Compactor | None = None
        if config.compact:
            self._compactor = Compactor(key_of(config), self._look_again)
        self._shipper: Shipper | None = None
        if ship_to is not None:
            from capture.log.ship import Shipper

            self._shipper = Shipper(
                self.directory, ship_to, keep=config.ship_keep, retry_ms=config.retry_ms, pending=self._pending
            )
        self._thread = threading.Thread(target=self._run, name="understudy-log", daemon=True)
        self._thread.start()

    def put(self, exchange: Exchange) -> str | None:
        """Hand over one exchange; never waits. None where it was accepted, else why it was not:
        "queue_full", "disk_full", "log_error", "closed"."""
        size = _size(exchange)
        queue = self._queue
        with self._lock:
            reason = self._failing
            if self._closing:
                reason = "closed"
            elif reason is None:
                waiting = self._queued_bytes - self._taken_bytes
                if len(queue) >= self._config.queue_records or (waiting and waiting + size > self._config.queue_bytes):
                    reason = "queue_full"
            if reason is not None:
                self._refused += 1
                return reason
            queue.append((exchange, size))
            self._queued_bytes += size
        if len(queue) == _BATCH:
            self._wake.set()
        return None

    def renew(self, meta: dict[str, Any]) -> None:
        """From about now on the headers of segments say `meta`: the open one is sealed, another is begun. Never waits.

        What is queued goes into the old segment. Of several calls in quick succession the last one counts.
        """
        with self._lock:
            self._meta = meta
        self._wake.set()

    def sync_conservation(self, counts: Callable[[], Conservation]) -> None:
        """From now on each sealed segment carries what `counts` (called in the writer's thread) grew by in its time."""
        self._counts = counts

    def tell(self, board: CountBoard) -> None:
        """From now on write there how many exchanges are in a file and how many were lost, as soon as they are."""
        self._board = board

    def settle(self, counts: Conservation) -> None:
        """Move what was lost after it was accepted from `kept` to `shed`, so that the counts tell the truth."""
        counts.lose(dict(self.lost))

    def stats(self) -> LogStats:
        """How the writer is doing; cheap, from any thread."""
        return LogStats(
            queued=len(self._queue) + self._records.pending,
            queued_bytes=max(0, self._queued_bytes - self._taken_bytes),
            written=self._records.records_written,
            written_bytes=self._records.bytes_written,
            refused=self._refused,
            segments=len(self._records.segments_sealed),
            pruned=self._records.pruned,
            lost=dict(self.lost),
            errors=dict(self._errors),
            failing=self._failing,
        )

    def close(self, conservation: Conservation | None = None) -> None:
        """Write everything that was accepted, put the rest of the counts into the last footer, seal. Idempotent.

        Returns in bounded time: where the disk still refuses after three tries, what is held is counted in `lost`; what
        is not rewritten for size or shipped in time stays as it is.
        """
        if conservation is not None:
            final = conservation
            self._counts = lambda: final
        with self._lock:
            self._closing = True
        self._wake.set()
        self._thread.join()
        if self._compactor is not None:
            self._compactor.close(_COMPACT_DRAIN_S)
        if self._shipper is not None:
            self._shipper.close(_SHIP_DRAIN_S)

    @property
    def shipping(self) -> ShipStats | None:
        """How copying to an object store is doing, None where none was asked for."""
        return None if self._shipper is None else self._shipper.stats()

    @property
    def rewriting(self) -> CompactStats | None:
        """How rewriting for size in the background is doing, None where it is off."""
        return None if self._compactor is None else self._compactor.stats()

    def _pending(self, segment: Path) -> bool:
        compactor = self._compactor
        return compactor is not None and (segment in self._records.sealed_as_written or compactor.pending(segment))

    def _look_again(self) -> None:
        if self._shipper is not None:
            self._shipper.notify()

    # Everything below runs in the writer's thread.

    def _settled_counts(self) -> Conservation:
        total = Conservation()
        if self._counts is not None:
            total.merge(self._counts())
            self.settle(total)
        return total

    def _footer_counts(self) -> dict[str, Any] | None:
        return None if self._counts is None else self._growth.take()

    def _run(self) -> None:
        flush_s = self._config.flush_ms / 1000
        deadline = time.monotonic() + flush_s
        while not (self._closing and not self._queue):
            self._post()
            # A batch or more left over from the last turn would not be announced again: only a shorter queue can wait.
            if len(self._queue) < _BATCH:
                self._wake.wait(max(0.0, deadline - time.monotonic()))
            self._wake.clear()
            try:
                self._drain(deadline)
                self._failing = None  # where nothing was raised
                self._renew()
                if time.monotonic() >= deadline:
                    self._records.flush()
                    self._post()
                    deadline = time.monotonic() + flush_s
                self._ship()
            except OSError as error:
                if not self._recover(error):
                    break
                deadline = time.monotonic() + flush_s
        self._finish()

    def _post(self) -> None:
        if self._board is not None:
            self._board.log(self._records.records_written, self.lost)

    def _ship(self) -> None:
        """Hand on what was sealed since the last look."""
        if self._compactor is not None:
            as_written = self._records.sealed_as_written
            while as_written:
                self._compactor.add(as_written[0])
                del as_written[0]
        if self._shipper is not None and len(self._records.segments_sealed) != self._announced:
            self._announced = len(self._records.segments_sealed)
            self._shipper.notify()

    def _renew(self) -> None:
        with self._lock:
            meta, self._meta = self._meta, None
        if meta is not None:
            self._records.renew(meta)

    def _drain(self, deadline: float) -> None:
        """Write what is queued, but no longer than until the next flush is due."""
        queue, records = self._queue, self._records
        if not records.is_open:
            records.flush()  # before anything leaves the queue: a write that cannot begin a segment holds nothing
        gently = len(queue) < _BATCH
        while queue:
            for _ in range(min(len(queue), _BREATH if gently else _BATCH)):
                exchange, size = queue.popleft()
                self._taken_bytes += size
                try:
                    records.write(exchange, exchange.times.request_start)
                except RecordTooLarge:
                    self.lost["too_large"] += 1
                except (TypeError, ValueError, OverflowError):
                    # A record that MessagePack cannot say (a lone surrogate, an integer over 64 bits) is the source's
                    # mistake: it costs that record, counted, and not the log.
                    self.lost["unencodable"] += 1
            self._post()
            if time.monotonic() >= deadline:
                return
            if gently and queue and not self._closing:
                time.sleep(_BREATH_S)

    def _recover(self, error: OSError) -> bool:
        """Try again, ever more slowly, until the disk takes what is held; False where the log is being closed."""
        wait_s = self._config.retry_ms / 1000
        longest_s = wait_s * _BACKOFF_MAX
        retries = 0
        while True:
            self._errors[errno.errorcode.get(error.errno or 0, "EIO")] += 1
            self._failing = _reason(error)
            if error.errno in _GONE:
                self._give_up()
            if self._closing:
                retries += 1
                if retries > _CLOSE_RETRIES:
                    self._give_up()
                    self.lost[self._failing] += len(self._queue)
                    self._queue.clear()
                    return False
            self._wake.wait(min(wait_s, 0.2) if self._closing else wait_s)
            self._wake.clear()
            wait_s = min(wait_s * 2, longest_s)
            try:
                self._records.flush()
            except OSError as again:
                error = again
            else:
                self._failing = None
                return True

    def _give_up(self) -> None:
        lost = self._records.abandon()
        if lost:
            self.lost[self._failing or "log_error"] += lost

    def _finish(self) -> None:
        for attempt in range(_CLOSE_RETRIES + 1):
            try:
                self._renew()
                self._records.close({"lost": dict(self.lost)} if self.lost else None)
            except OSError as error:
                self._errors[errno.errorcode.get(error.errno or 0, "EIO")] += 1
                self._failing = _reason(error)
                if attempt == _CLOSE_RETRIES:
                    self._give_up()
                else:
                    time.sleep(min(self._config.retry_ms / 1000, 0.2))
            else:
                self._ship()
                return
