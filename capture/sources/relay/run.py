"""One relay process from start to end: capture, accept, keep to the budgets, drain, seal the log, give the counts."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import gc
import logging
import resource
import signal
import socket
import threading
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Literal

from capture.clock import Clock
from capture.conservation import Conservation
from capture.count_board import CountBoard
from capture.errors import RunFailed, UnderstudyError
from capture.guard import Guard, Usage
from capture.live import Change, Live, changed_sampling, described, holding
from capture.log.free_space import FreeSpace
from capture.log.writer import LogWriter
from capture.options import CaptureSettings, starting
from capture.pipeline import AsSeen, Pipeline, pipeline_from_config
from capture.settings import GuardConfig
from capture.sources.relay.messages import say
from capture.sources.relay.scribe import Scribe
from capture.sources.relay.scribe_wire import ScribeStart
from capture.sources.relay.server import Relay, RelayOptions
from capture.sources.relay.status import LatencyHistogram, log_cpu_ns, rss_bytes, settled
from capture.sources.relay.tap import Capture

__all__ = ["RelayRun", "Worker", "new_loop", "raise_descriptor_limit", "run_relay"]

_TICK_S = 0.1
_SLOW_TICKS = 10
_SEAL_S = 30.0
_GC_THRESHOLD = 50_000


@dataclasses.dataclass(frozen=True, slots=True)
class RelayRun:
    """All that one relay process needs to know.

    settings: with the redaction key in them. drain_s: as RelayConfig.drain_seconds. reload: reads the configuration
    again, given the time; raises UnderstudyError where it is wrong, which then changes nothing. worker: its number
    where several share the port. changed: what was changed since the start, for a worker that is started again.
    scribe: redact and write in another process. messages: form of the lines on stderr. board_fd: memory in which the
    counts are to stand as they change (`count_board.board_file`), None where nobody reads it.
    """

    options: RelayOptions
    settings: CaptureSettings
    guard: GuardConfig
    drain_s: float
    reload: Callable[[int], Change] | None = None
    worker: int | None = None
    changed: Change | None = None
    scribe: bool = False
    messages: Literal["text", "json"] = "text"
    board_fd: int | None = None

    def change_at(self, at_ns: int) -> Change:
        """What holds in a process that begins now."""
        return self.changed or starting(self.settings, self.guard, at_ns)


def new_loop() -> asyncio.AbstractEventLoop:
    """A uvloop event loop, or asyncio's own where uvloop is missing."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    return loop


def run_relay(
    run: RelayRun, sockets: list[socket.socket], on_listening: Callable[[Worker], Awaitable[None]]
) -> Conservation:
    """Relay until SIGTERM or SIGINT, drain, seal the log; returns counts that add up.

    sockets: bound ones (`server.bind`), closed at the end. on_listening: awaited in the loop once traffic is accepted.
    Raises UsageError, BadInput or RunFailed before anything is accepted where the log cannot be written or a setting
    cannot be used.
    """
    raise_descriptor_limit()
    clock = Clock()
    start = run.change_at(clock.now_ns())
    meta = {**_meta(run), **described(start)}
    writer = _writer(run, start, meta, clock)
    counts: Conservation | None = None
    try:
        redactor = AsSeen() if run.scribe else None
        pipeline = pipeline_from_config(start.capture, start.redact, writer.put, redactor)
        counts = pipeline.counts
        if run.board_fd is not None:
            pipeline.board = CountBoard(run.board_fd)
            writer.tell(pipeline.board)
        with asyncio.Runner(loop_factory=new_loop) as runner:
            worker = Worker(run, start, pipeline, writer, clock)
            runner.run(worker.serve(sockets, on_listening))
    finally:
        sealed = _close_within(writer, counts, _SEAL_S)
    if not sealed:
        say("the log could not be sealed in time", logging.ERROR, waited_s=_SEAL_S)
        unwritten = min(writer.stats().queued, pipeline.counts.kept)
        pipeline.counts.kept -= unwritten
        pipeline.counts.shed["log_stuck"] += unwritten
    return settled(pipeline.counts, writer)


def _writer(run: RelayRun, start: Change, meta: dict[str, Any], clock: Clock) -> LogWriter | Scribe:
    """The log, written by a thread of this process or by a process of its own. Raises what keeps it from beginning."""
    settings = run.settings
    if run.scribe:
        return Scribe(
            ScribeStart(str(settings.log), settings.log_config, meta, start.capture, start.redact, run.messages)
        )
    try:
        return LogWriter(settings.log, settings.log_config, meta, now_ns=clock.now_ns)
    except OSError as error:
        raise RunFailed(f"--log: {settings.log}: cannot be written: {error.strerror}") from None


def _close_within(writer: LogWriter | Scribe, counts: Conservation | None, wait_s: float) -> bool:
    """Seal the log, but never wait for ever for a disk that hangs; False where it did not get there in time."""
    closing = threading.Thread(target=writer.close, args=(counts,), name="understudy-seal", daemon=True)
    closing.start()
    closing.join(wait_s)
    return not closing.is_alive()


def raise_descriptor_limit() -> None:
    """Take as many open files as the system allows: two for each connection are soon more than the usual 1,024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _meta(run: RelayRun) -> dict[str, Any]:
    meta: dict[str, Any] = {
        "source": "relay",
        "listen": str(run.options.listen),
        "upstream": str(run.options.upstream),
    }
    if run.worker is not None:
        meta["worker"] = run.worker
    return meta


class Worker:
    """The relay and the capture of one process, in one event loop."""

    def __init__(
        self, run: RelayRun, start: Change, pipeline: Pipeline, writer: LogWriter | Scribe, clock: Clock
    ) -> None:
        self.run = run
        self._scribe = writer if isinstance(writer, Scribe) else None
        self.guard = Guard(start.guard, 1 if self._scribe is None else 2)
        redact = None if self._scribe is None else self._scribe.follow
        self.live = Live(start, pipeline, self.guard, writer, _meta(run), redact)
        self.reload_failed = False
        self._pipeline = pipeline
        self._writer = writer
        self._clock = clock
        self._added = LatencyHistogram()
        self._lag = LatencyHistogram()
        self._copy = Conservation()
        self._failing: str | None = None
        self._free_space = FreeSpace(writer.directory)
        self._capture = Capture(
            pipeline,
            clock.now_ns,
            server=str(run.options.upstream),
            scheme="http" if run.options.tls.cert is None else "https",
            body_bytes_max=start.capture.body_bytes_max,
            added_ns=self._added.add,
            guard=self.guard,
        )
        self.relay = Relay(run.options, self._capture.tap, clock)

    async def serve(self, sockets: list[socket.socket], on_listening: Callable[[Worker], Awaitable[None]]) -> None:
        """Accept until a signal, then drain. A second signal does not wait for connections."""
        loop = asyncio.get_running_loop()
        stop, at_once = asyncio.Event(), asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, lambda: (at_once if stop.is_set() else stop).set())
        loop.add_signal_handler(signal.SIGHUP, self.reload)
        # The writer's thread must never read counts that the loop is changing: it gets copies.
        self._writer.sync_conservation(lambda: self._copy)
        ticking = loop.create_task(self._tick())
        await self.relay.start(sockets)
        # Records are plain data without cycles; a full collection now and then would only cost every client a pause.
        gc.collect()
        gc.freeze()
        gc.set_threshold(_GC_THRESHOLD, 20, 100)
        await on_listening(self)
        await stop.wait()
        say("draining", connections=self.relay.connections, deadline_s=self.run.drain_s)
        await self._drain(at_once)
        ticking.cancel()
        self._free_space.close()

    async def _drain(self, at_once: asyncio.Event) -> None:
        draining = asyncio.create_task(self.relay.drain(self.run.drain_s))
        hurrying = asyncio.create_task(at_once.wait())
        await asyncio.wait({draining, hurrying}, return_when=asyncio.FIRST_COMPLETED)
        hurrying.cancel()
        if draining.done():
            say("drained", reset=draining.result())
            return
        draining.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await draining
        say("stopped at once", logging.WARNING, reset=self.relay.connections)
        await self.relay.abort()

    def reload(self) -> None:
        """SIGHUP: read the configuration again; what is wrong with it is said, and changes nothing."""
        self.reload_failed = not self.relay.reload_tls()
        if self.run.reload is None:
            return
        try:
            self.apply(self.run.reload(self._clock.now_ns()))
        except UnderstudyError as error:
            self.reload_failed = True
            say(f"configuration not reloaded, the old one holds: {error}", logging.ERROR)

    def apply(self, change: Change) -> None:
        """Sample, redact and keep to budgets as told from here on. Raises UsageError, and then nothing changes."""
        self.live.apply(change)
        self._capture.body_bytes_max = change.capture.body_bytes_max
        message = "configuration reloaded" if change.by == "sighup" else "sampling changed"
        say(message, by=change.by, sample=change.capture.sample, redact=change.redact.mode)

    async def change_sampling(self, wanted: Mapping[str, Any] | None) -> dict[str, Any]:
        """What holds now, after `wanted` was changed where something is. Raises UsageError, and nothing changes."""
        if wanted is not None:
            now = self.live.now
            capture = changed_sampling(now.capture, wanted)
            self.apply(dataclasses.replace(now, capture=capture, at_ns=self._clock.now_ns(), by="admin"))
        return holding(self.live.now, self.live.ratio, 1, 1)

    def state(self) -> dict[str, Any]:
        """Plain values for the metrics and for the sum over several processes; see `admin.render_metrics`."""
        counters, log = self.relay.counters, self._writer.stats()
        return {
            "counts": self._pipeline.counts.as_dict(),
            "in_flight": self._pipeline.in_flight,
            **{name: getattr(counters, name) for name in counters.__slots__},
            "bypassed": self._capture.bypassed,
            "capture_errors": dict(self._capture.errors),
            "capture_ns": self._capture_ns(),
            "sampling_ratio": self.live.ratio,
            "reload_failed": int(self.reload_failed),
            "core_share": self.guard.share,
            "guard_off": int(self.guard.off is not None),
            "guard_reasons": {self.guard.off: 1} if self.guard.off is not None else {},
            "guard_stops": dict(self.guard.stops),
            "draining": int(self.relay.draining),
            "queue_records": log.queued,
            "queue_bytes": log.queued_bytes,
            "log_written": log.written,
            "log_bytes": log.written_bytes,
            "log_segments": log.segments,
            "log_pruned": log.pruned,
            "log_lost": log.lost,
            "log_errors": log.errors,
            "log_failing": int(log.failing is not None),
            "rss_bytes": self._rss_bytes(),
            "workers": 1,
            "added": self._added.state(),
            "lag": self._lag.state(),
        }

    def _capture_ns(self) -> int:
        return self._capture.spent_ns + self._beside_ns()

    def _beside_ns(self) -> int:
        """Processor time that capture took outside the event loop's thread."""
        return log_cpu_ns() if self._scribe is None else self._scribe.cpu_ns

    def _rss_bytes(self) -> int:
        return rss_bytes() + (0 if self._scribe is None else self._scribe.rss_bytes)

    async def _tick(self) -> None:
        """Measure what capture takes ten times a second, and let the guard decide."""
        loop = asyncio.get_running_loop()
        due_s = loop.time()
        turn = 0
        while True:
            due_s = max(due_s + _TICK_S, loop.time() - _TICK_S)
            await asyncio.sleep(due_s - loop.time())
            late_ns = max(0, int((loop.time() - due_s) * 1e9))
            self._lag.add(late_ns)
            turn += 1
            if turn % _SLOW_TICKS == 1:
                self._copy = Conservation.from_dict(self._pipeline.counts.as_dict())
                self._tell_log()
            usage = self._usage(late_ns)
            off = self.guard.off
            if self.guard.tick(usage):
                self.live.follow_guard()
                if self.guard.off != off:
                    message = "capture goes on" if self.guard.off is None else f"capture stopped: {self.guard.off}"
                    say(message, logging.WARNING, core_share=round(self.guard.share, 2), rss_bytes=usage.rss_bytes)

    def _usage(self, late_ns: int) -> Usage:
        beside_ns = self._beside_ns()
        return Usage(
            self._clock.now_ns(),
            self._capture.spent_ns + beside_ns,
            self._rss_bytes(),
            self._free_space.free_bytes,
            late_ns,
            beside_ns if self._scribe is not None else 0,
        )

    def _tell_log(self) -> None:
        failing = self._writer.stats().failing
        if failing != self._failing:
            self._failing = failing
            if failing is None:
                say("the log is written again", logging.WARNING)
            else:
                say(f"the log cannot be written: {failing}; traffic goes on", logging.ERROR)
