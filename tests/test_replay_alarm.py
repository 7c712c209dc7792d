"""The alarm: rings once, after the time that was set last, whatever timers the system has."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import pytest
import uvloop

from replay.alarm import Alarm


@pytest.fixture(params=["timer descriptor", "the loop's timers"])
def run(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    if request.param == "the loop's timers":
        monkeypatch.setattr(sys, "platform", "darwin")
    return uvloop.run


def test_it_rings_after_the_time_that_was_set_and_not_before(run: Any) -> None:
    async def main() -> float:
        loop = asyncio.get_running_loop()
        rung: asyncio.Future[float] = loop.create_future()
        alarm = Alarm(lambda: rung.set_result(loop.time()))
        began = loop.time()
        alarm.set(20_000_000)
        after = await asyncio.wait_for(rung, 10) - began
        alarm.close()
        return after

    assert run(main()) >= 0.018  # the loop's clock counts milliseconds


def test_only_the_time_that_was_set_last_counts_and_it_can_be_set_again(run: Any) -> None:
    async def main() -> int:
        rings: asyncio.Queue[None] = asyncio.Queue()
        alarm = Alarm(lambda: rings.put_nowait(None))
        alarm.set(3600_000_000_000)
        alarm.set(1)
        await asyncio.wait_for(rings.get(), 10)
        alarm.set(1_000_000)
        await asyncio.wait_for(rings.get(), 10)
        alarm.close()
        return rings.qsize()

    assert run(main()) == 0


def test_it_does_not_ring_once_it_is_closed(run: Any) -> None:
    async def main() -> list[None]:
        rings: list[None] = []
        alarm = Alarm(lambda: rings.append(None))
        alarm.set(1_000)
        alarm.close()
        alarm.close()
        later = asyncio.Event()
        asyncio.get_running_loop().call_later(0.01, later.set)
        await later.wait()
        return rings

    assert run(main()) == []
