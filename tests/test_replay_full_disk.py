"""A disk that is full in the middle of a replay: one clear line, and a run that reads back and can be gone on with."""

from __future__ import annotations

import contextlib
import os
import random
import resource
import signal
import string
import subprocess
import sys
from pathlib import Path

import pytest

from capture.exchange import Exchange
from replay.run import open_run
from tests.support.replaying import serving, write_log
from tests.support.rude import exchange, get

pytestmark = pytest.mark.net

BOUND_BYTES = 1_000_000
WAIT_S = 120


def incompressible(number: int) -> Exchange:
    """One that takes three kilobytes of any disk."""
    text = "".join(random.Random(number).choices(string.ascii_letters + string.digits, k=4000))
    return exchange(number, get(f"/ok?{text}"), session=str(number % 50))


def command(log: Path, urls: tuple[str, str], run: Path, *more: str, bytes_max: int | None = None) -> tuple[int, str]:
    """The exit code of `understudy replay` and what it said on stderr; no file may grow beyond bytes_max."""

    def bounded() -> None:
        if bytes_max is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (bytes_max, bytes_max))

    builds = ["--current", urls[0], "--candidate", urls[1]]
    said = run.with_suffix(".said")
    with said.open("w") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-m", "understudy", "replay", str(log), *builds, "--run", str(run), *more],
            preexec_fn=bounded, stdout=subprocess.DEVNULL, stderr=stderr, start_new_session=True,
        )  # fmt: skip
        try:
            code = process.wait(WAIT_S)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # it and the processes that it began
            process.wait(WAIT_S)
    return code, said.read_text()


@pytest.mark.parametrize("more", [(), ("--workers", "2")], ids=["one process", "two processes"])
def test_a_run_that_cannot_be_written_further_ends_with_one_line_and_can_be_gone_on_with(
    tmp_path: Path, more: tuple[str, ...]
) -> None:
    log, run = write_log(tmp_path / "log", [incompressible(n) for n in range(1000)]), tmp_path / "run"
    with serving() as current, serving() as candidate:
        urls = (current.url, candidate.url)
        code, said = command(log, urls, run, *more, bytes_max=BOUND_BYTES)
        assert code == 4
        assert said.count("\n") == 1
        assert "cannot be written: File too large" in said
        assert "--resume" in said
        partial = open_run(run)
        assert partial.partial
        kept = {performance.position for performance in partial.performances()}
        assert 0 < len(kept) < 1000
        assert partial.ledger["planned"] == len(kept)
        assert command(log, urls, run, "--resume", *more) == (0, "")
    whole = open_run(run)
    assert not whole.partial
    assert {performance.position for performance in whole.performances()} == set(range(1000))
    assert whole.ledger["sent"] == 1000
