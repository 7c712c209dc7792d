"""One monotonic clock, anchored once to wall time, so that all times of a process can be subtracted and dated."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime, timedelta
from time import monotonic_ns

__all__ = ["Clock", "parse_rfc3339", "rfc3339"]

_S = 1_000_000_000
_RFC3339 = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d):(\d\d)(?:[.,](\d{1,12})\d*)?\s*(?:([Zz])|([+-])(\d\d):?(\d\d))?", re.ASCII
)


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
        return monotonic_ns() + self._offset_ns


def rfc3339(at_ns: int) -> str:
    """RFC 3339 UTC timestamp with nine digits of seconds; `at_ns` is ns since the Unix epoch, any sign."""
    seconds, ns = divmod(at_ns, _S)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{ns:09d}Z"


def parse_rfc3339(text: str) -> int:
    """ns since the Unix epoch of an RFC 3339 timestamp; without an offset it is UTC. Raises ValueError."""
    found = _RFC3339.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"{text[:40]!r} is not an RFC 3339 timestamp such as 2026-01-31T12:00:00.5Z")
    year, month, day, hour, minute, second = (int(part) for part in found.group(1, 2, 3, 4, 5, 6))
    fraction = int(found[7].ljust(12, "0")) // 1000 if found[7] else 0
    leap = second == 60  # a leap second reads as the second before it, as POSIX time has none
    at = datetime(year, month, day, hour, minute, 59 if leap else second, tzinfo=UTC)
    if found[9]:
        offset = timedelta(hours=int(found[10]), minutes=int(found[11]))
        at -= offset if found[9] == "+" else -offset
    return (at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(seconds=1) * _S + fraction
