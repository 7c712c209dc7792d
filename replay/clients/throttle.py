"""A client that hands requests on no faster than a build's rate cap allows; the rest waits here, in order."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable

from capture.clock import Clock
from capture.exchange import Response
from replay.alarm import Alarm
from replay.clients.base import Client, Job

__all__ = ["Bucket", "Throttle"]

_S = 1_000_000_000


class Bucket:
    """A token bucket, counted as a due time (the generic cell rate algorithm, ITU-T I.371 appendix I).

    rate: tokens a second, above 0. Nothing is ever taken faster than `rate` in any second, a second's first instant
    counted and its last not; a rate that is no whole number rounds up. A hundredth of a second's tokens may be taken at
    once, and as many less flow in, so that a caller who is woken a little late loses nothing.
    """

    __slots__ = ("_due_ns", "_every_ns", "_slack_ns")

    def __init__(self, rate: float) -> None:
        depth = max(int(rate / 100), 1)
        # Rounded up: a nanosecond too early would be one too many in a second.
        self._every_ns = math.ceil(_S / (rate + 1 - depth))
        self._slack_ns = (depth - 1) * self._every_ns
        self._due_ns: int | None = None

    def take(self, now_ns: int) -> int:
        """0 where a token was taken; else the ns until there is one, and nothing was taken."""
        due = now_ns if self._due_ns is None else max(self._due_ns, now_ns)
        wait = due - self._slack_ns - now_ns
        if wait > 0:
            return wait
        self._due_ns = due + self._every_ns
        return 0


class Throttle:
    """A `Client` before another one; see `Client` for the contract.

    rate: requests a second at most. in_flight_max: how many the other client has at once, so that none waits there for
    a connection and goes out later than it was counted; None where it sends what it gets at once. What waits is
    bounded by the caller (`[replay] waiting_max`).
    """

    def __init__(self, client: Client, rate: float, in_flight_max: int | None, clock: Clock) -> None:
        self.client = client
        self.sends_bytes = client.sends_bytes
        self._bucket = Bucket(rate)
        self._in_flight_max = in_flight_max
        self._in_flight = 0
        self._now_ns = clock.now_ns
        self._waiting: deque[Job] = deque()
        self._alarm: Alarm | None = None
        self._closed = False

    async def open(self) -> None:
        await self.client.open()
        self._alarm = Alarm(self._serve)

    def perform(self, job: Job) -> None:
        self._waiting.append(job)
        if len(self._waiting) == 1:
            self._serve()

    def peek(self, job: Job) -> Response | None:
        return self.client.peek(job)

    def leave(self, job: Job, late: str | None = None) -> None:
        self.client.leave(job, late)

    def _serve(self) -> None:
        while self._waiting and not self._closed:
            if self._in_flight_max is not None and self._in_flight >= self._in_flight_max:
                return  # the next one that lands goes on
            wait_ns = self._bucket.take(self._now_ns())
            if wait_ns:
                assert self._alarm is not None
                self._alarm.set(wait_ns)
                return
            job = self._waiting.popleft()
            job.done = self._landing(job.done)
            self._in_flight += 1
            self.client.perform(job)

    def _landing(self, done: Callable[[Job], None]) -> Callable[[Job], None]:
        def landed(job: Job) -> None:
            self._in_flight -= 1
            done(job)
            self._serve()

        return landed

    async def close(self) -> None:
        self._closed = True
        if self._alarm is not None:
            self._alarm.close()
        await self.client.close()
        while self._waiting:
            self._waiting.popleft().fail("refused", "connect", "the replay was ended", self._now_ns())
