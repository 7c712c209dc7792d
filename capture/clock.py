"""One monotonic clock, anchored once to wall time, so that all times of a process can be subtracted and dated."""

from __future__ import annotations

import time
from datetime import UTC, datetime

__all__ = ["Clock", "rfc3339"]

_S = 1_000_000_000


class Clock:
    """Integer nanoseconds since the Unix epoch that never go back while the process lives.

    The wall clock is read once, when the clock is made; afterwards only the monotonic clock counts, so a step of the
    wall clock (NTP, an operator) neither reorders nor stretches what was captured.
    """

    __slots__ = ("_offset_ns",)

    def __init__(self) -> None:
        self._offset_ns = time.time_ns() - time.monotonic_ns()

    def now_ns(self) -> int:
        """ns since the Unix epoch, monotonic."""
        return time.monotonic_ns() + self._offset_ns


def rfc3339(at_ns: int) -> str:
    """RFC 3339 UTC timestamp with nine digits of seconds; `at_ns` is ns since the Unix epoch, any sign."""
    seconds, ns = divmod(at_ns, _S)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{ns:09d}Z"
