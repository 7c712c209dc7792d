"""Who held up the schedule: the builds that most of what waited was waiting for."""

from __future__ import annotations

import asyncio
from collections import Counter
from types import SimpleNamespace
from typing import Any

import pytest

from replay.backlog import Backlog
from replay.pace import Rate
from replay.perform import Performer
from tests.support.replaying import perform_on
from tests.support.rude import ANSWERS, exchange, get, rude_server


def stage(name: str, answered: int, failed: int = 0) -> Any:
    return SimpleNamespace(name=name, answered=answered, failed=Counter(reset=failed))


def test_the_build_that_owes_most_answers_is_named_with_how_long_nothing_was_begun() -> None:
    backlog = Backlog([stage("current", 95), stage("candidate", 10, failed=5)])
    backlog.full(1000)
    backlog.full(1500)
    backlog.note(2000, begun=100)
    assert backlog.room_ns == 0
    backlog.note(3000, begun=100)
    backlog.room(3100)
    backlog.note(4000, begun=100)
    backlog.room(4000)
    assert backlog.held_up_ns == {"candidate": 2000}
    assert backlog.room_ns == 3100


def test_builds_that_owe_about_as_much_are_named_together() -> None:
    backlog = Backlog([stage("current", 40), stage("candidate", 10)])
    for at in (0, 100):
        backlog.full(at + 1)
        backlog.note(at + 11, begun=100)
        backlog.room(at + 11)
    assert backlog.held_up_ns == {"current": 20, "candidate": 20}


def test_where_there_always_was_room_nobody_is_named() -> None:
    backlog = Backlog([stage("current", 0)])
    backlog.note(5, begun=1)
    backlog.room(5)
    assert (backlog.held_up_ns, backlog.room_ns) == ({}, 0)


@pytest.mark.net
def test_a_slow_candidate_holds_up_the_schedule_and_the_generator_is_not_called_late_for_it() -> None:
    out: list[Performer] = []

    async def slow(_: bytes) -> list[bytes | float | str]:
        return [0.05, *ANSWERS["/ok"]]

    async def main() -> None:
        async with rude_server() as current, rude_server(slow) as candidate:
            recorded = [exchange(n, get("/ok"), session=str(n)) for n in range(30)]
            builds = {"current": current, "candidate": candidate}
            await perform_on(builds, recorded, Rate(1e5), waiting_max=5, performer_out=out)

    asyncio.run(main())
    (performer,) = out
    held_up = performer.backlog.held_up_ns
    assert held_up["candidate"] > 2 * held_up["current"]
    # All are due at once: the last one is late for what the candidate held up and for what the generator did.
    assert performer.own_lateness.max + held_up["candidate"] // 2 <= performer.lateness.max
