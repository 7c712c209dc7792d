"""A recording opens log and pipeline, hears signals, keeps to budgets, and seals everything at the end."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest

from capture.clock import Clock
from capture.errors import RunFailed
from capture.exchange import Exchange, Request, Response, Times
from capture.log.reader import open_log
from capture.options import CaptureSettings
from capture.pipeline import Pipeline
from capture.settings import CaptureConfig, GuardConfig, LogConfig, RedactConfig
from capture.sources.recording import Stop, record

_GET = Request("GET", "/", "HTTP/1.1", ())


def settings(log: Path) -> CaptureSettings:
    return CaptureSettings(log, CaptureConfig(redaction_key="k" * 32), RedactConfig(), LogConfig())


def one(pipeline: Pipeline, at_ns: int) -> None:
    decision = pipeline.begin(_GET, "10.0.0.1", at_ns)
    if decision is not None:
        response = Response(200, "OK", "HTTP/1.1", ())
        pipeline.finish(Exchange("", "", "test", 1.0, _GET, response, Times(at_ns)), decision)


def test_what_was_recorded_is_in_the_log_when_it_returns(tmp_path: Path) -> None:
    async def serve(pipeline: Pipeline, clock: Clock, stop: Stop) -> None:
        one(pipeline, clock.now_ns())
        os.kill(os.getpid(), signal.SIGTERM)
        await stop.asked.wait()
        assert not stop.at_once.is_set()

    counts = record(settings(tmp_path / "log"), {"source": "test"}, serve)
    assert counts.kept == 1
    assert len(list(open_log(tmp_path / "log").exchanges())) == 1


def test_a_rate_budget_sheds_with_its_reason(tmp_path: Path) -> None:
    async def serve(pipeline: Pipeline, clock: Clock, stop: Stop) -> None:
        for n in range(10):
            one(pipeline, 1_000_000_000 + n)

    counts = record(settings(tmp_path / "log"), {}, serve, guard=GuardConfig(exchanges_per_s=3))
    assert counts.balanced()
    assert counts.kept == 3
    assert counts.shed == {"rate": 7}


def test_the_log_is_sealed_where_the_source_fails(tmp_path: Path) -> None:
    async def serve(pipeline: Pipeline, clock: Clock, stop: Stop) -> None:
        one(pipeline, clock.now_ns())
        raise RunFailed("the source is gone")

    with pytest.raises(RunFailed, match="the source is gone"):
        record(settings(tmp_path / "log"), {}, serve)
    assert len(list(open_log(tmp_path / "log").exchanges())) == 1


def test_a_log_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")

    async def serve(pipeline: Pipeline, clock: Clock, stop: Stop) -> None:
        raise AssertionError("must not be called")

    with pytest.raises(RunFailed, match=r"--log: .*: cannot be written"):
        record(settings(tmp_path / "file" / "log"), {}, serve)


def test_a_second_signal_cuts_the_drain_short() -> None:
    async def play() -> tuple[bool, bool]:
        stop = Stop()
        stop.signal()
        assert stop.asked.is_set()
        whole = await stop.hurried(asyncio.sleep(0))
        stop.signal()
        cut = await stop.hurried(asyncio.sleep(60))
        return whole, cut

    assert asyncio.run(play()) == (False, True)
