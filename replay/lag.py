"""How long the loop lets wait what has happened: what an answer that came at any moment waited before it was read."""

from __future__ import annotations

from collections.abc import Callable

from replay.alarm import Alarm
from replay.histogram import Histogram

__all__ = ["PAUSE_NS", "Lag"]

_PERIOD_NS = 10_000_000
_STALL_NS = 5_000_000
_MISSED_MAX = 100_000
PAUSE_NS = 100_000_000
"""From here on the generator stood still (stopped, swapped out, no processor), and was not only slow."""


class Lag:
    """Wants the loop a hundred times a second and keeps how long it waited for it each time.

    An answer that comes at such a moment waits as long, whatever the reason. The moments are on an absolute schedule:
    those that went by while the loop was away count too, each with its own wait, so that a stop of two seconds weighs
    two seconds and not one moment (Tene's coordinated omission). waits: all of them, in ns. stalled_ns: the time that
    the loop was away for 5 ms or more. longest_ns: the longest. held_up: requests that were under way during pauses.
    under_way: how many are now. Made inside the running loop.
    """

    def __init__(self, now_ns: Callable[[], int], under_way: Callable[[], int]) -> None:
        self.waits = Histogram()
        self.stalled_ns = 0
        self.longest_ns = 0
        self.held_up = 0
        self._now_ns = now_ns
        self._under_way = under_way
        self._alarm: Alarm | None = None
        self._due_ns = 0

    def open(self) -> None:
        """Begin; needs the running loop."""
        self._alarm = Alarm(self._look)
        self._due_ns = self._now_ns() + _PERIOD_NS
        self._alarm.set(_PERIOD_NS)

    def _look(self) -> None:
        alarm = self._alarm
        assert alarm is not None
        now = self._now_ns()
        self.note(max(now - self._due_ns - alarm.resolution_ns, 0))
        self._due_ns += _PERIOD_NS * (max(now - self._due_ns, 0) // _PERIOD_NS + 1)
        alarm.set(self._due_ns - now)

    def note(self, wait_ns: int) -> None:
        """The loop came wait_ns after one moment, and by then had missed those after it."""
        self.waits.extend(range(wait_ns, max(wait_ns - _MISSED_MAX * _PERIOD_NS, -1), -_PERIOD_NS))
        self.longest_ns = max(self.longest_ns, wait_ns)
        if wait_ns > _STALL_NS:
            self.stalled_ns += wait_ns
        if wait_ns >= PAUSE_NS:
            self.held_up += self._under_way()

    def close(self) -> None:
        """Look no more."""
        if self._alarm is not None:
            self._alarm.close()
