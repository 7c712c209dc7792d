"""One relay process from start to end: bind, capture, accept, drain, seal the log, and give the counts."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import gc
import signal
import socket
from collections.abc import Callable
from typing import Any

from capture.clock import Clock
from capture.conservation import Conservation
from capture.errors import RunFailed
from capture.log.writer import LogWriter
from capture.options import CaptureSettings
from capture.pipeline import Pipeline, pipeline_from_config
from capture.sources.relay.server import Relay, RelayOptions
from capture.sources.relay.tap import Capture

__all__ = ["RelayRun", "new_loop", "run_relay"]

_SNAPSHOT_S = 0.25
_GC_THRESHOLD = 50_000


@dataclasses.dataclass(frozen=True, slots=True)
class RelayRun:
    """All that one relay process needs to know. drain_s: as RelayConfig.drain_seconds."""

    options: RelayOptions
    settings: CaptureSettings
    drain_s: float


def new_loop() -> asyncio.AbstractEventLoop:
    """A uvloop event loop, or asyncio's own where uvloop is missing."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    return loop


def run_relay(run: RelayRun, sockets: list[socket.socket], on_listening: Callable[[], None]) -> Conservation:
    """Relay until SIGTERM or SIGINT, drain, seal the log; returns counts that add up.

    sockets: bound ones (`server.bind`), closed at the end. on_listening: called once traffic is accepted. Raises
    UsageError, BadInput or RunFailed before anything is accepted where the log cannot be written or a setting cannot
    be used.
    """
    clock = Clock()
    try:
        writer = LogWriter(run.settings.log, run.settings.log_config, _meta(run), now_ns=clock.now_ns)
    except OSError as error:
        raise RunFailed(f"--log: {run.settings.log}: cannot be written: {error.strerror}") from None
    counts: Conservation | None = None
    try:
        pipeline = pipeline_from_config(run.settings.capture, run.settings.redact, writer.put)
        counts = pipeline.counts
        with asyncio.Runner(loop_factory=new_loop) as runner:
            runner.run(_serve(run, sockets, pipeline, writer, clock, on_listening))
    finally:
        writer.close(counts)
    writer.settle(pipeline.counts)
    return pipeline.counts


def _meta(run: RelayRun) -> dict[str, Any]:
    return {"source": "relay", "listen": str(run.options.listen), "upstream": str(run.options.upstream)}


async def _serve(
    run: RelayRun,
    sockets: list[socket.socket],
    pipeline: Pipeline,
    writer: LogWriter,
    clock: Clock,
    on_listening: Callable[[], None],
) -> None:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    at_once = asyncio.Event()

    def on_signal() -> None:
        (at_once if stop.is_set() else stop).set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal)
    capture = Capture(
        pipeline,
        clock.now_ns,
        server=str(run.options.upstream),
        body_bytes_max=run.settings.capture.body_bytes_max,
    )
    relay = Relay(run.options, capture.tap, clock)
    # The writer's thread must never read counts that the loop is changing: it gets copies.
    copies = _Copies(pipeline.counts)
    writer.sync_conservation(copies.latest)
    copying = loop.create_task(copies.keep())
    await relay.start(sockets)
    # Records are plain data without cycles; a full collection now and then would only cost every client a pause.
    gc.collect()
    gc.freeze()
    gc.set_threshold(_GC_THRESHOLD, 20, 100)
    on_listening()
    await stop.wait()
    draining = loop.create_task(relay.drain(run.drain_s))
    hurrying = loop.create_task(at_once.wait())
    await asyncio.wait({draining, hurrying}, return_when=asyncio.FIRST_COMPLETED)
    hurrying.cancel()
    if not draining.done():
        draining.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await draining
        await relay.abort()
    copying.cancel()


class _Copies:
    """Consistent copies of counts for another thread, renewed by the loop a few times a second."""

    def __init__(self, counts: Conservation) -> None:
        self._counts = counts
        self._copy = Conservation()

    def latest(self) -> Conservation:
        return self._copy

    async def keep(self) -> None:
        while True:
            await asyncio.sleep(_SNAPSHOT_S)
            self._copy = Conservation.from_dict(self._counts.as_dict())
