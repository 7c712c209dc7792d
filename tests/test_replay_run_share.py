"""A share from the command line: the caps of one build, and what a second Ctrl-C ends."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from capture.errors import UsageError
from replay.builds import Build
from replay.clients.base import Limits
from replay.run import open_run
from replay.run_share import Share, capped_limits
from tests.support.replaying import write_log
from tests.support.rude import ANSWERS, Rude, exchange, get, rude_server


class Hanging:
    """Two servers; while `hangs`, a request for /hang is never answered. most: connections in use at once, by build."""

    def __init__(self) -> None:
        self.hangs = True
        self.asked = 0
        self.most = [0, 0]
        self.servers: list[Rude] = []
        self._open = [0, 0]

    async def answer(self, build: int, head: bytes) -> list[bytes | float | str]:
        self._open[build] += 1
        self.most[build] = max(self.most[build], self._open[build])
        await asyncio.sleep(0.005)
        self._open[build] -= 1
        if b" /hang" in head.split(b"\r\n")[0]:
            self.asked += 1
            if self.hangs:
                return ["silence"]
        return ANSWERS["/ok"]


@pytest.fixture
def hanging() -> Iterator[Hanging]:
    found = Hanging()
    ready, over = threading.Event(), []

    async def serve() -> None:
        over.append((asyncio.get_running_loop(), asyncio.Event()))
        async with (
            rude_server(lambda head: found.answer(0, head)) as current,
            rude_server(lambda head: found.answer(1, head)) as candidate,
        ):
            found.servers.extend((current, candidate))
            ready.set()
            await over[0][1].wait()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    assert ready.wait(10)
    yield found
    over[0][0].call_soon_threadsafe(over[0][1].set)
    thread.join(10)


def begin(log: Path, hanging: Hanging, run: Path, *more: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "understudy", "replay", str(log), "--current", hanging.servers[0].url]
    command += ["--candidate", hanging.servers[1].url, "--run", str(run), "--no-preflight", *more]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.net
@pytest.mark.parametrize("more", [(), ("--client", "aiohttp"), ("--workers", "2")])
def test_a_second_ctrl_c_ends_at_once_with_a_run_that_reads_and_can_be_resumed(
    hanging: Hanging, tmp_path: Path, more: tuple[str, ...]
) -> None:
    paths = ["/ok"] * 20 + ["/hang"] * 20
    log = write_log(tmp_path / "log", [exchange(n, get(f"{p}?{n}"), session=str(n)) for n, p in enumerate(paths)])
    process = begin(log, hanging, tmp_path / "run", "--rate", "200", *more)
    try:
        deadline = time.monotonic() + 30
        while hanging.asked < 40 and time.monotonic() < deadline:  # then every process has sent all that it has
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        with pytest.raises(subprocess.TimeoutExpired):  # what is in flight is waited for, for its 30 s
            process.wait(timeout=1.5)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=15)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 4, err
    assert "Traceback" not in err
    assert "partial (ended by SIG" in err
    assert "--resume" in err
    run = open_run(tmp_path / "run")
    assert run.partial
    done = list(run.performances())
    assert {p.position for p in done} == set(range(20))
    assert run.ledger["planned"] == run.ledger["sent"] == 20
    hanging.hangs = False
    process = begin(log, hanging, tmp_path / "run", "--rate", "200", "--resume", *more)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 0, err
    run = open_run(tmp_path / "run")
    assert not run.partial
    assert sorted(p.position for p in run.performances()) == list(range(40))
    assert run.ledger["answered"] == {"current": 40, "candidate": 40}


@pytest.mark.net
@pytest.mark.parametrize("more", [(), ("--client", "aiohttp"), ("--workers", "2")])
def test_the_caps_of_a_build_hold_for_it_alone_and_are_in_the_manifest(
    hanging: Hanging, tmp_path: Path, more: tuple[str, ...]
) -> None:
    log = write_log(tmp_path / "log", [exchange(n, get(f"/ok?{n}"), session=str(n)) for n in range(60)])
    config = tmp_path / "u.toml"
    config.write_text("[build.candidate]\nconnections_max = 2\nrate_max = 80\n")
    process = begin(log, hanging, tmp_path / "run", "--rate", "2000", "--config", str(config), *more)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert hanging.most[1] <= 2 < hanging.most[0]
    assert len(hanging.servers[1].received) <= 2
    assert [len(server.requests) for server in hanging.servers] == [60, 60]
    current, candidate = json.loads((tmp_path / "run" / "manifest.json").read_text())["builds"]
    assert (candidate["connections_max"], candidate["rate_max"]) == (2, 80)
    assert not {"connections_max", "rate_max"} & set(current)
    sent = [[outcome.sent_ns or 0 for outcome in p.outcomes] for p in open_run(tmp_path / "run").performances()]
    took = [max(column) - min(column) for column in zip(*sent, strict=True)]
    assert took[1] > 400_000_000  # 60 at 80 a second, in each process 30 at 40
    assert took[0] < took[1] // 2


def test_processes_divide_the_connections_of_a_build_and_each_needs_one() -> None:
    build = Build("candidate", "candidate", "http://b", connections_max=7)
    parts = [capped_limits(Limits(), build, Share(index, 3)).connections_max for index in range(3)]
    assert sorted(parts) == [2, 2, 3]
    with pytest.raises(UsageError, match=r"\[build.candidate\] connections_max 7 is less than the 8 processes"):
        capped_limits(Limits(), build, Share(0, 8))


def test_processes_divide_the_connections_that_the_run_may_have_to_any_build() -> None:
    limits, build = Limits(connections_max=9), Build("current", "current", "http://a")
    assert [capped_limits(limits, build, Share(index, 4)).connections_max for index in range(4)] == [3, 2, 2, 2]
    assert capped_limits(limits, build).connections_max == 9
    with pytest.raises(UsageError, match=r"\[replay\] connections_max 9 is less than the 10 processes"):
        capped_limits(limits, build, Share(0, 10))


@pytest.mark.net
def test_connections_max_holds_over_all_processes_of_a_run(hanging: Hanging, tmp_path: Path) -> None:
    log = write_log(tmp_path / "log", [exchange(n, get(f"/ok?{n}"), session=str(n)) for n in range(200)])
    config = tmp_path / "u.toml"
    config.write_text("[replay]\nconnections_max = 3\n")
    process = begin(log, hanging, tmp_path / "run", "--rate", "2000", "--config", str(config), "--workers", "2")
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert [len(server.requests) for server in hanging.servers] == [200, 200]
    assert max(hanging.most) <= 3
    assert max(len(server.received) for server in hanging.servers) <= 3
