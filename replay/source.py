"""The log as the plan sees it: limited, looped, guarded against the captured address, and counted while it is read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Protocol

from capture.exchange import Exchange
from replay.builds import Guard
from replay.plan import Planned, Planner
from replay.settings import ReplayConfig

__all__ = ["Source"]


class _Readable(Protocol):
    def exchanges(self) -> Iterable[Exchange]: ...


class Source:
    """The log as the plan sees it: limited, looped, and counted while it is read.

    guard: what came from one of the builds is skipped; None where that was allowed.
    """

    def __init__(self, log: _Readable, config: ReplayConfig, guard: Guard | None = None) -> None:
        self.read = 0
        self.first_ns = self.last_ns = 0
        self.forgotten = 0
        self._log = log
        self._config = config
        self._guard = guard

    def plan(self) -> Iterator[tuple[int, Planned]]:
        guard = self._guard
        for iteration in range(self._config.loop):
            planner = Planner(self._config.allow_writes, self._config.sessions_max)
            for planned in planner.plan(self._exchanges(iteration)):
                server = planned.exchange.server
                if server and guard is not None and planned.skipped is None and guard(server):
                    planned = Planned(planned.position, planned.exchange, planned.offset_ns, (), "captured_address")
                yield iteration, planned
            self.forgotten += planner.forgotten

    def _exchanges(self, iteration: int) -> Iterator[Exchange]:
        for exchange in islice(self._log.exchanges(), self._config.limit):
            if iteration == 0:
                self.read += 1
                start = exchange.times.request_start
                self.first_ns = min(self.first_ns or start, start)
                self.last_ns = max(self.last_ns, start)
            yield exchange
