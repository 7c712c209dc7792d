"""The replay as one call: a log, builds and a configuration in, a run directory out."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import signal
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from capture.clock import Clock, rfc3339
from capture.errors import BadInput, UsageError
from capture.log.reader import Log, open_log
from capture.settings import LogConfig
from replay.bind import Binder
from replay.builds import Build, captured_address_refusal
from replay.clients.base import Limits
from replay.clients.choose import client_for, speaks_http2
from replay.manifest import beginning, ending
from replay.pace import Closed, Pace, Rate, Recorded
from replay.perform import Performer
from replay.preflight import preflight
from replay.run import Run, RunWriter, open_run
from replay.settings import ReplayConfig
from replay.source import Source
from replay.stage import Done, Options, Stage

__all__ = ["limits_of", "pace_of", "run_replay"]

_S = 1_000_000_000
_ADDRESS_KEYS = ("upstream", "server", "address", "addresses", "listen")

Watch = Callable[[Performer, int], Any]


def run_replay(
    config: ReplayConfig,
    log: Path | str,
    builds: Sequence[Build],
    run_dir: Path,
    *,
    watch: Watch | None = None,
    log_config: LogConfig | None = None,
    resume: bool = False,
) -> Run:
    """Perform `log` on `builds` and write the run to `run_dir`, which must not exist or be empty.

    resume: `run_dir` is a partial run of this log and these builds; what is not in it is performed and added. watch:
    called with (performer, exchanges in the log) once the performance begins; what it returns is closed at the end (a
    progress bar). Blocks until the run is complete; SIGINT and SIGTERM end it early, with what is in flight finished
    and the run marked partial; a second one ends it at once. Raises UsageError, BadInput, RunFailed (a build is not
    there, the disk is full), and then nothing was sent or the run says what was.
    """
    opened = open_log(log)
    try:
        earlier = _resumable(run_dir, opened, builds, config) if resume else None
        if earlier is None:
            _check_directory(run_dir)
        captured = _captured_addresses(opened)
        refusal = captured_address_refusal(builds, captured, config.deny_hosts, config.allow_captured_address >= 2)
        if refusal is not None:
            raise UsageError(refusal)
        return _run(_replay(config, opened, builds, run_dir, watch, log_config, earlier))
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


def limits_of(config: ReplayConfig) -> Limits:
    """The bounds of every client that the configuration asks for."""
    return Limits(
        timeout_ns=round(config.timeout_s * _S),
        first_byte_timeout_ns=round(config.first_byte_timeout_s * _S),
        connect_timeout_ns=round(config.connect_timeout_s * _S),
        body_bytes_max=config.body_bytes_max,
        connections_max=config.connections_max,
        insecure=config.insecure,
        ca_file=config.ca_file,
    )


def _check_directory(run_dir: Path) -> None:
    try:
        if run_dir.exists() and (not run_dir.is_dir() or any(run_dir.iterdir())):
            raise UsageError(f"--run {run_dir}: is there already and not empty; name a new directory, or --resume it")
    except OSError as error:
        raise BadInput(f"--run {run_dir}: cannot be used: {error.strerror}") from None


def _resumable(run_dir: Path, log: Log, builds: Sequence[Build], config: ReplayConfig) -> Run:
    """The partial run that is to be continued. Raises UsageError where it is complete or of something else."""
    run = open_run(run_dir)
    if not run.partial:
        raise UsageError(f"--resume {run_dir}: the run is complete; name a new directory to perform the log again")
    named = [(build.name, build.role) for build in builds]
    if [(build["name"], build["role"]) for build in run.builds] != named:
        raise UsageError(f"--resume {run_dir}: the run has other builds: {', '.join(b['name'] for b in run.builds)}")
    segments = [segment["name"] for segment in run.manifest["log"]["segments"]]
    if segments != [segment.segment for segment in log.segments[:1000]]:
        raise UsageError(f"--resume {run_dir}: the run was made from another log ({run.manifest['log']['path']})")
    before = run.manifest["config"]
    for name in ("allow_writes", "limit", "loop"):
        if before.get(name) != getattr(config, name):
            raise UsageError(f"--resume {run_dir}: the run began with {name} {before.get(name)!r}; say the same again")
    return run


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


async def _replay(
    config: ReplayConfig,
    log: Log,
    builds: Sequence[Build],
    run_dir: Path,
    watch: Watch | None,
    log_config: LogConfig | None,
    earlier: Run | None,
) -> Run:
    clock = Clock()
    limits = limits_of(config)
    if config.preflight:
        await preflight(builds, limits, config.preflight_path)
    total = sum(segment.records for segment in log.segments)
    total = min(total, config.limit or total)
    if earlier is None:
        manifest = beginning(config, log, builds, secrets.token_hex(8), clock.now_ns(), total)
    else:
        resumed = [*earlier.manifest.get("resumed", []), rfc3339(clock.now_ns())]
        manifest = {**earlier.manifest, "ledger": None, "resumed": resumed}
    source = Source(log, config, builds)
    binder = Binder(config.bind_exclude, config.sessions_max) if config.bind else None
    done = None if earlier is None else Done()
    http2 = speaks_http2(islice(log.exchanges(), 100))
    stages = [_stage(build, config, limits, clock, http2) for build in builds]
    writer = RunWriter(run_dir, manifest, log_config)
    performer = Performer(
        stages, pace_of(config), _options(config, manifest["run"]), clock, writer.record, binder,
        lambda: writer.clear, done,
    )  # fmt: skip
    if earlier is not None and done is not None:
        _take_over(earlier, performer, done)
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
    final = ending(performer, source, config, binder, clock.now_ns())
    final["generator"]["cpu_s"] = round(time.process_time() - cpu, 3)
    if error is not None:
        final.update(partial=True, partial_reason=str(error))
    elif (lost := _lost(log)) and not final["partial"]:
        why = f"the log is damaged, {lost} exchanges cannot be read; `understudy log verify {log.location}` says where"
        final.update(partial=True, partial_reason=why)
    writer.manifest["log"]["damage"] = [str(damage) for damage in log.damage[:100]]
    writer.close(final)
    if error is not None:
        raise error
    return open_run(run_dir)


def _lost(log: Log) -> int:
    """Exchanges that were in the log and cannot be read; the torn tail of a writer that was killed is not a loss."""
    return sum(damage.records or 1 for damage in log.damage if not damage.what.startswith("torn tail"))


def _stage(build: Build, config: ReplayConfig, limits: Limits, clock: Clock, http2: bool) -> Stage:
    endpoint = build.endpoint
    authority = build.host or (None if config.keep_host else endpoint.authority)
    client = client_for(config.client, endpoint, limits, clock, http2)
    return Stage(build.name, build.role, client, authority, build.headers)


def _take_over(earlier: Run, performer: Performer, done: Done) -> None:
    """Count what an earlier attempt performed, and remember what the builds answered then."""
    for performance in earlier.performances():
        done.add(performance.iteration, performance.position)
        if performance.skipped is not None:
            performer.skipped[performance.skipped] += 1
            continue
        performer.sent += 1
        for index, outcome in enumerate(performance.outcomes):
            stage = performer.stages[index]
            if outcome.failure is None:
                stage.answered += 1
            else:
                stage.failed[outcome.failure.kind] += 1
            performer.supplies.keep(performance.exchange, performance.position, performance.iteration, index, outcome)


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

    def end(number: signal.Signals) -> None:
        if performer.stopped:
            performer.abandon()
        else:
            performer.stop(f"ended by {number.name}")

    for number in numbers:
        try:
            loop.add_signal_handler(number, end, signal.Signals(number))
            added.append(number)
        except (ValueError, RuntimeError, NotImplementedError):
            break  # not the main thread: whoever called us handles signals
    try:
        yield
    finally:
        for number in added:
            loop.remove_signal_handler(number)
