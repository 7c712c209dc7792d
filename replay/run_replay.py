"""The replay as one call: a log, builds and a configuration in, a run directory out."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import os
import secrets
import signal
import sys
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from importlib import metadata
from itertools import islice
from pathlib import Path
from typing import Any

from capture.clock import Clock, rfc3339
from capture.errors import BadInput, UsageError
from capture.exchange import Exchange
from capture.log.reader import Log, open_log
from capture.settings import LogConfig
from replay.bind import Binder
from replay.builds import Build, captured_address_refusal, same_address
from replay.clients.base import Limits
from replay.clients.wire import WireClient
from replay.pace import Closed, Pace, Rate, Recorded
from replay.perform import Options, Performer, Stage
from replay.plan import Planned, Planner
from replay.preflight import preflight
from replay.run import Run, RunWriter, empty_ledger, open_run
from replay.settings import ReplayConfig

__all__ = ["pace_of", "run_replay"]

_S = 1_000_000_000
_ADDRESS_KEYS = ("upstream", "server", "address", "addresses", "listen")


def run_replay(
    config: ReplayConfig,
    log: Path | str,
    builds: Sequence[Build],
    run_dir: Path,
    *,
    watch: Callable[[Performer, int], Any] | None = None,
    log_config: LogConfig | None = None,
) -> Run:
    """Perform `log` on `builds` and write the run to `run_dir`, which must not exist or be empty.

    watch: called with (performer, exchanges in the log) once the performance begins; what it returns is closed at the
    end (a progress bar). Blocks until the run is complete; SIGINT and SIGTERM end it early, with what is in flight
    finished and the run marked partial. Raises UsageError, BadInput, RunFailed (a build is not there, the disk is
    full), and then nothing was sent or the run says what was.
    """
    _check_directory(run_dir)
    opened = open_log(log)
    try:
        captured = _captured_addresses(opened)
        refusal = captured_address_refusal(builds, captured, config.deny_hosts, config.allow_captured_address >= 2)
        if refusal is not None:
            raise UsageError(refusal)
        return _run(_replay(config, opened, builds, run_dir, watch, log_config))
    finally:
        opened.close()


def _run(main: Coroutine[Any, Any, Run]) -> Run:
    try:
        import uvloop
    except ImportError:
        return asyncio.run(main)
    run: Run = uvloop.run(main)
    return run


def pace_of(config: ReplayConfig) -> Pace:
    """The pacing that the configuration asks for."""
    if config.speed is not None:
        return Recorded(config.speed)
    if config.rate is not None:
        return Rate(config.rate)
    return Closed(config.concurrency or 8)


def _check_directory(run_dir: Path) -> None:
    try:
        if run_dir.exists() and (not run_dir.is_dir() or any(run_dir.iterdir())):
            raise UsageError(f"--run {run_dir}: is there already and not empty; name a new directory")
    except OSError as error:
        raise BadInput(f"--run {run_dir}: cannot be used: {error.strerror}") from None


def _captured_addresses(log: Log) -> list[str]:
    found: dict[str, None] = {}
    for segment in log.segments:
        for key in _ADDRESS_KEYS:
            value = segment.meta.get(key)
            for address in value if isinstance(value, list | tuple) else [value]:
                if isinstance(address, str) and ":" in address:
                    found[address.removeprefix("http://").removeprefix("https://").rstrip("/")] = None
    for exchange in islice(log.exchanges(), 100):
        if exchange.server:
            found[exchange.server] = None
    return list(found)


def _limits(config: ReplayConfig) -> Limits:
    return Limits(
        timeout_ns=round(config.timeout_s * _S),
        first_byte_timeout_ns=round(config.first_byte_timeout_s * _S),
        connect_timeout_ns=round(config.connect_timeout_s * _S),
        body_bytes_max=config.body_bytes_max,
        connections_max=config.connections_max,
        insecure=config.insecure,
        ca_file=config.ca_file,
    )


class _Source:
    """The log as the plan sees it: limited, looped, and counted while it is read."""

    def __init__(self, log: Log, config: ReplayConfig, builds: Sequence[Build]) -> None:
        self.read = 0
        self.first_ns = self.last_ns = 0
        self.forgotten = 0
        self._log = log
        self._config = config
        self._guarded = [] if config.allow_captured_address >= 2 else [build.endpoint.address for build in builds]
        self._servers: dict[str, bool] = {}

    def plan(self) -> Iterator[tuple[int, Planned]]:
        for iteration in range(self._config.loop):
            planner = Planner(self._config.allow_writes, self._config.sessions_max)
            for planned in planner.plan(self._exchanges(iteration)):
                if planned.exchange.server and self._guards(planned.exchange.server) and planned.skipped is None:
                    planned = Planned(planned.position, planned.exchange, planned.offset_ns, (), "captured_address")
                yield iteration, planned
            self.forgotten += planner.forgotten

    def _guards(self, server: str) -> bool:
        known = self._servers.get(server)
        if known is None:
            if len(self._servers) > 10_000:
                self._servers.clear()
            known = self._servers[server] = any(same_address(server, address) for address in self._guarded)
        return known

    def _exchanges(self, iteration: int) -> Iterator[Exchange]:
        for exchange in islice(self._log.exchanges(), self._config.limit):
            if iteration == 0:
                self.read += 1
                start = exchange.times.request_start
                self.first_ns = min(self.first_ns or start, start)
                self.last_ns = max(self.last_ns, start)
            yield exchange


async def _replay(
    config: ReplayConfig,
    log: Log,
    builds: Sequence[Build],
    run_dir: Path,
    watch: Callable[[Performer, int], Any] | None,
    log_config: LogConfig | None,
) -> Run:
    clock = Clock()
    limits = _limits(config)
    if config.preflight:
        await preflight(builds, limits, config.preflight_path)
    total = sum(segment.records for segment in log.segments)
    total = min(total, config.limit or total)
    run_id = secrets.token_hex(8)
    source = _Source(log, config, builds)
    writer = RunWriter(run_dir, _manifest(config, log, builds, run_id, clock, total), log_config)
    binder = Binder(config.bind_exclude, config.sessions_max) if config.bind else None
    stages = [
        Stage(
            build.name,
            build.role,
            WireClient(build.endpoint, limits, clock),
            build.host or (None if config.keep_host else build.endpoint.authority),
            build.headers,
        )
        for build in builds
    ]
    performer = Performer(
        stages, pace_of(config), _options(config, run_id), clock, writer.record, binder, lambda: writer.clear
    )
    for stage in stages:
        await stage.client.open()
    shown = watch(performer, total * config.loop) if watch is not None else None
    error: Exception | None = None
    cpu = time.process_time()
    try:
        with _stopped_by_signals(performer):
            await performer.perform(source.plan())
    except Exception as problem:  # noqa: BLE001  kept: the run is closed first, and then it is raised again
        error = problem
    finally:
        if shown is not None:
            shown.close()
        for stage in stages:
            await stage.client.close()
    final = _final(performer, source, stages, config, binder, clock)
    final["generator"]["cpu_s"] = round(time.process_time() - cpu, 3)
    if error is not None:
        final.update(partial=True, partial_reason=str(error))
    writer.close(final)
    if error is not None:
        raise error
    return open_run(run_dir)


def _options(config: ReplayConfig, run_id: str) -> Options:
    return Options(
        run_id,
        config.seed,
        config.waiting_max,
        config.held_bytes_max,
        config.pair_wait_ms * 1_000_000,
        config.breaker_failures,
        None if config.duration_s is None else round(config.duration_s * _S),
    )


@contextlib.contextmanager
def _stopped_by_signals(performer: Performer) -> Iterator[None]:
    loop = asyncio.get_running_loop()
    numbers = (signal.SIGINT, signal.SIGTERM)
    added = []
    for number in numbers:
        try:
            loop.add_signal_handler(number, performer.stop, f"ended by {signal.Signals(number).name}")
            added.append(number)
        except (ValueError, RuntimeError, NotImplementedError):
            break  # not the main thread: whoever called us handles signals
    try:
        yield
    finally:
        for number in added:
            loop.remove_signal_handler(number)


def _version() -> str:
    try:
        return metadata.version("understudy")
    except metadata.PackageNotFoundError:
        return "0+source"


def _manifest(
    config: ReplayConfig, log: Log, builds: Sequence[Build], run_id: str, clock: Clock, total: int
) -> dict[str, Any]:
    """What is known before the first request."""
    segments = log.segments
    now = clock.now_ns()
    return {
        "tool": f"understudy {_version()}",
        "python": sys.version.split()[0],
        "run": run_id,
        "builds": [{"name": build.name, "role": build.role, "url": build.url} for build in builds],
        "injected": {build.name: sorted(build.headers) for build in builds if build.headers},
        "log": {
            "path": str(log.location),
            "exchanges": total,
            "first_ns": min((segment.first_ns for segment in segments if segment.records), default=0),
            "last_ns": max((segment.last_ns for segment in segments), default=0),
            "conservation": log.conservation().as_dict(),
            "segments": [{"name": s.segment, "records": s.records, "meta": _plain(s.meta)} for s in segments[:1000]],
            "damage": [f"{damage}" for damage in log.damage[:100]],
        },
        "config": dataclasses.asdict(config),
        "seed": config.seed,
        "cores": os.cpu_count(),
        "started": rfc3339(now),
        "started_ns": now,
    }


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value if isinstance(value, str | int | float | bool) or value is None else repr(value)


def _final(
    performer: Performer,
    source: _Source,
    stages: list[Stage],
    config: ReplayConfig,
    binder: Binder | None,
    clock: Clock,
) -> dict[str, Any]:
    """What only the end knows."""
    ledger = empty_ledger([stage.name for stage in stages])
    ledger.update(planned=performer.planned, sent=performer.sent, skipped=dict(sorted(performer.skipped.items())))
    for stage in stages:
        ledger["answered"][stage.name] = stage.answered
        ledger["failed"][stage.name] = dict(sorted(stage.failed.items()))
    now = clock.now_ns()
    supplies = performer.supplies
    late = _late(performer)
    return {
        "ended": rfc3339(now),
        "ended_ns": now,
        "partial": bool(performer.stopped),
        "partial_reason": performer.stopped or None,
        "ledger": ledger,
        "read": {"exchanges": source.read, "first_ns": source.first_ns, "last_ns": source.last_ns},
        "warmup_positions": int(config.warmup * source.read),
        "lateness": performer.lateness.as_dict(),
        "generator": {
            "late": late is not None,
            "why": late,
            "own_lateness": performer.own_lateness.as_dict(),
            "loop_lag": performer.loop_lag.as_dict(),
            "stalled_ns": performer.stalled_ns,
            "busy_share": round(performer.busy_share, 4),
        },
        "pairing": {
            "splits": performer.splits,
            "bound_ms": config.pair_wait_ms,
            "held_back_max_ns": performer.held_back_ns,
        },
        "bindings": {
            "resolved": {stage.name: supplies.resolved[index] for index, stage in enumerate(stages)},
            "unresolved": {stage.name: supplies.unresolved[index] for index, stage in enumerate(stages)},
            "forgotten_sessions": supplies.forgotten + source.forgotten + (binder.forgotten if binder else 0),
        },
        "breaker": {stage.name: stage.breaker.detail for stage in stages if stage.breaker is not None},
    }


def _late(performer: Performer) -> str | None:
    """Why the timings of this run say more about the generator than about the builds; None where they do not."""
    own = performer.own_lateness.quantile(0.99)
    stalled = performer.stalled_ns / max(performer.wall_ns, 1)
    if own > 10_000_000:
        return f"one request in a hundred was begun {own / 1e6:.1f} ms or more after it was due"
    if stalled > 0.5 and performer.sent:
        return f"the generator's loop was held up for {stalled:.0%} of the time"
    if performer.busy_share > 0.95 and performer.sent:
        return f"the generator used {performer.busy_share:.0%} of a core"
    return None
