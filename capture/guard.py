"""Budgets that make capture give way before traffic does: pure decisions from measured use.

What is bounded: captured exchanges a second, memory of the process, share of one core that capture takes, free space of
the log's disk, and how late the event loop runs. When the share of a core bites, sampling falls first, step by step, so
that what is still kept carries its true probability; when it has fallen to nothing, or another budget bites, capture
stops and every exchange is counted as shed by the reason. It comes back by itself.
"""

from __future__ import annotations

import dataclasses
from collections import Counter

from capture.settings import GuardConfig

__all__ = ["Guard", "Usage"]

_SHARE_MAX = 0.9
_LEAST_FACTOR = 1 / 64
_RAISE = 1.25
_CALM = 0.7
_STALLS_MAX = 2
_S = 1_000_000_000


@dataclasses.dataclass(frozen=True, slots=True)
class Usage:
    """What was measured at one tick.

    at_ns: now. capture_ns: processor time that capture has taken since the start, in the loop and in the log's thread.
    rss_bytes: memory of the process, 0 where unknown. free_bytes: free space on the log's disk, None where unknown.
    late_ns: how much later than planned this tick came. beside_ns: what of capture_ns another process has taken, which
    delays nobody here.
    """

    at_ns: int
    capture_ns: int
    rss_bytes: int = 0
    free_bytes: int | None = None
    late_ns: int = 0
    beside_ns: int = 0


class Guard:
    """The state of the budgets of one process. Pure: times and measures are arguments.

    limits: may be replaced at any time. processes: how many take part in capture. factor: what the configured
    probability is to be multiplied with, in (0, 1].
    off: why nothing is captured now ("cpu", "memory", "disk_low", "watchdog"), None while it is. share: of one core
    that capture took between the last two ticks. stops: how often capture was stopped, by reason.
    """

    __slots__ = (
        "_calm_ns",
        "_last",
        "_own_share",
        "_processes",
        "_stalls",
        "_tokens",
        "_tokens_ns",
        "factor",
        "limits",
        "off",
        "share",
        "stops",
    )

    def __init__(self, limits: GuardConfig, processes: int = 1) -> None:
        self.limits = limits
        self._processes = processes
        self._own_share = 0.0
        self.factor = 1.0
        self.off: str | None = None
        self.share = 0.0
        self.stops: Counter[str] = Counter()
        self._last: Usage | None = None
        self._calm_ns = 0
        self._stalls = 0
        self._tokens = limits.exchanges_per_s
        self._tokens_ns = 0

    def admit(self, at_ns: int) -> str | None:
        """None where one more exchange may be captured now, else the reason why it is shed."""
        if self.off is not None:
            return self.off
        rate = self.limits.exchanges_per_s
        if not rate:
            return None
        # A bucket of one second, so that a burst does not lose what the second as a whole allows.
        self._tokens = min(max(rate, 1.0), self._tokens + max(0, at_ns - self._tokens_ns) * rate / _S)
        self._tokens_ns = max(at_ns, self._tokens_ns)
        if self._tokens < 1:
            return "rate"
        self._tokens -= 1
        return None

    def tick(self, usage: Usage) -> bool:
        """Take a measurement; True where `factor` or `off` changed."""
        before = (self.factor, self.off)
        last, self._last = self._last, usage
        if last is not None and usage.at_ns > last.at_ns:
            self.share = (usage.capture_ns - last.capture_ns) / (usage.at_ns - last.at_ns)
            self._own_share = self.share - (usage.beside_ns - last.beside_ns) / (usage.at_ns - last.at_ns)
            self._judge(usage)
        return (self.factor, self.off) != before

    def _judge(self, usage: Usage) -> None:
        limits = self.limits
        share_max = limits.cpu_share_max or _SHARE_MAX * self._processes
        self._watch(usage)
        reason = None
        if limits.memory_bytes_max and usage.rss_bytes > limits.memory_bytes_max:
            reason = "memory"
        elif limits.free_bytes_min and usage.free_bytes is not None and usage.free_bytes < limits.free_bytes_min:
            reason = "disk_low"
        elif self._stalls >= _STALLS_MAX:
            reason, self._stalls = "watchdog", 0
        elif self.share > share_max:
            self.factor /= 2
            if self.factor < _LEAST_FACTOR:
                self.factor, reason = _LEAST_FACTOR, "cpu"
        if reason is not None:
            self._stop(reason, usage.at_ns)
        elif self.off is not None:
            self._resume(usage)
        elif self.share < _CALM * share_max:
            self.factor = min(1.0, self.factor * _RAISE)

    def _watch(self, usage: Usage) -> None:
        """Count ticks in a row that came too late while capture took most of the time; others' delays are not ours."""
        if usage.late_ns > self.limits.stall_ms * 1_000_000 and self._own_share > 0.5:
            self._stalls += 1
        else:
            self._stalls = 0

    def _stop(self, reason: str, at_ns: int) -> None:
        if self.off is None:
            self.stops[reason] += 1
        self.off = reason
        self._calm_ns = at_ns + int(self.limits.cooldown_s * _S)

    def _resume(self, usage: Usage) -> None:
        """Begin again, at the lowest sampling, once nothing has bitten for the time of the cool-down."""
        if usage.at_ns >= self._calm_ns:
            self.off = None
            self.factor = _LEAST_FACTOR
