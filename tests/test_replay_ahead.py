"""Reading a plan ahead: everything is read once and in order, within bounds, and an error comes last."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

import pytest

from replay.ahead import Ahead
from replay.compose import Composer
from replay.done import Done
from replay.pace import Rate
from replay.pair import orders_of
from replay.plan import Planned, Planner
from replay.schedule import Schedule
from replay.stage import Options
from replay.supplies import Supplies
from tests.support.rude import exchange, get


class Reading:
    """An `Ahead` of some requests, what it was asked for, and what it skipped."""

    def __init__(self, count: int, options: Options | None = None, clock: Callable[[], int] = lambda: 0) -> None:
        self.taken = 0
        self.skipped: list[tuple[int, str]] = []
        composer = Composer([], "run", Supplies(2, 1 << 20), random.Random(1))
        orders = orders_of(2, random.Random(1))
        self.ahead = Ahead(orders, options or Options("run"), composer, self.skip, clock)
        self.count = count

    def plan(self, body: bytes = b"") -> Iterator[tuple[int, Planned]]:
        recorded = [exchange(n, get(f"/{n}", method="POST" if n % 5 == 4 else "GET")) for n in range(self.count)]
        for planned in Planner(allow_writes=False).plan(recorded):
            self.taken += 1
            yield 0, planned

    def skip(self, planned: Planned, iteration: int, reason: str) -> None:
        self.skipped.append((planned.position, reason))

    def positions(self) -> list[int]:
        return [pair.planned.position for pair in self.ahead.pairs]


def test_all_of_a_plan_is_read_in_order_and_what_is_skipped_is_told() -> None:
    reading = Reading(150)
    reading.ahead.open(reading.plan(), None)
    while not reading.ahead.exhausted:
        reading.ahead.fill()
    assert reading.positions() == [n for n in range(150) if n % 5 != 4]
    assert reading.skipped == [(n, "unsafe_method") for n in range(4, 150, 5)]


def test_no_more_is_read_at_once_than_may_wait() -> None:
    reading = Reading(50, Options("run", waiting_max=10))
    reading.ahead.open(reading.plan(), None)
    reading.ahead.fill()
    assert reading.taken == 1


def test_reading_stops_where_it_would_make_late_what_is_due() -> None:
    now = 0

    def clock() -> int:
        nonlocal now
        now += 200_000
        return now

    reading = Reading(50, clock=clock)
    reading.ahead.open(reading.plan(), None)
    reading.ahead.fill()
    assert reading.taken == 2
    assert not reading.ahead.exhausted


def test_reading_stops_where_much_would_be_held() -> None:
    large = [exchange(n, get("/", method="GET", body=b"x" * (600 << 10))) for n in range(10)]
    reading = Reading(0)
    reading.ahead.open(((0, planned) for planned in Planner().plan(large)), None)
    reading.ahead.fill()
    assert reading.positions() == [0, 1]


def test_what_the_plan_raises_is_kept_after_what_it_gave() -> None:
    def broken() -> Iterator[tuple[int, Planned]]:
        yield from Reading(3).plan()
        raise OSError("the disk is gone")

    reading = Reading(0)
    reading.ahead.open(broken(), None)
    reading.ahead.fill()
    assert reading.positions() == [0, 1, 2]
    assert reading.ahead.exhausted
    assert isinstance(reading.ahead.error, OSError)


@pytest.mark.parametrize("earlier", [0, 3])
def test_what_was_performed_or_is_anothers_is_left_out_but_keeps_its_place_in_the_schedule(earlier: int) -> None:
    reading = Reading(9)
    reading.ahead.mine = lambda planned: planned.position % 2 == 0
    reading.ahead.performed = done = Done()
    for position in range(earlier):
        done.add(0, position)
    reading.ahead.open(reading.plan(), Schedule(Rate(1000), 0))
    reading.ahead.fill()
    assert reading.positions() == [n for n in (0, 2, 6, 8) if n >= earlier]
    # What is skipped has no place in the schedule, and what was sent before this attempt began has none any more.
    assert reading.ahead.pairs[-1].due_ns == (7 if not earlier else 2) * 1_000_000


def test_nothing_is_left_after_the_end() -> None:
    reading = Reading(9)
    reading.ahead.open(reading.plan(), None)
    reading.ahead.fill()
    reading.ahead.end()
    assert not reading.ahead.pairs
    assert reading.ahead.exhausted
