"""When each planned request is due: as recorded times a factor, at a fixed rate, or when a closed loop has room."""

from __future__ import annotations

import dataclasses
import math
from typing import TypeAlias

__all__ = ["Closed", "Pace", "Rate", "Recorded", "due_ns"]

_S = 1_000_000_000


@dataclasses.dataclass(frozen=True, slots=True)
class Recorded:
    """The recorded gaps, divided by speed: 1.0 is as recorded, 2.0 twice as fast; must be positive and finite.

    pause_max_ns: how long at most nothing is due, after the division; longer silences are shortened to it. None: as
    recorded.
    """

    speed: float = 1.0
    pause_max_ns: int | None = None

    def __post_init__(self) -> None:
        if not (math.isfinite(self.speed) and self.speed > 0):
            raise ValueError(f"speed must be a positive number, found {self.speed}")


@dataclasses.dataclass(frozen=True, slots=True)
class Rate:
    """Open loop: one request every 1 / per_second, whatever the builds do; must be positive and finite."""

    per_second: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.per_second) and self.per_second > 0):
            raise ValueError(f"rate must be a positive number, found {self.per_second}")


@dataclasses.dataclass(frozen=True, slots=True)
class Closed:
    """Closed loop: a request is due when fewer than `in_flight` pairs are under way; at least 1."""

    in_flight: int

    def __post_init__(self) -> None:
        if self.in_flight < 1:
            raise ValueError(f"concurrency must be at least 1, found {self.in_flight}")


Pace: TypeAlias = Recorded | Rate | Closed


def due_ns(pace: Pace, start_ns: int, number: int, offset_ns: int) -> int | None:
    """When to send a request, absolute, on the clock that start_ns came from; never earlier than start_ns.

    number: how many requests that are sent come before it, from 0; a fixed rate counts only what is sent. offset_ns:
    ns since the first exchange of the log; a negative one (a clock that was set back) counts as 0. Returns None in a
    closed loop, where only the answers before it decide. For growing number and offset the result never goes back.
    """
    match pace:
        case Recorded(speed, _):
            return start_ns + (round(offset_ns / speed) if offset_ns > 0 else 0)
        case Rate(per_second):
            return start_ns + round(number * _S / per_second)
        case Closed():
            return None
