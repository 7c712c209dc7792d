"""How long the loop lets wait what has happened: every moment counts, also those that a stop went over."""

from __future__ import annotations

import asyncio
import itertools

from replay.lag import Lag

MS = 1_000_000


def lag(under_way: int = 0) -> Lag:
    return Lag(itertools.count().__next__, lambda: under_way)


def test_a_stop_weighs_as_much_as_the_moments_that_it_went_over() -> None:
    measured = lag()
    for _ in range(800):
        measured.note(20_000)
    measured.note(2000 * MS)
    assert measured.waits.count == 800 + 201
    assert measured.waits.max == 2000 * MS
    assert measured.waits.quantile(0.5) < MS
    assert 990 * MS < measured.waits.quantile(0.9) < 1010 * MS
    assert (measured.stalled_ns, measured.longest_ns) == (2000 * MS, 2000 * MS)


def test_only_a_pause_holds_up_what_is_under_way() -> None:
    measured = lag(under_way=7)
    measured.note(99 * MS)
    assert measured.held_up == 0
    measured.note(100 * MS)
    measured.note(3000 * MS)
    assert measured.held_up == 14


def test_a_machine_that_slept_for_a_month_is_one_wait_and_bounded_memory() -> None:
    measured = lag()
    measured.note(30 * 86_400_000 * MS)
    assert measured.waits.count == 100_000
    assert measured.longest_ns == 30 * 86_400_000 * MS


def test_it_looks_again_and_again_until_it_is_closed() -> None:
    async def main() -> Lag:
        loop = asyncio.get_running_loop()
        enough = asyncio.Event()

        def now_ns() -> int:
            if measured.waits.count >= 5:
                enough.set()
            return round(loop.time() * 1e9)

        measured = Lag(now_ns, lambda: 0)
        measured.open()
        async with asyncio.timeout(60):
            await enough.wait()
        measured.close()
        return measured

    assert asyncio.run(main()).waits.count >= 5
