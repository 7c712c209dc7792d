"""The rate cap of a build: never more in a second than allowed, and only that build waits for it."""

from __future__ import annotations

import asyncio
import bisect
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capture.clock import Clock
from replay.clients.base import Endpoint, Job, Limits
from replay.clients.h2 import H2Client
from replay.clients.throttle import Bucket, Throttle
from replay.clients.wire import WireClient
from replay.outcome import Performance
from replay.pace import Rate
from replay.perform import Performer
from tests.support.h2_server import h2_server
from tests.support.replaying import perform_on
from tests.support.rude import ANSWERS, Rude, exchange, get, rude_server

_S = 1_000_000_000


def taken(rate: float, lateness_ns: list[int], count: int) -> list[int]:
    """When a caller that wants all it can have, and is woken late by turns, takes `count` tokens."""
    bucket, now, found = Bucket(rate), 5, []
    for number in range(4 * count):
        wait = bucket.take(now)
        if not wait:
            found.append(now)
            if len(found) == count:
                return found
        else:
            now += wait + lateness_ns[number % len(lateness_ns)]
    raise AssertionError("the time that it says to wait is not enough")


@given(
    st.one_of(st.integers(1, 5000).map(float), st.floats(0.05, 3000)),
    st.lists(st.integers(0, 30_000_000), min_size=1, max_size=7),
)
def test_no_second_has_more_than_the_rate_however_late_the_caller_is(rate: float, lateness_ns: list[int]) -> None:
    times = taken(rate, lateness_ns, min(3 * math.ceil(rate), 6000) + 2)
    for first, at in enumerate(times):
        assert bisect.bisect_left(times, at + _S) - first <= math.ceil(rate)


@pytest.mark.parametrize("rate", [0.5, 1.0, 7.0, 99.0, 100.0, 250.0, 1000.0, 20_000.0])
def test_the_rate_is_reached(rate: float) -> None:
    count = max(int(3 * rate), 5)
    times = taken(rate, [0], count)
    assert (count - 1) / ((times[-1] - times[0]) / _S) >= 0.98 * rate


def test_what_was_not_used_is_not_saved_up() -> None:
    bucket = Bucket(10.0)
    assert bucket.take(0) == 0
    assert bucket.take(3600 * _S) == 0
    assert bucket.take(3600 * _S) == _S // 10


@pytest.mark.net
def test_only_the_capped_build_waits_and_its_latency_from_the_plan_says_so() -> None:
    arrived: list[int] = []
    clock = Clock()

    async def counting(_head: bytes) -> list[bytes | float | str]:
        arrived.append(clock.now_ns())
        return ANSWERS["/ok"]

    async def main() -> tuple[list[Performance], Performer, int]:
        out: list[Performer] = []
        async with rude_server() as current, rude_server(counting) as candidate:
            began = clock.now_ns()
            done = await perform_on(
                {"current": current, "candidate": candidate},
                [exchange(n, get(f"/ok?{n}"), session=str(n)) for n in range(16)],
                Rate(2000),
                rates={"candidate": 20.0},
                performer_out=out,
            )
            return done, out[0], began

    done, performer, began = asyncio.run(main())
    assert len(arrived) == 16
    # Whatever holds an arrival up, there are never more of them than the cap had let go by then.
    assert all(at - began >= number * _S // 20 for number, at in enumerate(arrived))
    assert [p.outcomes[1].failure for p in done] == [None] * 16
    last_current, last_candidate = done[-1].outcomes
    assert last_current.sent_ns is not None
    assert last_candidate.sent_ns is not None
    assert last_candidate.end_ns - last_candidate.planned_ns > _S // 2
    assert last_current.sent_ns < last_candidate.sent_ns - _S // 4
    assert performer.splits == 0


@pytest.mark.net
def test_in_a_session_the_other_build_waits_for_the_pair_bound_and_the_run_says_how_long() -> None:
    async def main() -> tuple[list[Performance], Performer]:
        out: list[Performer] = []
        async with rude_server() as current, rude_server() as candidate:
            done = await perform_on(
                {"current": current, "candidate": candidate},
                [exchange(n, get(f"/ok?{n}"), start_ms=n * 10, took_ms=5) for n in range(3)],
                Rate(1000),
                rates={"candidate": 1.0},
                performer_out=out,
                pair_wait_ns=50_000_000,
            )
            return done, out[0]

    done, performer = asyncio.run(main())
    assert performer.splits >= 1
    assert performer.held_back_ns >= 50_000_000
    last_current, middle_candidate = done[2].outcomes[0].sent_ns, done[1].outcomes[1].sent_ns
    assert last_current is not None
    assert middle_candidate is not None
    assert last_current < middle_candidate


@pytest.mark.net
def test_both_caps_hold_together() -> None:
    """A request that waits for a connection is not counted yet, so none comes in a burst when one is free again."""
    under_way = most = 0
    arrived: list[int] = []
    clock = Clock()

    async def slow(_head: bytes) -> list[bytes | float | str]:
        nonlocal under_way, most
        arrived.append(clock.now_ns())
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0.15 if len(arrived) <= 2 else 0)
        under_way -= 1
        return ANSWERS["/ok"]

    async def main() -> tuple[int, list[int]]:
        async with rude_server(slow) as rude:
            done = await perform_on(
                {"current": rude},
                [exchange(n, get(f"/ok?{n}"), session=str(n)) for n in range(12)],
                Rate(2000),
                limits=Limits(connections_max=2),
                rates={"current": 40.0},
            )
            return len(rude.received), sorted(p.outcomes[0].sent_ns or 0 for p in done)

    connections, sent = asyncio.run(main())
    assert connections <= 2
    assert most <= 2
    assert len(arrived) == 12
    # The two slow ones hold both connections; what is let go afterwards is let go at the rate again.
    assert sent[-1] - sent[2] >= 9 * _S // 40 // 2


@pytest.mark.net
def test_what_waits_when_it_is_closed_ends_as_a_failure() -> None:
    async def main() -> tuple[list[Job], Rude]:
        async with rude_server() as rude:
            clock = Clock()
            client = Throttle(WireClient(rude.endpoint, Limits(), clock), 0.01, 256, clock)
            await client.open()
            landed: list[Job] = []
            first = asyncio.get_running_loop().create_future()
            client.perform(Job(get("/ok"), first.set_result))
            for _ in range(3):
                client.perform(Job(get("/ok"), landed.append))
            await asyncio.wait_for(first, 10)
            assert not landed
            await client.close()
            return landed, rude

    landed, rude = asyncio.run(main())
    assert [job.failure.detail for job in landed if job.failure] == ["the replay was ended"] * 3
    assert [job.sent_ns for job in landed] == [None] * 3
    assert len(rude.requests) == 1


@pytest.mark.net
def test_over_one_connection_of_http2_the_rate_holds_too() -> None:
    async def main() -> tuple[list[Job], int, int]:
        async with h2_server() as server:
            clock = Clock()
            h2 = H2Client(Endpoint("h2c", "127.0.0.1", server.port, "shop"), Limits(connections_max=1), clock)
            client = Throttle(h2, 40.0, None, clock)
            await client.open()
            futures: list[asyncio.Future[Job]] = [asyncio.get_running_loop().create_future() for _ in range(10)]
            began = clock.now_ns()
            for number, future in enumerate(futures):
                client.perform(Job(get(f"/{number}"), future.set_result))
            try:
                return await asyncio.wait_for(asyncio.gather(*futures), 20), began, server.connections
            finally:
                await client.close()

    jobs, began, connections = asyncio.run(main())
    assert connections == 1
    assert [job.failure for job in jobs] == [None] * 10
    assert all((job.sent_ns or 0) - began >= number * _S // 40 for number, job in enumerate(jobs))
