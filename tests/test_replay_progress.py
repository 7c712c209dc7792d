"""Progress: what one process says, what all of them say together, and that it is shown on a terminal."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
from pathlib import Path

import pytest

from replay.progress import Pace, state_of
from replay.shared_progress import Said, clear, heard, say
from tests.support.relay import ROOT
from tests.support.replaying import serving, write_log
from tests.support.rude import exchange, get


def test_the_state_names_rate_lateness_and_the_builds_that_failed() -> None:
    said = Said(10, 1_500_000, {"current": 0, "candidate": 3})
    assert state_of(said, 99.6) == "100/s  late 1.5 ms  candidate failed 3"
    assert state_of(said, None) == "late 1.5 ms  candidate failed 3"


def test_the_rate_is_of_what_was_sent_in_the_last_two_seconds() -> None:
    pace = Pace()
    assert pace.of(4000, 10.0) is None  # an earlier part of the run had sent it
    assert pace.of(4050, 10.25) == 200
    assert pace.of(4050, 10.5) == 100  # a share that said nothing meanwhile is no standstill
    assert [pace.of(4050, 11.0 + n) for n in range(9)][-1] == 0


def test_what_all_processes_said_last_is_added_up(tmp_path: Path) -> None:
    assert heard(tmp_path) == Said(0, 0, {})
    say(tmp_path, 0, Said(5, 100, {"candidate": 1}, 5))
    say(tmp_path, 0, Said(7, 200, {"candidate": 2}, 6))
    say(tmp_path, 1, Said(3, 900, {"candidate": 1, "current": 0}, 2))
    assert heard(tmp_path) == Said(10, 900, {"candidate": 3, "current": 0}, 8)
    (tmp_path / "progress-2.json").write_text("{")
    assert heard(tmp_path).done == 10
    clear(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.net
@pytest.mark.slow
@pytest.mark.parametrize(("workers", "columns"), [("1", "120"), ("2", "120"), ("1", "40")])
def test_a_terminal_sees_how_far_it_has_come_and_the_run_keeps_nothing_of_it(
    tmp_path: Path, workers: str, columns: str
) -> None:
    log = write_log(tmp_path / "log", [exchange(n, get("/drip"), session=f"s{n}") for n in range(60)])
    with serving() as server:
        master, slave = pty.openpty()
        command = [
            sys.executable, "-m", "understudy", "replay", str(log), "--current", server.url, "--candidate", server.url,
            "--run", str(tmp_path / "run"), "--workers", workers, "--rate", "50",
        ]  # fmt: skip
        environ = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": columns, "TERM": "xterm"}
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=slave, env=environ, cwd=tmp_path)
        os.close(slave)
        seen = b""
        try:
            while select.select([master], [], [], 60)[0]:
                try:
                    piece = os.read(master, 65536)
                except OSError:
                    break  # the other end of the terminal is closed
                if not piece:
                    break
                seen += piece
            assert process.wait(60) == 0, seen
        finally:
            process.kill()
            process.communicate()
            os.close(master)
    assert b"/60" in seen
    assert b"late" in seen
    assert not list((tmp_path / "run").glob("progress*"))
