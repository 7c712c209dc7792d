"""When timings do not count, because the generator was the bottleneck; a table of cases."""

from __future__ import annotations

from typing import Any

import pytest

from replay.bottleneck import why_late
from replay.histogram import Histogram

US = 1000
MS = 1_000_000


def times(*values: tuple[int, int]) -> Histogram:
    """A histogram of (how often, ns)."""
    histogram = Histogram()
    for count, value in values:
        histogram.extend([value] * count)
    return histogram


HONEST: dict[str, Any] = {
    "own_lateness": times((985, 50 * US), (15, MS)),
    "waits": times((900, 50 * US), (100, 2 * MS)),
    "latency": times((900, 3 * MS), (100, 30 * MS)),
    "held_up": 0,
    "longest_ns": 3 * MS,
    "busy_share": 0.5,
    "waited_share": 0.1,
    "sent": 1000,
}


@pytest.mark.parametrize(
    ("said", "but"),
    [
        (None, {}),
        (None, {"sent": 0, "busy_share": 1.0, "held_up": 5}),
        (None, {"own_lateness": Histogram()}),
        ("one request in a hundred was begun 6", {"own_lateness": times((980, 50 * US), (20, 6 * MS))}),
        (None, {"own_lateness": times((995, 50 * US), (5, 2000 * MS))}),
        ("used 96% of a core", {"busy_share": 0.96, "waited_share": 0.0}),
        ("used 96% of a core and waited for one for 3% of the time", {"busy_share": 0.96, "waited_share": 0.03}),
        (None, {"waited_share": 0.5}),
        ("11 of 1000 requests were under way while the generator stood still", {"held_up": 11}),
        (None, {"held_up": 10, "longest_ns": 2000 * MS}),
        ("half of the time an answer waited 1.1 ms", {"waits": times((1000, 1100 * US))}),
        (None, {"waits": times((1000, 900 * US))}),
        ("half of the time", {"waits": times((1000, 400 * US)), "latency": times((1000, 500 * US))}),
        (None, {"waits": times((1000, 290 * US)), "latency": times((1000, 300 * US))}),
        ("one twentieth of the time", {"waits": times((900, 50 * US), (100, 20 * MS))}),
        (None, {"waits": times((960, 50 * US), (40, 20 * MS))}),
        (None, {"waits": times((900, 50 * US), (100, 9 * MS))}),
    ],
)
def test_the_generator_was_the_bottleneck_or_was_not(said: str | None, but: dict[str, Any]) -> None:
    why = why_late(**{**HONEST, **but})
    if said is None:
        assert why is None
    else:
        assert why is not None
        assert said in why
