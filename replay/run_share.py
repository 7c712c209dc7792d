"""One process's share of a performance: the sessions that fall to it, on the schedule that all processes keep."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import signal
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any

from capture.clock import Clock
from capture.errors import UsageError
from capture.log.reader import Log
from replay.addresses import addresses_of
from replay.bind import Binder
from replay.builds import Build, Guard
from replay.carried import carried_by, gives_much
from replay.clients.base import Client, Limits
from replay.clients.choose import client_for
from replay.clients.throttle import Throttle
from replay.done import Done
from replay.hook import load_hook
from replay.learn import LEARNED_FROM_MAX, learn_links
from replay.manifest import summary_of
from replay.outcome import Performance
from replay.pace import Closed, Pace, Rate, Recorded
from replay.perform import Performer
from replay.plan import Planned
from replay.run import Run, RunWriter
from replay.settings import ReplayConfig
from replay.source import Source
from replay.stage import Options, Stage

__all__ = ["WHOLE", "Share", "Watch", "capped_limits", "limits_of", "pace_of", "perform_share"]

_S = 1_000_000_000
_SAMPLE = 400
_LATE_NS = 10 * _S

Watch = Callable[[Performer, int], Any]


@dataclasses.dataclass(frozen=True, slots=True)
class Share:
    """Part `index`, from 0, of `count`."""

    index: int = 0
    count: int = 1

    def owns(self, planned: Planned) -> bool:
        """True where the session of a planned request falls to this share; the same in every process."""
        return zlib.crc32(planned.exchange.session.encode()) % self.count == self.index


WHOLE = Share()
"""The share of a process that is alone."""


async def perform_share(
    config: ReplayConfig,
    log: Log,
    builds: Sequence[Build],
    writer: RunWriter,
    run_id: str,
    share: Share = WHOLE,
    *,
    start_ns: int | None = None,
    earlier: Run | None = None,
    watch: Watch | None = None,
    total: int = 0,
) -> tuple[dict[str, Any], Exception | None]:
    """Perform the share and write its records; the summary, and what ended it early, None where nothing did.

    earlier: a run that has a part of this already. start_ns: when the common schedule begins; where it began long ago,
    or without what is left of this share, the share has a schedule of its own, and nothing is sent all at once.
    """
    clock = Clock()
    limits = limits_of(config)
    guard = None if config.allow_captured_address >= 2 else Guard(builds, addresses_of)
    source = Source(log, config, guard)
    binder = _binder(config, log) if config.bind else None
    done = None if earlier is None else Done()
    stages = [_stage(build, config, capped_limits(limits, build, share), share, clock) for build in builds]
    mine = None if share.count == 1 else share.owns
    performer = Performer(
        stages, pace_of(config, share), _options(config, run_id), clock, writer.record, binder,
        lambda: writer.clear, done, mine,
    )  # fmt: skip
    if earlier is not None and done is not None:
        _take_over(earlier, performer, done, share)
        if start_ns is not None and clock.now_ns() - start_ns > (0 if done.any else _LATE_NS):
            start_ns = None
    for stage in stages:
        await stage.client.open()
    shown = watch(performer, total) if watch is not None else None
    error: Exception | None = None
    cpu = time.process_time()
    try:
        with _stopped_by_signals(performer, alone=share.count == 1):
            await performer.perform(source.plan(), start_ns)
    except Exception as problem:  # noqa: BLE001  kept: the run is closed first, and then it is raised again
        error = problem
    finally:
        if shown is not None:
            shown.close()
        for stage in stages:
            await stage.client.close()
    return summary_of(performer, source, binder, time.process_time() - cpu), error


def pace_of(config: ReplayConfig, share: Share = WHOLE) -> Pace:
    """The pacing that the configuration asks for; of a closed loop every share has its part, at least 1."""
    if config.speed is not None:
        return Recorded(config.speed, None if config.pause_max_s is None else round(config.pause_max_s * _S))
    if config.rate is not None:
        return Rate(config.rate)
    whole = config.concurrency or 8
    return Closed(max(whole // share.count + (share.index < whole % share.count), 1))


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


def capped_limits(limits: Limits, build: Build, share: Share = WHOLE) -> Limits:
    """The bounds of this build's client in one of the processes: they divide the connections that the run may have.

    Raises UsageError where there are more processes than connections.
    """
    own = build.connections_max is not None
    whole = limits.connections_max if build.connections_max is None else build.connections_max
    if whole < share.count:
        raise UsageError(
            f"[{f'build.{build.name}' if own else 'replay'}] connections_max {whole} is less than the {share.count}"
            " processes that each need one; give fewer --workers"
        )
    part = whole // share.count + (share.index < whole % share.count)
    return dataclasses.replace(limits, connections_max=part)


def _binder(config: ReplayConfig, log: Log) -> Binder:
    learned = learn_links(islice(log.exchanges(), LEARNED_FROM_MAX))
    carried = None
    if gives_much(islice(log.exchanges(), _SAMPLE)):
        carried = carried_by(islice(log.exchanges(), config.limit), learned)
    return Binder(config.bind_exclude, config.sessions_max, config.bind_rules, learned, carried)


def _stage(build: Build, config: ReplayConfig, limits: Limits, share: Share, clock: Clock) -> Stage:
    endpoint = build.endpoint
    authority = build.host or (None if config.keep_host else endpoint.authority)
    client: Client = client_for(build.client, endpoint, limits, clock)
    if build.rate_max is not None:
        # One connection of HTTP/2 has many requests under way; the others have one.
        shared = build.client == "h2"
        client = Throttle(client, build.rate_max / share.count, None if shared else limits.connections_max, clock)
    hook = None if build.hook is None else load_hook(build.hook, f"[build.{build.name}] hook")
    address = endpoint.unix or endpoint.address
    return Stage(build.name, build.role, client, authority, build.headers, hook, address, build.passwords)


def _take_over(earlier: Run, performer: Performer, done: Done, share: Share) -> None:
    """Count what an earlier attempt at this share performed, and remember what the builds answered then."""
    for performance in earlier.performances():
        if share.count > 1 and not _owns(share, performance):
            continue
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
            performer.supplies.take_over(performance, index, outcome)


def _owns(share: Share, performance: Performance) -> bool:
    return share.owns(Planned(performance.position, performance.exchange, 0))


def _options(config: ReplayConfig, run_id: str) -> Options:
    return Options(
        run_id,
        config.seed,
        config.waiting_max,
        config.held_bytes_max,
        config.supplies_bytes_max,
        config.sessions_max,
        config.pair_wait_ms * 1_000_000,
        config.breaker_failures,
        None if config.duration_s is None else round(config.duration_s * _S),
        round((config.timeout_s + config.connect_timeout_s) * _S),
        round(config.timeout_s * _S),
        round(min(config.first_byte_timeout_s, config.timeout_s) * _S),
        round(config.stream_s * _S),
        config.connections_max // (2 * config.workers),
    )


@contextlib.contextmanager
def _stopped_by_signals(performer: Performer, alone: bool) -> Iterator[None]:
    """SIGINT and SIGTERM end the performance. alone: False where another process has heard Ctrl-C and passes it on."""
    loop = asyncio.get_running_loop()
    numbers = (signal.SIGINT, signal.SIGTERM)
    added = []

    def end(number: signal.Signals) -> None:
        if number == signal.SIGINT and not alone:
            return
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
