"""Pairs that wait: for the answers before them, and for builds that are behind."""

from __future__ import annotations

import msgspec

from capture.exchange import Times
from replay.outcome import Outcome
from replay.pair import Pair
from replay.plan import Planned
from replay.waiting import Waiting
from tests.support.rude import exchange, get


def pair(position: int, *waits_for: int) -> Pair:
    return Pair(Planned(position, exchange(position, get("/")), 0, waits_for), 0, 2, (0, 1))


def two_of_a_session() -> tuple[Waiting, Pair, Pair]:
    """A pair, and one that waits for its answers on both builds."""
    waiting = Waiting(2)
    first, second = pair(0), pair(1, 0)
    assert waiting.admit(first)
    assert not waiting.admit(second)
    return waiting, first, second


def one_goes_on_alone() -> tuple[Waiting, Pair, Pair]:
    """The second build had answered; after the bound the pair behind is ready for that build alone."""
    waiting, first, second = two_of_a_session()
    waiting.release(first, 1, 100)
    waiting.part(200, 100)
    return waiting, first, second


def test_a_pair_waits_until_every_build_has_answered_what_was_before() -> None:
    waiting, first, second = two_of_a_session()
    assert second.blocked == [1, 1]
    waiting.release(first, 0, 5)
    assert not waiting.ready
    waiting.release(first, 1, 9)
    assert list(waiting.ready) == [second]
    assert second.blocked is None
    assert second.ready_ns == 9


def test_builds_that_are_ready_go_on_alone_after_the_bound() -> None:
    waiting, first, second = two_of_a_session()
    waiting.release(first, 1, 100)
    waiting.part(199, 100)
    assert not waiting.ready
    waiting.part(200, 100)
    assert list(waiting.ready) == [second]
    assert (waiting.splits, waiting.held_back_ns) == (1, 100)
    assert second.blocked == [1, 0]
    assert second.ready_ns == 200  # from here on it would be the generator that is late


def most_late_ns(waiting: Waiting, slow_takes: int, bound: int) -> int:
    """How late the fast build is at most in a session of 20, due each 600, that takes the other one slow_takes each.

    The fast one answers at once. Looked at each 50, as the performance does.
    """
    pairs = [pair(0), *(pair(n, n - 1) for n in range(1, 20))]
    late, behind = 0, {}
    for number, one in enumerate(pairs):
        one.due_ns = one.ready_ns = 600 * number
    todo = list(pairs)
    for now in range(0, 60_000, 50):
        while todo and todo[0].due_ns <= now:
            one = todo.pop(0)
            if waiting.admit(one):
                waiting.ready.append(one)
        waiting.part(now, bound)
        while True:
            while waiting.ready:
                one = waiting.ready.popleft()
                one.begun = one.begun or [False, False]
                for index in (0, 1):
                    if one.begun[index] or (one.blocked is not None and one.blocked[index]):
                        continue
                    one.begun[index] = True
                    if index == 0:
                        late = max(late, now - one.due_ns)
                        one.outcomes[0] = ANSWERED
                        waiting.release(one, 0, now)
                    else:
                        behind[one.key] = now + slow_takes
            over = next((key for key, at in behind.items() if at <= now), None)
            if over is None:
                break
            del behind[over]
            one = waiting.pairs[over]
            one.outcomes[1] = ANSWERED
            waiting.release(one, 1, now)
            waiting.forget(one)
    assert not waiting.pairs
    return late


ANSWERED = Outcome("b", "candidate", 0, None, None, 1, exchange(0, get("/")).response)


def test_in_a_schedule_a_slow_build_holds_back_a_session_for_the_bound_in_all_and_the_most_is_told() -> None:
    waiting = Waiting(2, slip_max_ns=1000)
    late = most_late_ns(waiting, 1500, 1000)
    assert 0 < waiting.held_back_ns <= late <= 1050
    assert waiting.splits > 0


def test_a_build_that_keeps_to_the_schedule_is_waited_for_each_time() -> None:
    waiting = Waiting(2, slip_max_ns=1000)
    assert most_late_ns(waiting, 600, 1000) == 0
    assert (waiting.splits, waiting.held_back_ns) == (0, 0)


def test_without_a_schedule_a_build_is_waited_for_at_each_request() -> None:
    waiting = Waiting(2)
    assert most_late_ns(waiting, 1500, 1000) > 1050
    assert most_late_ns(Waiting(2), 1500, 10_000) > 1050


def test_what_waits_for_a_pair_that_is_not_sent_is_let_go() -> None:
    waiting, first, second = two_of_a_session()
    waiting.forget(first)
    waiting.release_all(first, 3)
    assert list(waiting.ready) == [second]
    waiting.forget(second)
    assert not waiting.pairs
    assert waiting.held_bytes == 0


def test_a_pair_that_was_given_up_while_a_build_was_behind_is_not_begun_again_when_that_build_answers() -> None:
    waiting, first, second = one_goes_on_alone()
    waiting.ready.clear()
    waiting.forget(second)
    waiting.release(first, 0, 300)
    waiting.release_all(first, 400)
    assert not waiting.ready


def test_a_pair_that_goes_on_alone_is_not_begun_twice_where_the_other_build_is_ready_in_the_same_turn() -> None:
    waiting, first, second = one_goes_on_alone()
    waiting.release(first, 0, 200)
    assert list(waiting.ready) == [second]
    assert second.blocked is None


def test_what_is_finished_is_not_waited_for() -> None:
    waiting = Waiting(2)
    first = pair(0)
    waiting.admit(first)
    waiting.forget(first)
    assert waiting.admit(pair(1, 0))


def test_a_build_that_had_answered_before_the_pair_came_is_not_waited_for() -> None:
    waiting = Waiting(2)
    first, second = pair(0), pair(1, 0)
    waiting.admit(first)
    first.outcomes[1] = Outcome("b", "candidate", 0, None, None, 1, first.planned.exchange.response)
    assert not waiting.admit(second)
    assert second.blocked == [1, 0]
    waiting.part(10, 10)
    assert list(waiting.ready) == [second]


def stream(position: int, left_ms: int) -> Pair:
    one = exchange(position, get("/events"))
    start = one.times.request_start
    times = Times(start, start, start + 1, None, start + left_ms * 1_000_000)
    return Pair(Planned(position, msgspec.structs.replace(one, times=times), 0), 0, 2, (0, 1))


def beside(position: int, start_ms: int, *waits_for: int) -> Pair:
    return Pair(Planned(position, exchange(position, get("/"), start_ms=start_ms), 0, waits_for), 0, 2, (0, 1))


def test_what_production_sent_beside_a_stream_waits_until_it_is_open_and_no_longer() -> None:
    waiting = Waiting(2)
    one, during, after = stream(0, 100), beside(1, 50, 0), beside(2, 150, 0)
    waiting.admit(one)
    assert not waiting.admit(during)
    assert not waiting.admit(after)
    for index in (0, 1):
        one.opened = [index >= 0, index >= 1]
        waiting.release_beside(one, index, 5, lambda *_: True)
    assert list(waiting.ready) == [during]
    assert one.dependents == [after]
    assert waiting.admit(beside(3, 60, 0))  # it is open already
    waiting.release(one, 0, 9)
    waiting.release(one, 1, 9)
    assert list(waiting.ready) == [during, after]


def test_what_carries_a_value_of_a_stream_waits_until_each_build_has_given_it() -> None:
    waiting = Waiting(2)
    one, carries = stream(0, 100), beside(1, 50, 0)
    waiting.admit(one)
    waiting.admit(carries)
    one.opened = [True, True]
    waiting.release_beside(one, 0, 5, lambda *_: False)
    waiting.release_beside(one, 1, 5, lambda *_: True)
    waiting.release_beside(one, 1, 5, lambda *_: True)  # told again: it counts once
    assert carries.blocked == [1, 0]
    waiting.release(one, 1, 9)
    assert carries.blocked == [1, 0]
    waiting.release(one, 0, 9)  # the stream is over, and the value never came
    assert list(waiting.ready) == [carries]
