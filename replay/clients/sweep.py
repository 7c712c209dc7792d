"""Ending what has run out of time, for all requests of a client at once; never because the generator stood still."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from replay.clients.base import Limits

__all__ = ["Sweep"]

_AWAY_NS = 100_000_000


class Sweep:
    """Calls `look` every tick until it is closed, so that no request needs a timer of its own. Needs the running loop.

    Where the loop itself was away (the process was stopped, or had no processor), answers may have come that nobody has
    read: `look` is then called a tick later, when the loop has read them. now_ns: the clock of the limits.
    """

    def __init__(self, limits: Limits, now_ns: Callable[[], int], look: Callable[[], None]) -> None:
        shortest = min(limits.timeout_ns, limits.first_byte_timeout_ns)
        self._tick_s = min(max(shortest / 20e9, 0.005), 0.1)
        self._now_ns = now_ns
        self._look = look
        self._loop = asyncio.get_running_loop()
        self._put_off = False
        self._timer: asyncio.TimerHandle
        self._wait()

    def _wait(self) -> None:
        self._due_ns = self._now_ns() + round(self._tick_s * 1e9)
        self._timer = self._loop.call_later(self._tick_s, self._sweep)

    def _sweep(self) -> None:
        # Once, not again and again: on a loop that is always late, time runs out nevertheless.
        self._put_off = not self._put_off and self._now_ns() - self._due_ns > _AWAY_NS
        self._wait()
        if not self._put_off:
            self._look()

    def close(self) -> None:
        """Look no more."""
        self._timer.cancel()
