"""Logs whose recorded times last for hours or years: silences are shortened where asked for, else it is said."""

from __future__ import annotations

from pathlib import Path

import pytest

from replay.run import open_run
from tests.support.replaying import serving, write_log
from tests.support.rude import exchange, get
from understudy import main

pytestmark = pytest.mark.net

HOUR_MS = 3_600_000
NOBODY = "http://127.0.0.1:9"  # the discard port: nothing listens there


def log_of(directory: Path, starts_ms: list[int]) -> Path:
    return write_log(directory, [exchange(n, get("/ok"), start_ms=start) for n, start in enumerate(starts_ms)])


def replay(log: Path, url: str, run: Path, *more: str) -> int | str | None:
    with pytest.raises(SystemExit) as caught:
        main(["replay", str(log), "--current", url, "--candidate", url, "--run", str(run), *more])
    return caught.value.code


def test_no_silence_takes_longer_than_the_longest_pause(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log, run = log_of(tmp_path / "log", [0, 20, 3 * HOUR_MS, 3 * HOUR_MS + 40, 90_000 * HOUR_MS]), tmp_path / "run"
    with serving() as server:
        assert replay(log, server.url, run, "--speed", "2", "--pause-max", "0.05") == 0
    said = capsys.readouterr()
    assert "silences shortened: 2, by 90,000.00 h of the log in all" in said.out
    assert said.err == ""
    performed = open_run(run)
    planned = sorted({outcome.planned_ns for p in performed.performances() for outcome in p.outcomes})
    assert [later - planned[0] for later in planned] == [n * 1_000_000 for n in (0, 10, 60, 80, 130)]
    assert performed.manifest["pauses"]["shortened"] == 2


@pytest.mark.parametrize(
    ("starts_ms", "more", "warning"),
    [
        ([0, 3 * HOUR_MS], ["--speed", "2"], "at --speed 2 it takes 1.5 hours; --pause-max SECONDS shortens"),
        ([0, 438_000 * HOUR_MS], ["--speed", "1"], "it takes 18,250 days"),
        ([0, 3 * HOUR_MS], ["--speed", "4"], None),
        ([0, 3 * HOUR_MS], ["--speed", "1", "--pause-max", "1"], None),
        ([0, 3 * HOUR_MS], ["--speed", "1", "--duration", "1"], None),
        ([0, 3 * HOUR_MS], ["--rate", "1"], None),
        ([], ["--speed", "1"], None),
    ],
)
def test_a_replay_that_takes_hours_says_so_before_it_begins(
    starts_ms: list[int],
    more: list[str],
    warning: str | None,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert replay(log_of(tmp_path / "log", starts_ms), NOBODY, tmp_path / "run", *more) == 4
    first = capsys.readouterr().err.splitlines()[0]
    if warning is None:
        assert "takes" not in first
    else:
        assert warning in first


def test_a_longest_pause_goes_with_the_recorded_pace_only(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = log_of(tmp_path / "log", [0])
    assert replay(log, NOBODY, tmp_path / "run", "--pause-max", "1") == 2
    assert "give speed with it" in capsys.readouterr().err
