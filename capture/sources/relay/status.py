"""What a relay process tells about itself: plain nested counts that can be sent between processes and added up."""

from __future__ import annotations

import bisect
import contextlib
import os
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Protocol

from capture.conservation import Conservation

__all__ = ["BOUNDS_NS", "LatencyHistogram", "log_cpu_ns", "merge", "rss_bytes", "settled"]

BOUNDS_NS = tuple(
    int(seconds * 1e9)
    for seconds in (5e-6, 1e-5, 2e-5, 5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2, 2e-2, 5e-2, 0.1, 0.25, 0.5, 1.0)
)
"""Upper bounds of the buckets, in ns."""

_LARGEST = ("sampling_ratio", "draining", "guard_off", "log_failing", "reload_failed")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_STATM = Path("/proc/self/statm")


class _Settles(Protocol):
    """What is wanted of a log; `LogWriter.settle` says what it does."""

    def settle(self, counts: Conservation) -> None: ...


class LatencyHistogram:
    """Counts of durations by bucket. counts has one more entry than BOUNDS_NS, for what is longer."""

    __slots__ = ("counts", "sum_ns")

    def __init__(self) -> None:
        self.counts = [0] * (len(BOUNDS_NS) + 1)
        self.sum_ns = 0

    def state(self) -> dict[str, Any]:
        """Plain values, as `render_metrics` wants them."""
        return {"bounds_ns": list(BOUNDS_NS), "counts": list(self.counts), "sum_ns": self.sum_ns}

    def add(self, duration_ns: int) -> None:
        self.counts[bisect.bisect_left(BOUNDS_NS, duration_ns)] += 1
        self.sum_ns += duration_ns


def settled(counts: Conservation, writer: _Settles) -> Conservation:
    """A copy of the counts in which what the log lost after accepting it is shed."""
    copy = Conservation.from_dict(counts.as_dict())
    writer.settle(copy)
    return copy


def merge(states: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """The states of several processes as one: numbers are added, lists by position; of ratios and flags the largest."""
    total: dict[str, Any] = {}
    for state in states:
        for name, value in state.items():
            if name not in total:
                total[name] = merge([value]) if isinstance(value, dict) else value
            elif isinstance(value, dict):
                total[name] = merge([total[name], value])
            elif name == "bounds_ns":
                continue
            elif isinstance(value, list):
                total[name] = [one + other for one, other in zip(total[name], value, strict=True)]
            elif name in _LARGEST:
                total[name] = max(total[name], value)
            else:
                total[name] += value
    return total


def log_cpu_ns() -> int:
    """Processor time of the log's thread; 0 where the system does not say."""
    for thread in threading.enumerate():
        if thread.name == "understudy-log" and thread.ident is not None and hasattr(time, "pthread_getcpuclockid"):
            with contextlib.suppress(OSError):
                return time.clock_gettime_ns(time.pthread_getcpuclockid(thread.ident))
    return 0


def rss_bytes() -> int:
    """Resident memory of this process; 0 where the system does not say."""
    try:
        return int(_STATM.read_bytes().split()[1]) * _PAGE_BYTES
    except (OSError, IndexError, ValueError):
        return 0
