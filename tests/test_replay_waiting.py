"""Pairs that wait: for the answers before them, and for builds that are behind."""

from __future__ import annotations

from replay.outcome import Outcome
from replay.pair import Pair
from replay.plan import Planned
from replay.waiting import Waiting
from tests.support.rude import exchange, get


def pair(position: int, *waits_for: int) -> Pair:
    return Pair(Planned(position, exchange(position, get("/")), 0, waits_for), 0, 2, (0, 1))


def test_a_pair_waits_until_every_build_has_answered_what_was_before() -> None:
    waiting = Waiting(2)
    first, second = pair(0), pair(1, 0)
    assert waiting.admit(first)
    assert not waiting.admit(second)
    assert second.blocked == [1, 1]
    waiting.release(first, 0, 5)
    assert not waiting.ready
    waiting.release(first, 1, 9)
    assert list(waiting.ready) == [second]
    assert second.blocked is None
    assert second.ready_ns == 9


def test_builds_that_are_ready_go_on_alone_after_the_bound() -> None:
    waiting = Waiting(2)
    first, second = pair(0), pair(1, 0)
    waiting.admit(first)
    waiting.admit(second)
    waiting.release(first, 1, 100)
    waiting.part(199, 100)
    assert not waiting.ready
    waiting.part(200, 100)
    assert list(waiting.ready) == [second]
    assert (waiting.splits, waiting.held_back_ns) == (1, 100)
    assert second.blocked == [1, 0]


def test_what_waits_for_a_pair_that_is_not_sent_is_let_go() -> None:
    waiting = Waiting(2)
    first, second = pair(0), pair(1, 0)
    waiting.admit(first)
    waiting.admit(second)
    waiting.forget(first)
    waiting.release_all(first, 3)
    assert list(waiting.ready) == [second]
    waiting.forget(second)
    assert not waiting.pairs
    assert waiting.held_bytes == 0


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
