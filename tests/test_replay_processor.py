"""The shares of the time that a thread used a processor and waited for one."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from replay import processor
from replay.processor import Processor


def test_a_thread_that_computes_uses_a_processor_or_waits_for_one() -> None:
    measured = Processor()
    until = time.thread_time_ns() + 50_000_000
    while time.thread_time_ns() < until:
        pass
    used, waited = measured.shares()
    assert 0 < used <= 1.01
    assert 0 <= waited <= 1.01


def test_what_others_took_from_it_is_what_the_system_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = tmp_path / "schedstat"
    said.write_text("100 1000 3\n")
    monkeypatch.setattr(processor, "_SCHEDSTAT", said)
    measured = Processor()
    said.write_text(f"200 {10**18} 4\n")
    assert measured.shares()[1] > 1000


@pytest.mark.parametrize("text", [None, "", "1\n"])
def test_where_the_system_does_not_say_it_nothing_was_waited(
    text: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = tmp_path / "schedstat"
    if text is not None:
        said.write_text(text)
    monkeypatch.setattr(processor, "_SCHEDSTAT", said)
    assert Processor().shares()[1] == 0
