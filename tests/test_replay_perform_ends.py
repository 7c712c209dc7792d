"""How a performance ends where the one who keeps it fails, or where something goes wrong that never should."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from capture.errors import RunFailed
from replay.outcome import Performance
from replay.pace import Closed, Pace, Rate
from replay.perform import Performer
from tests.support.replaying import perform_on
from tests.support.rude import exchange, get, rude_server

pytestmark = pytest.mark.net


def performed(pace: Pace, **how: Any) -> Performer:
    """100 requests on two builds; the performer, also where `perform` raises what `how` makes it raise."""
    out: list[Performer] = []
    logged: list[dict[str, Any]] = []

    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: logged.append(context))
        async with rude_server() as current, rude_server() as candidate:
            recorded = [exchange(n, get("/ok"), session=str(n)) for n in range(100)]
            builds = {"current": current, "candidate": candidate}
            with pytest.raises((RunFailed, ZeroDivisionError), match=r"full|zero"):
                async with asyncio.timeout(60):
                    await perform_on(builds, recorded, pace, performer_out=out, **how)

    asyncio.run(main())
    assert logged == []
    return out[0]


@pytest.mark.parametrize("pace", [Closed(3), Rate(1e5)], ids=["closed loop", "rate"])
def test_a_recorder_that_has_failed_ends_the_performance_after_what_is_in_flight(pace: Pace) -> None:
    kept: list[Performance] = []

    def clear() -> bool:
        if len(kept) >= 10:
            raise RunFailed("the disk is full")
        return True

    performer = performed(pace, clear=clear, record=kept.append, waiting_max=5)
    assert len(kept) == performer.sent
    assert performer.active == 0


def test_an_error_that_nobody_expected_ends_the_performance_and_is_raised() -> None:
    taken: list[Performance] = []

    def record(performance: Performance) -> None:
        taken.append(performance)
        if len(taken) == 10:
            raise ZeroDivisionError("division by zero")

    performer = performed(Closed(3), record=record)
    assert performer.stopped == "abandoned"
