"""The schedule: due times over loops of a plan, and where a resumed run begins."""

from __future__ import annotations

import msgspec

from replay.pace import Rate, Recorded
from replay.plan import Planned
from replay.schedule import Schedule
from tests.support.rude import exchange, get


def planned(position: int, offset_ns: int) -> Planned:
    return Planned(position, exchange(position, get("/")), offset_ns)


def test_a_loop_begins_where_the_one_before_ended() -> None:
    schedule = Schedule(Recorded(2.0), 1000)
    plan = [planned(0, 0), planned(1, 60)]
    assert [schedule.next_ns(n, item) for n in range(3) for item in plan] == [1000, 1030, 1030, 1060, 1060, 1090]


def test_a_request_that_is_not_sent_moves_the_recorded_schedule_and_not_the_rate() -> None:
    schedule = Schedule(Rate(1e9), 0)
    assert schedule.next_ns(0, planned(0, 0)) == 0
    schedule.pass_by(0, msgspec.structs.replace(planned(1, 500), skipped="unsafe_method"))
    assert schedule.next_ns(0, planned(2, 900)) == 1
    schedule.pass_by(0, planned(3, 950))  # another process sends it
    assert schedule.next_ns(0, planned(4, 990)) == 3


def test_a_resumed_schedule_begins_at_the_first_request_that_is_left() -> None:
    schedule = Schedule(Recorded(), 1000)
    for item in (planned(7, 700), planned(8, 800)):
        schedule.begin_at(0, item)
        assert schedule.next_ns(0, item) == 1000 + item.offset_ns - 700
    assert schedule.next_ns(1, planned(0, 0)) == 1100


def test_a_resumed_rate_begins_at_once_whatever_other_processes_had_sent_before() -> None:
    schedule = Schedule(Rate(10), 1000)
    for position in range(500):
        schedule.pass_by(0, planned(position, 0))
    schedule.begin_at(0, planned(500, 0))
    assert schedule.next_ns(0, planned(500, 0)) == 1000
    schedule.pass_by(0, planned(501, 0))
    assert schedule.next_ns(0, planned(502, 0)) == 1000 + 200_000_000


def test_a_process_of_several_that_goes_on_in_a_later_loop_begins_there_too() -> None:
    schedule = Schedule(Recorded(), 1000)
    schedule.pass_by(0, planned(0, 0))  # of another process
    schedule.pass_by(0, planned(1, 500))
    schedule.begin_at(1, planned(0, 20))
    assert [schedule.next_ns(1, item) for item in (planned(0, 20), planned(1, 500))] == [1000, 1480]


def test_silences_are_shortened_to_the_longest_pause_and_the_rest_keeps_its_gaps() -> None:
    schedule = Schedule(Recorded(2.0, pause_max_ns=100), 1000)
    offsets = [0, 100, 300, 3_000_300, 3_000_310, 9_000_000, 9_000_020]
    due = [schedule.next_ns(0, planned(number, offset)) for number, offset in enumerate(offsets)]
    assert due == [1000, 1050, 1150, 1250, 1255, 1355, 1365]
    assert schedule.shortened == 2
    assert schedule.left_out_ns == 9_000_020 - 2 * 365


def test_the_silence_before_the_first_request_that_a_resumed_run_has_left_is_none() -> None:
    schedule = Schedule(Recorded(1.0, pause_max_ns=100), 1000)
    schedule.begin_at(0, planned(7, 7000))
    assert [schedule.next_ns(0, planned(7, 7000)), schedule.next_ns(0, planned(8, 9000))] == [1000, 1100]
    assert (schedule.shortened, schedule.left_out_ns) == (1, 1900)
