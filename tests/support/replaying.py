"""Shorthand for tests that perform exchanges on servers in the same process."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from capture.clock import Clock
from capture.exchange import Exchange
from capture.log.segment import RecordWriter
from capture.log.writer import EXCHANGE_KIND
from capture.settings import LogConfig
from replay.bind import Binder
from replay.clients.base import Client, Limits
from replay.clients.throttle import Throttle
from replay.clients.wire import WireClient
from replay.outcome import Performance, Role
from replay.pace import Closed, Pace
from replay.perform import Performer
from replay.plan import Planner
from replay.stage import Options, Stage
from tests.support.rude import Answer, Rude, rude_server


def write_log(directory: Path, exchanges: Sequence[Exchange], meta: dict[str, Any] | None = None) -> Path:
    """A sealed log of these exchanges, with the ids that they have."""
    writer = RecordWriter(directory, Exchange, EXCHANGE_KIND, LogConfig(), meta or {})
    for item in exchanges:
        writer.write(item, item.times.request_start)
    writer.close()
    return directory


async def perform_on(
    servers: dict[str, Rude],
    exchanges: Sequence[Exchange],
    pace: Pace | None = None,
    limits: Limits | None = None,
    allow_writes: bool = True,
    bind: bool = True,
    performer_out: list[Performer] | None = None,
    rates: Mapping[str, float] | None = None,
    record: Callable[[Performance], None] | None = None,
    clear: Callable[[], bool] = lambda: True,
    passwords: Mapping[str, Mapping[str, str]] | None = None,
    **options: Any,
) -> list[Performance]:
    """Perform on servers by build name; a name that begins with "cand" is a candidate. Ledger checked.

    rates: requests a second at most, by build name. passwords: of each user, by build name. record, clear: instead of
    those that keep all and are never behind.
    """
    clock = Clock()
    stages = []
    for name, server in servers.items():
        role: Role = "current" if name == "current" else "reference" if name == "reference" else "candidate"
        client: Client = WireClient(server.endpoint, limits or Limits(), clock)
        if rates is not None and name in rates:
            client = Throttle(client, rates[name], (limits or Limits()).connections_max, clock)
        await client.open()
        given = (passwords or {}).get(name)
        stages.append(
            Stage(name, role, client, server.endpoint.authority, address=server.endpoint.address, passwords=given)
        )
    recorded: list[Performance] = []
    performer = Performer(
        stages,
        pace or Closed(4),
        Options("run", **options),
        clock,
        record or recorded.append,
        Binder() if bind else None,
        clear,
    )
    if performer_out is not None:
        performer_out.append(performer)
    try:
        await performer.perform((0, planned) for planned in Planner(allow_writes).plan(exchanges))
    finally:
        for stage in stages:
            await stage.client.close()
    assert_adds_up(performer, recorded)
    return sorted(recorded, key=lambda performance: performance.position)


def assert_adds_up(performer: Performer, recorded: Sequence[Performance]) -> None:
    """Every planned request has one fate, every build one outcome for each that was sent; the counts say the same."""
    sent = [performance for performance in recorded if performance.skipped is None]
    skipped = Counter(performance.skipped for performance in recorded if performance.skipped is not None)
    assert len({(p.iteration, p.position) for p in recorded}) == len(recorded)
    assert performer.sent == len(sent)
    assert performer.skipped == skipped
    assert performer.planned == performer.sent + sum(skipped.values())
    names = [stage.name for stage in performer.stages]
    for performance in sent:
        assert [outcome.build for outcome in performance.outcomes] == names
    for index, stage in enumerate(performer.stages):
        failed = Counter(p.outcomes[index].failure.kind for p in sent if p.outcomes[index].failure is not None)
        assert stage.failed == failed
        assert performer.sent == stage.answered + sum(failed.values())


@contextlib.contextmanager
def serving(answer: Answer | None = None) -> Iterator[Rude]:
    """A rude server in a thread of its own, for tests that block. answer: as for `rude_server`."""
    started: list[Rude] = []
    ready = threading.Event()
    over: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

    async def serve() -> None:
        over.append((asyncio.get_running_loop(), asyncio.Event()))
        async with rude_server(answer) as rude:
            started.append(rude)
            ready.set()
            await over[0][1].wait()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    assert ready.wait(10)
    try:
        yield started[0]
    finally:
        over[0][0].call_soon_threadsafe(over[0][1].set)
        thread.join(10)
