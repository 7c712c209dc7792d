"""The performance: pairs on every build, happens-before, the breaker, and a ledger that adds up whatever happens."""

from __future__ import annotations

import asyncio
import dataclasses
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from replay.clients.base import Limits
from replay.outcome import Performance
from replay.pace import Closed, Rate, Recorded
from replay.perform import Performer
from tests.support.replaying import perform_on
from tests.support.rude import ANSWERS, Rude, exchange, get, rude_server

pytestmark = pytest.mark.net

LIMITS = Limits(timeout_ns=300_000_000, first_byte_timeout_ns=150_000_000, body_bytes_max=2000, head_bytes_max=10_000)
DEAD = Rude(9)  # the discard port: nothing listens there


def test_every_build_gets_every_request_with_its_own_host_and_trace() -> None:
    async def main() -> tuple[list[Performance], Rude, Rude]:
        async with rude_server() as current, rude_server() as candidate:
            done = await perform_on(
                {"current": current, "candidate": candidate}, [exchange(n, get(f"/ok?{n}")) for n in range(30)]
            )
            return done, current, candidate

    done, current, candidate = asyncio.run(main())
    assert [p.position for p in done] == list(range(30))
    for server in (current, candidate):
        assert sorted(head.split()[1] for head in server.requests) == sorted(b"/ok?%d" % n for n in range(30))
        assert all(b"\r\nHost: 127.0.0.1:%d\r\n" % server.port in head for head in server.requests)
    traces = {outcome.traceparent for p in done for outcome in p.outcomes}
    assert len(traces) == 60
    assert {o.order for p in done for o in p.outcomes} == {0, 1}
    assert {p.outcomes[0].order for p in done} == {0, 1}


def test_a_recording_server_gets_exactly_the_recorded_bytes_but_for_the_documented_changes() -> None:
    request = get(
        "/a%2Fb/../x?q=%7E", ("X-Z", "1"), ("x-a", "caf\xe9"), ("X-Z", "2"), ("Content-Length", "4"),
        method="POST", body=b"\x00\xffab",
    )  # fmt: skip

    async def main() -> tuple[bytes, str]:
        async with rude_server() as current, rude_server() as candidate:
            (done,) = await perform_on({"current": current, "candidate": candidate}, [exchange(0, request)])
            return bytes(current.received[0]), done.outcomes[0].traceparent

    got, trace = asyncio.run(main())
    port = got.split(b"127.0.0.1:")[1].split(b"\r\n")[0]
    assert got == (
        b"POST /a%2Fb/../x?q=%7E HTTP/1.1\r\nHost: 127.0.0.1:" + port + b"\r\nX-Z: 1\r\nx-a: caf\xe9\r\nX-Z: 2\r\n"
        b"Content-Length: 4\r\ntraceparent: " + trace.encode() + b"\r\nX-Understudy-Replay: run/log-0\r\n\r\n\x00\xffab"
    )


def test_a_request_waits_for_the_answer_that_it_followed_on_each_build() -> None:
    seen: list[str] = []

    def slow(name: str) -> Any:
        async def answer(head: bytes) -> list[bytes | float | str]:
            number = head.split()[1].decode()
            seen.append(f"{name}{number}")
            return [0.02 if name == "candidate" else 0.0, *ANSWERS["/ok"]]

        return answer

    async def main() -> None:
        async with rude_server(slow("current")) as current, rude_server(slow("candidate")) as candidate:
            recorded = [exchange(n, get(f"/{n}"), start_ms=n * 10, took_ms=5) for n in range(4)]
            await perform_on({"current": current, "candidate": candidate}, recorded, Closed(10))

    asyncio.run(main())
    for name in ("current", "candidate"):
        assert [item for item in seen if item.startswith(name)] == [f"{name}/{n}" for n in range(4)]
    # Both builds are asked at nearly the same moment: nobody is a request ahead.
    assert all({seen[2 * n], seen[2 * n + 1]} == {f"current/{n}", f"candidate/{n}"} for n in range(4))


def test_a_slow_build_holds_the_others_back_for_a_bounded_time_only() -> None:
    async def hang(_: bytes) -> list[bytes | float | str]:
        return ["silence"]

    async def main() -> tuple[list[Performance], Performer]:
        out: list[Performer] = []
        async with rude_server() as current, rude_server(hang) as candidate:
            recorded = [exchange(n, get("/ok"), start_ms=n * 10, took_ms=5) for n in range(3)]
            done = await perform_on(
                {"current": current, "candidate": candidate},
                recorded,
                limits=dataclasses.replace(LIMITS, first_byte_timeout_ns=300_000_000),
                performer_out=out,
                pair_wait_ns=50_000_000,
            )
        return done, out[0]

    done, performer = asyncio.run(main())
    assert performer.splits >= 1
    sent = [[outcome.sent_ns for outcome in p.outcomes] for p in done]
    assert sent[1][0] < done[0].outcomes[1].end_ns <= sent[1][1]
    assert [p.outcomes[1].failure.kind for p in done] == ["timeout"] * 3
    assert [p.outcomes[0].failure for p in done] == [None] * 3


def test_a_dead_candidate_fails_loudly_and_the_breaker_stops_the_rest() -> None:
    async def main() -> list[Performance]:
        async with rude_server() as current:
            return await perform_on(
                {"current": current, "candidate": DEAD},
                [exchange(n, get("/ok"), session=str(n)) for n in range(50)],
                Closed(1),
                breaker_failures=5,
            )

    done = asyncio.run(main())
    assert [p.outcomes[1].failure.kind for p in done if p.outcomes] == ["refused"] * 5
    assert [p.skipped for p in done if not p.outcomes] == ["breaker"] * 45


def test_one_dead_candidate_of_two_is_not_sent_to_but_has_its_outcomes() -> None:
    async def main() -> list[Performance]:
        async with rude_server() as current, rude_server() as alive:
            return await perform_on(
                {"current": current, "candidate": alive, "candidate-2": DEAD},
                [exchange(n, get("/ok"), session=str(n)) for n in range(20)],
                Closed(1),
                breaker_failures=3,
            )

    done = asyncio.run(main())
    assert all(p.outcomes[1].failure is None for p in done)
    failures = [p.outcomes[2].failure for p in done]
    assert [f.phase for f in failures] == ["connect"] * 3 + ["breaker"] * 17
    assert all(p.outcomes[2].sent_ns is None for p in done)


def test_a_candidate_that_dies_on_the_way_leaves_a_ledger_that_adds_up() -> None:
    async def main() -> list[Performance]:
        count = 0

        async def dying(_: bytes) -> list[bytes | float | str]:
            nonlocal count
            count += 1
            return ANSWERS["/ok"] if count <= 5 else ["reset"]

        async with rude_server() as current, rude_server(dying) as candidate:
            recorded = [exchange(n, get("/ok"), session=str(n)) for n in range(20)]
            return await perform_on({"current": current, "candidate": candidate}, recorded, Closed(1))

    done = asyncio.run(main())
    assert [p.outcomes[1].failure is None for p in done] == [True] * 5 + [False] * 15
    assert {p.outcomes[1].failure.kind for p in done[5:]} == {"reset"}


PATHS = [
    "/ok",
    "/chunked",
    "/close",
    "/reset",
    "/cut-in-body",
    "/garbage",
    "/large",
    "/ok-then-close",
    "/reset-in-body",
]


@settings(max_examples=15)
@given(st.lists(st.tuples(st.sampled_from(PATHS), st.sampled_from("ab"), st.booleans()), min_size=1, max_size=12))
def test_the_ledger_adds_up_for_every_mix_of_outcomes(steps: list[tuple[str, str, bool]]) -> None:
    async def main() -> None:
        async with rude_server() as current, rude_server() as candidate:
            recorded = [
                exchange(n, get(path, method="GET" if safe else "POST"), session=session)
                for n, (path, session, safe) in enumerate(steps)
            ]
            done = await perform_on(
                {"current": current, "reference": current, "candidate": candidate},
                recorded,
                limits=LIMITS,
                allow_writes=False,
            )
            assert len(done) == len(steps)

    asyncio.run(main())


def test_a_fixed_rate_sends_on_time_whatever_the_builds_do() -> None:
    async def stalling(head: bytes) -> list[bytes | float | str]:
        return [0.3, *ANSWERS["/ok"]] if b"/20 " in head else ANSWERS["/ok"]

    async def main() -> list[Performance]:
        async with rude_server() as current, rude_server(stalling) as candidate:
            recorded = [exchange(n, get(f"/{n}"), session=str(n)) for n in range(60)]
            return await perform_on({"current": current, "candidate": candidate}, recorded, Rate(200))

    done = asyncio.run(main())
    planned = [p.outcomes[0].planned_ns for p in done]
    assert [b - a for a, b in pairwise(planned)] == [5_000_000] * 59
    assert all(outcome.sent_ns >= outcome.planned_ns for p in done for outcome in p.outcomes)


def test_a_stall_of_the_server_is_charged_to_every_request_that_it_held_up() -> None:
    """Coordinated omission: one session, a server that stalls once for 400 ms."""

    async def stalling(head: bytes) -> list[bytes | float | str]:
        return [0.4, *ANSWERS["/ok"]] if b"/10 " in head else ANSWERS["/ok"]

    async def main() -> list[Performance]:
        async with rude_server(stalling) as current, rude_server(stalling) as candidate:
            recorded = [exchange(n, get(f"/{n}"), start_ms=n * 5, took_ms=1) for n in range(60)]
            return await perform_on({"current": current, "candidate": candidate}, recorded, Recorded(1.0))

    outcomes = [p.outcomes[0] for p in asyncio.run(main())]
    service = sorted(o.latency_ns for o in outcomes if o.latency_ns is not None)
    from_plan = sorted(o.latency_from_plan_ns for o in outcomes)
    # Only one request was slow to be answered, but some fifty were due while it was: they waited, and it shows.
    assert service[-1] >= 400_000_000 > service[-2] * 2
    assert from_plan[len(from_plan) // 2] >= 100_000_000


def test_stopping_finishes_what_is_in_flight_and_begins_nothing_more() -> None:
    async def main() -> tuple[list[Performance], int]:
        out: list[Performer] = []
        count = 0

        async def counting(_: bytes) -> list[bytes | float | str]:
            nonlocal count
            count += 1
            if count == 10:
                out[0].stop("enough")
            return [0.01, *ANSWERS["/ok"]]

        async with rude_server(counting) as current, rude_server(counting) as candidate:
            recorded = [exchange(n, get("/ok"), session=str(n % 7)) for n in range(500)]
            done = await perform_on(
                {"current": current, "candidate": candidate}, recorded, Closed(4), performer_out=out
            )
        return done, count

    done, count = asyncio.run(main())
    assert 5 <= len(done) <= 10
    assert count == 2 * len(done)


def test_a_plan_that_cannot_be_read_further_ends_with_its_error_after_what_was_sent() -> None:
    async def main() -> list[Performance]:
        out: list[Performer] = []
        async with rude_server() as current, rude_server() as candidate:

            def recorded() -> Any:
                yield from (exchange(n, get("/ok")) for n in range(5))
                raise OSError("the disk is gone")

            with pytest.raises(OSError, match="the disk is gone"):
                await perform_on({"current": current, "candidate": candidate}, recorded(), performer_out=out)
        return [out[0].sent]  # type: ignore[list-item]

    assert asyncio.run(main()) == [5]


def test_no_more_than_the_bound_is_held_in_memory() -> None:
    async def main() -> int:
        taken = 0

        def recorded() -> Any:
            nonlocal taken
            for n in range(300):
                taken += 1
                yield exchange(n, get("/ok"), start_ms=0, took_ms=1)

        out: list[Performer] = []
        async with rude_server() as current, rude_server() as candidate:
            highest = 0

            def watch(_: Performance) -> None:
                nonlocal highest
                highest = max(highest, taken - out[0].planned)

            task = asyncio.create_task(
                perform_on(
                    {"current": current, "candidate": candidate},
                    recorded(),
                    Rate(1e6),
                    performer_out=out,
                    waiting_max=10,
                )
            )
            while not task.done():
                await asyncio.sleep(0)
                if out:
                    watch(None)  # type: ignore[arg-type]
            await task
        return highest

    assert asyncio.run(main()) <= 11


def test_what_does_not_end_after_stopping_is_left_without_an_outcome() -> None:
    async def hang(_: bytes) -> list[bytes | float | str]:
        out[0].stop("enough")
        return ["silence"]

    out: list[Performer] = []

    async def main() -> list[Performance]:
        async with rude_server(hang) as current, rude_server(hang) as candidate:
            return await perform_on(
                {"current": current, "candidate": candidate},
                [exchange(0, get("/"))],
                performer_out=out,
                drain_ns=100_000_000,
            )

    assert asyncio.run(main()) == []
    assert out[0].planned == 0


def test_a_reference_that_is_the_current_process_is_asked_after_the_answer_of_the_first() -> None:
    under_way: set[bytes] = set()
    together: list[bytes] = []
    most = 0

    async def slow(head: bytes) -> list[bytes | float | str]:
        nonlocal most
        target = head.split()[1]
        if target in under_way:
            together.append(target)
        under_way.add(target)
        most = max(most, len(under_way))
        await asyncio.sleep(0.005)
        under_way.discard(target)
        return ANSWERS["/ok"]

    async def main() -> list[Performance]:
        async with rude_server(slow) as current, rude_server() as candidate:
            recorded = [exchange(n, get(f"/{n}"), session=str(n % 5), start_ms=n * 10, took_ms=5) for n in range(40)]
            servers = {"current": current, "reference": current, "candidate": candidate}
            return await perform_on(servers, recorded, Closed(4))

    done = asyncio.run(main())
    assert together == []
    assert most <= 4
    firsts = set()
    for performance in done:
        current, reference, _ = performance.outcomes
        first, then = sorted((current, reference), key=lambda outcome: outcome.order)
        firsts.add(first.build)
        assert then.planned_ns >= first.end_ns
        assert then.sent_ns >= then.planned_ns
    assert firsts == {"current", "reference"}


def test_a_reference_of_a_process_of_its_own_is_asked_at_the_same_moment() -> None:
    async def main() -> list[Performance]:
        async with rude_server() as current, rude_server() as reference, rude_server() as candidate:
            servers = {"current": current, "reference": reference, "candidate": candidate}
            return await perform_on(servers, [exchange(n, get("/ok")) for n in range(10)])

    assert all(len({outcome.planned_ns for outcome in p.outcomes}) == 1 for p in asyncio.run(main()))


@pytest.mark.parametrize("stopping", [False, True])
def test_the_answer_of_the_first_is_waited_for_a_bounded_time_only(stopping: bool) -> None:
    out: list[Performer] = []

    async def hang(_: bytes) -> list[bytes | float | str]:
        if stopping:
            out[0].stop("enough")
        return ["silence"]

    async def main() -> list[Performance]:
        async with rude_server(hang) as current, rude_server() as candidate:
            servers = {"current": current, "reference": current, "candidate": candidate}
            return await perform_on(
                servers,
                [exchange(0, get("/ok"))],
                limits=dataclasses.replace(LIMITS, timeout_ns=3_000_000_000, first_byte_timeout_ns=2_000_000_000),
                pair_wait_ns=50_000_000,
                performer_out=out,
            )

    (done,) = asyncio.run(main())
    current, reference, candidate = done.outcomes
    first, then = sorted((current, reference), key=lambda outcome: outcome.order)
    assert first.sent_ns < then.sent_ns < first.end_ns
    assert [o.failure.kind for o in (current, reference)] == ["timeout", "timeout"]
    assert candidate.failure is None
    assert out[0].splits == 1
