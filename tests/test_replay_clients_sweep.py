"""What has run out of time is ended, but never because the generator stood still while the answer came."""

from __future__ import annotations

import asyncio
import itertools
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from replay.clients.base import Limits
from replay.clients.sweep import Sweep
from replay.run import open_run
from tests.support.replaying import serving, write_log
from tests.support.rude import ANSWERS, exchange, get

LIMITS = Limits(timeout_ns=200_000_000, first_byte_timeout_ns=200_000_000)


def test_on_a_loop_that_is_always_late_time_runs_out_nevertheless() -> None:
    seconds = itertools.count()
    looks = 0

    async def main() -> None:
        enough = asyncio.Event()

        def look() -> None:
            nonlocal looks
            looks += 1
            if looks == 3:
                enough.set()

        sweep = Sweep(LIMITS, lambda: next(seconds) * 1_000_000_000, look)
        try:
            async with asyncio.timeout(60):
                await enough.wait()
        finally:
            sweep.close()

    asyncio.run(main())
    assert looks >= 3


@pytest.mark.net
def test_answers_that_came_while_the_generator_was_stopped_are_no_timeouts(tmp_path: Path) -> None:
    started: list[subprocess.Popen[bytes]] = []
    asked = 0

    def go_on() -> None:
        started[0].send_signal(signal.SIGCONT)

    async def stopping(_: bytes) -> list[bytes | float | str]:
        nonlocal asked
        asked += 1
        if asked == 10:
            await asyncio.sleep(0.1)  # by then it does nothing but wait for answers
            started[0].send_signal(signal.SIGSTOP)
            threading.Timer(4.0, go_on).start()
        return [0.3, *ANSWERS["/ok"]]

    log = write_log(tmp_path / "log", [exchange(n, get("/ok"), session=str(n)) for n in range(40)])
    with serving(stopping) as current, serving() as candidate:
        command = ["replay", str(log), "--current", current.url, "--candidate", candidate.url]
        process = subprocess.Popen(
            [sys.executable, "-m", "understudy", *command, "--run", str(tmp_path / "run"), "--timeout", "2"],
            stdout=subprocess.DEVNULL,
        )
        started.append(process)
        try:
            assert process.wait(120) == 0
        finally:
            process.kill()
            process.wait()
    run = open_run(tmp_path / "run")
    assert run.ledger["failed"] == {"current": {}, "candidate": {}}
    assert "while the generator stood still" in run.manifest["generator"]["why"]
