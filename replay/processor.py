"""How much of the time this thread used a processor, and how much of it it waited for one."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

__all__ = ["Processor"]

_SCHEDSTAT = Path("/proc/thread-self/schedstat")
"""ns on a processor, ns runnable without one, and turns (Linux, Documentation/scheduler/sched-stats.rst)."""


class Processor:
    """The shares of the time since it was made, in the thread that made it."""

    def __init__(self) -> None:
        self._began_ns = time.monotonic_ns()
        self._used_ns = time.thread_time_ns()
        self._waited_ns = _waited_ns()

    def shares(self) -> tuple[float, float]:
        """Used, and waited for; the second is 0 where the system does not say it."""
        wall_ns = max(time.monotonic_ns() - self._began_ns, 1)
        return (time.thread_time_ns() - self._used_ns) / wall_ns, max(_waited_ns() - self._waited_ns, 0) / wall_ns


def _waited_ns() -> int:
    with contextlib.suppress(OSError, ValueError, IndexError):
        return int(_SCHEDSTAT.read_text().split()[1])
    return 0
