"""Was the generator itself the bottleneck, so that a run's timings say more about it than about the builds? Pure."""

from __future__ import annotations

from replay.histogram import Histogram
from replay.lag import PAUSE_NS

__all__ = ["why_late"]

_OWN_NS = 5_000_000
_BUSY_SHARE = 0.95
_HELD_UP_SHARE = 0.01
_LATENCY_SHARE = 1 / 3
_WAITS_NS = ((0.5, 300_000, "half of the time"), (0.95, 5_000_000, "one twentieth of the time"))
"""Quantiles that are judged, and what the loop may let wait at each, however fast the builds are."""


def why_late(
    *,
    own_lateness: Histogram,
    waits: Histogram,
    latency: Histogram,
    held_up: int,
    longest_ns: int,
    busy_share: float,
    waited_share: float,
    sent: int,
) -> str | None:
    """Why the timings do not count, in words; None where they do.

    own_lateness: ns from due and possible to begun. waits: how long the loop let wait what had happened (lag.py).
    latency: of a sample of the answers, from the send. held_up: requests that were under way while the generator stood
    still, for longest_ns at most. busy_share: of a core, over the performance; waited_share: that it waited for one,
    which shows in `waits` where it matters. sent: requests.
    """
    if not sent:
        return None
    own_ns = own_lateness.quantile(0.99)
    if own_ns > _OWN_NS:
        return f"one request in a hundred was begun {own_ns / 1e6:.1f} ms or more after it was due"
    if held_up > _HELD_UP_SHARE * sent:
        return (
            f"{held_up} of {sent} requests were under way while the generator stood still for {PAUSE_NS / 1e9:g} s or"
            f" more ({longest_ns / 1e9:.1f} s at most)"
        )
    if busy_share > _BUSY_SHARE:
        waited = f" and waited for one for {waited_share:.0%} of the time" if waited_share > 0.01 else ""
        return f"the generator used {busy_share:.0%} of a core{waited}"
    for quantile, floor_ns, often in _WAITS_NS:
        wait_ns, latency_ns = waits.quantile(quantile), latency.quantile(quantile)
        if wait_ns > max(floor_ns, _LATENCY_SHARE * latency_ns):
            return (
                f"{often} an answer waited {wait_ns / 1e6:.1f} ms or more until the generator read it,"
                f" of latencies of {latency_ns / 1e6:.1f} ms"
            )
    return None
