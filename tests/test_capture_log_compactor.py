"""Segments that a busy writer sealed are rewritten by processes beside it, and nothing waits for them for ever."""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from capture.log.compactor import Compactor
from capture.log.reader import open_log
from capture.log.writer import LogWriter
from capture.settings import LogConfig
from tests.support.log_records import an_exchange, exchanges, without_id, write_log

KEY = "cd" * 32


def wait_until(condition: Callable[[], bool]) -> None:
    pause = threading.Event()
    for _ in range(18_000):
        if condition():
            return
        pause.wait(0.005)
    raise AssertionError("waited ninety seconds in vain")


def test_a_busy_writer_leaves_segments_that_were_rewritten_behind_it(tmp_path: Path) -> None:
    config = LogConfig(fsync="off", flush_ms=5, segment_bytes=20_000, key=KEY)
    records = [an_exchange(n, body=gzip.compress(b"page " * 400 + os.urandom(20).hex().encode())) for n in range(400)]
    writer = LogWriter(tmp_path, config, {})
    for record in records:
        assert writer.put(record) is None
    wait_until(lambda: writer.rewriting is not None and writer.rewriting.rewritten > 0)
    writer.close()
    found = writer.rewriting
    assert found is not None
    assert (found.left, found.waiting, found.failing) == (0, 0, None)
    with open_log(tmp_path, key=bytes.fromhex(KEY)) as log:
        assert without_id(log.exchanges()) == records
        assert len(log.segments) > 1
        assert log.damage == []


def test_without_compact_segments_stay_as_they_were_written(tmp_path: Path) -> None:
    writer = LogWriter(tmp_path, LogConfig(fsync="off", compact=False), {})
    writer.put(an_exchange(0))
    writer.close()
    assert writer.rewriting is None


def test_a_segment_that_cannot_be_rewritten_is_counted_with_the_reason_and_the_next_has_its_turn(
    tmp_path: Path,
) -> None:
    gone, good = tmp_path / "1ng8t0exampw.seg", write_log(tmp_path / "log", exchanges(40), each=4)
    before = good.stat().st_size
    compactor = Compactor(None)
    compactor.add(gone)
    wait_until(lambda: compactor.stats().left == 1)
    assert "1ng8t0exampw.seg" in (compactor.stats().failing or "")
    compactor.add(good)
    compactor.close(30)
    assert (compactor.stats().rewritten, compactor.stats().waiting) == (1, 0)
    assert good.stat().st_size < before


def test_closing_with_no_time_left_leaves_what_waits_and_returns(tmp_path: Path) -> None:
    paths = [write_log(tmp_path / str(n), exchanges(40), each=4) for n in range(3)]
    before = [path.read_bytes() for path in paths]
    compactor = Compactor(None)
    compactor.close(0)
    assert compactor.stats().waiting == 0
    late = Compactor(None)
    late._until_s = 0.0
    for path in paths:
        late.add(path)
    late.close(0)
    assert (late.stats().waiting, late.stats().rewritten + late.stats().left) == (0, 3)
    whole = [path.read_bytes() for path, old in zip(paths, before, strict=True) if path.read_bytes() == old]
    assert len(whole) == late.stats().left


def test_a_process_that_hangs_is_ended_when_the_time_is_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    popen = subprocess.Popen
    started = threading.Event()

    def hanging(command: list[str], **options: object) -> subprocess.Popen[bytes]:
        started.set()
        return popen([sys.executable, "-c", "import signal; signal.pause()"], **options)  # type: ignore[call-overload,no-any-return]

    monkeypatch.setattr(subprocess, "Popen", hanging)
    compactor = Compactor(None)
    compactor.add(tmp_path / "1ng8t0exampw.seg")
    assert started.wait(10)
    compactor.close(0.3)
    assert (compactor.stats().left, compactor.stats().waiting) == (1, 0)


def test_more_than_can_wait_are_left_as_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    held, go = threading.Event(), threading.Event()

    def hold(self: Compactor, segment: Path, idle: bool) -> str | None:
        held.set()
        go.wait(10)
        return None

    monkeypatch.setattr(Compactor, "_rewrite", hold)
    compactor = Compactor(None)
    compactor.add(tmp_path / "first")
    assert held.wait(10)
    for number in range(258):
        compactor.add(tmp_path / str(number))
    assert compactor.pending(tmp_path / "first")
    assert not compactor.pending(tmp_path / "0")
    assert compactor.pending(tmp_path / "257")
    assert compactor.stats().left == 2
    go.set()
    compactor.close(30)
    assert (compactor.stats().rewritten, compactor.stats().left) == (257, 2)
