"""Several processes: one run, exact ledgers, and a process that dies loses nothing silently."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from replay.plan import Planned
from replay.run import open_run
from replay.run_share import Share, pace_of
from replay.settings import ReplayConfig
from tests.support.replaying import serving, write_log
from tests.support.rude import Rude, exchange, get

pytestmark = [pytest.mark.net, pytest.mark.slow]


@pytest.fixture
def server() -> Iterator[Rude]:
    """A well-behaved server in a thread of its own."""
    with serving() as rude:
        yield rude


def begin(log: Path, server: Rude, run: Path, *more: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "understudy", "replay", str(log), "--current", server.url]
    command += ["--candidate", server.url, "--run", str(run), *more]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def children_of(pid: int) -> list[int]:
    """Processes below one, but for multiprocessing's resource tracker."""
    found = subprocess.run(["pgrep", "-P", str(pid), "-f", "spawn_main"], capture_output=True, text=True, check=False)
    return [int(line) for line in found.stdout.split()]


def is_there(pid: int) -> bool:
    """True while a process runs, whoever is its parent now."""
    status = Path(f"/proc/{pid}/stat")
    try:
        return status.read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait_until(true: Callable[[], bool]) -> bool:
    """Wait 30 s for something at most."""
    deadline = time.monotonic() + 30
    while not true() and time.monotonic() < deadline:
        time.sleep(0.02)
    return true()


def log_of(tmp_path: Path, count: int = 400) -> Path:
    recorded = [exchange(n, get(f"/ok?{n}"), session=f"user-{n % 40}", took_ms=0.2) for n in range(count)]
    return write_log(tmp_path / "log", recorded)


def test_the_shares_of_all_processes_are_the_whole_run(server: Rude, tmp_path: Path) -> None:
    process = begin(log_of(tmp_path), server, tmp_path / "run", "--workers", "3", "--speed", "1")
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert "planned=400 sent=400 skipped=0" in out
    run = open_run(tmp_path / "run")
    performances = list(run.performances())
    assert sorted(p.position for p in performances) == list(range(400))
    assert run.ledger["answered"] == {"current": 400, "candidate": 400}
    assert run.manifest["generator"]["processes"] == 3
    # One schedule for all: what was recorded a millisecond apart is due a millisecond apart.
    due = [p.outcomes[0].planned_ns for p in sorted(performances, key=lambda p: p.position)]
    assert max(abs(at - due[0] - n * 1_000_000) for n, at in enumerate(due)) < 5_000_000
    assert len(server.requests) == 800


def test_a_process_that_is_killed_is_replaced_and_nothing_is_lost(server: Rude, tmp_path: Path) -> None:
    process = begin(log_of(tmp_path, 600), server, tmp_path / "run", "--workers", "2", "--rate", "150")
    try:
        deadline = time.monotonic() + 30
        while len(server.requests) < 200 and time.monotonic() < deadline:
            time.sleep(0.02)
        victim = children_of(process.pid)[0]
        os.kill(victim, signal.SIGKILL)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 0, err
    run = open_run(tmp_path / "run")
    assert sorted(p.position for p in run.performances()) == list(range(600))
    assert run.ledger["sent"] == 600
    assert not run.partial
    # What it had sent and not written was sent again, and that is said.
    (share,) = run.manifest["begun_again"]
    assert share["attempts"] == 2
    assert f"share {share['share']} was begun 2 times, as its process died" in out
    assert sorted(path.name for path in run.path.iterdir()) == ["manifest.json", "performances"]


@pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")
def test_the_processes_end_where_the_first_one_is_killed_and_the_run_goes_on_from_there(
    server: Rude, tmp_path: Path
) -> None:
    log = log_of(tmp_path, 3000)
    process = begin(log, server, tmp_path / "run", "--workers", "2", "--rate", "50")
    try:
        assert wait_until(lambda: len(server.requests) >= 60)
        workers = children_of(process.pid)
        process.kill()
        process.wait()
        assert wait_until(lambda: not any(is_there(pid) for pid in workers))
    finally:
        process.kill()
        process.communicate()
    run = open_run(tmp_path / "run")
    assert run.partial
    written = run.ledger["planned"]
    assert 0 < written < 3000
    assert len(server.requests) == 2 * written  # nothing was sent that is not in the run
    process = begin(log, server, tmp_path / "run", "--workers", "2", "--resume")
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert "a part of the run was cut off" in out
    assert sorted(p.position for p in open_run(tmp_path / "run").performances()) == list(range(3000))


def test_ctrl_c_ends_all_processes_and_the_run_can_be_resumed(server: Rude, tmp_path: Path) -> None:
    log = log_of(tmp_path, 600)
    process = begin(log, server, tmp_path / "run", "--workers", "2", "--rate", "100")
    try:
        deadline = time.monotonic() + 30
        while len(server.requests) < 60 and time.monotonic() < deadline:
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 4
    assert "partial (ended by SIGINT)" in err
    run = open_run(tmp_path / "run")
    assert run.ledger == run.count()
    assert 0 < run.ledger["planned"] < 600
    process = begin(log, server, tmp_path / "run", "--workers", "2", "--resume")
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert sorted(p.position for p in open_run(tmp_path / "run").performances()) == list(range(600))


def test_every_session_falls_to_exactly_one_share() -> None:
    for number in range(50):
        planned = Planned(0, exchange(0, get("/"), session=f"s{number}"), 0)
        assert [Share(index, 3).owns(planned) for index in range(3)].count(True) == 1


def test_a_closed_loop_is_divided_among_the_shares() -> None:
    config = ReplayConfig(concurrency=8)
    assert [pace_of(config, Share(index, 3)).in_flight for index in range(3)] == [3, 3, 2]  # type: ignore[union-attr]
