"""One recording of a source on asyncio: log and pipeline opened, signals heard, everything sealed at the end."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from collections.abc import Awaitable, Callable
from typing import Any

import click

from capture.clock import Clock
from capture.conservation import Conservation
from capture.errors import RunFailed, UnderstudyError
from capture.guard import Guard, Usage
from capture.live import Change, Live, described
from capture.log.free_space import FreeSpace
from capture.log.writer import LogWriter
from capture.options import CaptureSettings, starting
from capture.pipeline import Pipeline, pipeline_from_config
from capture.settings import GuardConfig
from capture.sources.relay.status import rss_bytes

__all__ = ["Stop", "record"]

_SNAPSHOT_S = 0.25


class Stop:
    """What the signals asked for. asked: SIGTERM or SIGINT came, drain; at_once: a second one came, do not wait."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.at_once = asyncio.Event()

    def signal(self) -> None:
        """One more signal."""
        (self.at_once if self.asked.is_set() else self.asked).set()

    async def hurried(self, work: Awaitable[None]) -> bool:
        """Do the work of a drain unless a second signal comes; True where that cut it short."""
        draining = asyncio.ensure_future(work)
        hurrying = asyncio.ensure_future(self.at_once.wait())
        await asyncio.wait({draining, hurrying}, return_when=asyncio.FIRST_COMPLETED)
        hurrying.cancel()
        if draining.done():
            draining.result()
            return False
        draining.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await draining
        return True


Serve = Callable[[Pipeline, Clock, Stop], Awaitable[None]]


def record(
    settings: CaptureSettings,
    meta: dict[str, Any],
    serve: Serve,
    loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None,
    guard: GuardConfig | None = None,
    capture_ns: Callable[[], int] = time.process_time_ns,
    reload: Callable[[int], Change] | None = None,
) -> Conservation:
    """Run `serve` until it returns, then write out and seal the log; returns counts that add up.

    serve: a coroutine function that runs the source until `Stop.asked`, and drains it. meta: for the log's header.
    settings: with the redaction key in them. guard: budgets, none by default. capture_ns: processor time that capture
    has taken; the whole process by default. reload: reads the settings again on SIGHUP, given the time.
    Raises RunFailed where the log cannot be written, and what `serve` raises, after the log is sealed.
    """
    clock = Clock()
    start = starting(settings, guard or GuardConfig(), clock.now_ns())
    try:
        writer = LogWriter(settings.log, settings.log_config, {**meta, **described(start)}, now_ns=clock.now_ns)
    except OSError as error:
        raise RunFailed(f"--log: {settings.log}: cannot be written: {error.strerror}") from None
    counts: Conservation | None = None
    try:
        pipeline = pipeline_from_config(settings.capture, settings.redact, writer.put)
        counts = pipeline.counts
        with asyncio.Runner(loop_factory=loop_factory) as runner:
            guarding = Guard(start.guard)
            live = Live(start, pipeline, guarding, writer, meta)
            pipeline.admit = guarding.admit
            budgets = _Budgets(guarding, live, FreeSpace(writer.directory), clock, capture_ns)
            runner.run(_run(pipeline, writer, clock, serve, budgets, reload))
    finally:
        writer.close(counts)
    writer.settle(pipeline.counts)
    return pipeline.counts


class _Budgets:
    """Measures a few times a second what capture takes, and lets the guard decide."""

    def __init__(
        self,
        guard: Guard,
        live: Live,
        free_space: FreeSpace,
        clock: Clock,
        capture_ns: Callable[[], int],
    ) -> None:
        self.live = live
        self._guard = guard
        self.free_space = free_space
        self._now_ns = clock.now_ns
        self._capture_ns = capture_ns

    def tick(self, late_ns: int) -> None:
        """Take one measurement; `late_ns` is how much later than planned it comes."""
        usage = Usage(self._now_ns(), self._capture_ns(), rss_bytes(), self.free_space.free_bytes, late_ns)
        if self._guard.tick(usage):
            self.live.follow_guard()

    def reload(self, read: Callable[[int], Change]) -> None:
        """SIGHUP: what is wrong with the settings is said, and changes nothing."""
        try:
            self.live.apply(read(self._now_ns()))
        except UnderstudyError as error:
            click.echo(f"understudy: configuration not reloaded, the old one holds: {error}", err=True)
        else:
            click.echo(f"understudy: configuration reloaded sample={self.live.now.capture.sample}", err=True)


async def _run(
    pipeline: Pipeline,
    writer: LogWriter,
    clock: Clock,
    serve: Serve,
    budgets: _Budgets,
    reload: Callable[[int], Change] | None,
) -> None:
    loop = asyncio.get_running_loop()
    stop = Stop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.signal)
    if reload is not None:
        loop.add_signal_handler(signal.SIGHUP, budgets.reload, reload)
    # The writer's thread must never read counts that the loop is changing: it gets copies.
    copy = Conservation()

    async def tick() -> None:
        nonlocal copy
        while True:
            due_s = loop.time() + _SNAPSHOT_S
            await asyncio.sleep(_SNAPSHOT_S)
            copy = Conservation.from_dict(pipeline.counts.as_dict())
            budgets.tick(max(0, int((loop.time() - due_s) * 1e9)))

    writer.sync_conservation(lambda: copy)
    ticking = loop.create_task(tick())
    try:
        await serve(pipeline, clock, stop)
    finally:
        ticking.cancel()
        budgets.free_space.close()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            loop.remove_signal_handler(number)
