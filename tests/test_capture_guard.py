"""Budgets: sampling falls first, then capture stops, and it comes back by itself."""

from __future__ import annotations

import pytest

from capture.config import Settings, build
from capture.errors import UsageError
from capture.guard import Guard, Usage
from capture.settings import GuardConfig

S = 1_000_000_000
TICK = S // 10


class Machine:
    """Feeds a guard ticks of a tenth of a second in which capture takes a share of a core."""

    def __init__(self, **limits: float) -> None:
        self.guard = Guard(GuardConfig(**limits))  # type: ignore[arg-type]
        self._at_ns = self._spent_ns = 0
        self.guard.tick(Usage(0, 0))

    def run(self, share: float, ticks: int, **usage: int) -> None:
        for _ in range(ticks):
            self._at_ns += TICK
            self._spent_ns += int(share * TICK)
            self.guard.tick(Usage(self._at_ns, self._spent_ns, **usage))


def test_within_its_budgets_nothing_changes() -> None:
    machine = Machine(cpu_share_max=0.5)
    machine.run(0.4, 50)
    assert (machine.guard.factor, machine.guard.off) == (1.0, None)
    assert machine.guard.admit(5 * S) is None
    assert machine.guard.share == pytest.approx(0.4)


def test_over_the_share_of_a_core_sampling_halves_with_each_tick() -> None:
    machine = Machine(cpu_share_max=0.5)
    machine.run(0.6, 4)
    assert (machine.guard.factor, machine.guard.off) == (1 / 16, None)


def test_where_sampling_has_fallen_to_nothing_capture_stops_and_says_why() -> None:
    machine = Machine(cpu_share_max=0.5)
    machine.run(0.6, 8)
    assert machine.guard.off == "cpu"
    assert machine.guard.admit(1) == "cpu"
    assert machine.guard.stops == {"cpu": 1}


def test_after_the_cool_down_capture_begins_at_the_lowest_sampling_and_rises_to_all_of_it() -> None:
    machine = Machine(cpu_share_max=0.5, cooldown_s=1)
    machine.run(0.6, 8)
    machine.run(0.0, 9)
    assert machine.guard.off == "cpu"
    machine.run(0.0, 3)
    assert machine.guard.off is None
    assert machine.guard.factor < 0.05
    machine.run(0.0, 40)
    assert machine.guard.factor == 1.0


def test_between_calm_and_the_limit_sampling_stays() -> None:
    machine = Machine(cpu_share_max=0.5)
    machine.run(0.6, 3)
    machine.run(0.4, 20)
    assert machine.guard.factor == 0.125


def test_exchanges_beyond_the_rate_are_shed_and_a_quiet_second_gives_the_rate_again() -> None:
    guard = Guard(GuardConfig(exchanges_per_s=5))
    assert [guard.admit(10 * S) for _ in range(7)] == [None] * 5 + ["rate"] * 2
    assert guard.admit(10 * S + S // 5) is None
    assert guard.admit(10 * S + S // 5) == "rate"
    assert [guard.admit(20 * S) for _ in range(6)] == [None] * 5 + ["rate"]


def test_a_rate_below_one_a_second_still_admits_one() -> None:
    guard = Guard(GuardConfig(exchanges_per_s=0.5))
    assert [guard.admit(at * S) for at in range(10, 16)] == [None, "rate", None, "rate", None, "rate"]


def test_memory_over_its_budget_stops_capture() -> None:
    machine = Machine(memory_bytes_max=100)
    machine.run(0.1, 3, rss_bytes=101)
    assert machine.guard.off == "memory"


def test_a_disk_with_too_little_space_stops_capture() -> None:
    machine = Machine(free_bytes_min=100)
    machine.run(0.1, 3, free_bytes=99)
    assert machine.guard.off == "disk_low"


def test_a_loop_that_runs_late_because_of_capture_trips_the_watchdog() -> None:
    machine = Machine(stall_ms=50)
    machine.run(0.8, 3, late_ns=60_000_000)
    assert machine.guard.off == "watchdog"


def test_a_loop_that_runs_late_for_other_reasons_does_not() -> None:
    machine = Machine(stall_ms=50)
    machine.run(0.1, 10, late_ns=60_000_000)
    assert machine.guard.off is None


def test_a_single_late_tick_does_not() -> None:
    machine = Machine(stall_ms=50)
    machine.run(0.8, 1, late_ns=60_000_000)
    machine.run(0.8, 5)
    assert machine.guard.off is None


def test_a_tick_tells_whether_anything_changed() -> None:
    guard = Guard(GuardConfig(memory_bytes_max=100))
    assert not guard.tick(Usage(0, 0))
    assert not guard.tick(Usage(TICK, 0))
    assert guard.tick(Usage(2 * TICK, 0, rss_bytes=200))
    assert not guard.tick(Usage(3 * TICK, 0, rss_bytes=200))


@pytest.mark.parametrize(
    ("key", "value"), [("exchanges_per_s", -1), ("cpu_share_max", 0), ("stall_ms", 0), ("cooldown_s", -1)]
)
def test_budgets_that_make_no_sense_are_refused_by_name(key: str, value: int) -> None:
    with pytest.raises(UsageError, match=rf"\[guard\] {key}: {key} must"):
        build(GuardConfig, "guard", Settings(tables={"guard": {key: value}}))


@pytest.mark.parametrize(
    ("processes", "share", "factor"), [(1, 0.85, 1.0), (1, 1.0, 0.5), (2, 1.7, 1.0), (2, 1.9, 0.5)]
)
def test_without_a_limit_each_process_of_capture_may_take_nine_tenths_of_a_core(
    processes: int, share: float, factor: float
) -> None:
    guard = Guard(GuardConfig(), processes)
    guard.tick(Usage(0, 0))
    guard.tick(Usage(TICK, int(share * TICK)))
    assert guard.factor == factor


def test_a_loop_that_is_late_while_another_process_captures_is_not_late_because_of_capture() -> None:
    guard = Guard(GuardConfig(stall_ms=100), 2)
    for n in range(6):
        guard.tick(Usage(n * S, n * S, late_ns=S // 2, beside_ns=n * S))
    assert guard.off is None
    for n in range(6, 9):
        guard.tick(Usage(n * S, n * S, late_ns=S // 2, beside_ns=6 * S))
    assert guard.off == "watchdog"
