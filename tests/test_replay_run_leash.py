"""The word that the first process of a run gives to those of other machines."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from replay import run_leash
from replay.run_leash import Leash, Led


class Performing:
    """As much of a performer as is ended."""

    def __init__(self) -> None:
        self.stopped: list[str] = []
        self.abandoned = 0

    def stop(self, why: str) -> None:
        self.stopped.append(why)

    def abandon(self) -> None:
        self.abandoned += 1


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_leash, "_BEAT_S", 0.01)
    monkeypatch.setattr(run_leash, "_LOOK_S", 0.01)


async def led_until(run_dir: Path, over: Callable[[Performing], bool]) -> Performing:
    """Follow the word of a run until something came of it; at most 20 s."""
    performing: Any = Performing()
    led = Led(performing, run_dir)
    try:
        for _ in range(2000):
            if over(performing):
                break
            await asyncio.sleep(0.01)
    finally:
        led.close()
    assert over(performing)
    return performing  # type: ignore[no-any-return]


def test_a_share_ends_when_it_is_told_to_and_at_once_when_it_is_told_again(tmp_path: Path) -> None:
    leash = Leash(tmp_path)
    try:
        leash.end("ended by SIGINT")
        told = asyncio.run(led_until(tmp_path, lambda performing: bool(performing.stopped)))
        assert (set(told.stopped), told.abandoned) == ({"ended by SIGINT"}, 0)
        leash.end("ended by SIGTERM")
        told = asyncio.run(led_until(tmp_path, lambda performing: bool(performing.abandoned)))
        assert set(told.stopped) == {"ended by SIGINT"}
    finally:
        leash.close()
    assert list(tmp_path.iterdir()) == []


def test_a_share_goes_on_while_somebody_is_there_and_ends_when_nobody_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    leash = Leash(tmp_path)
    beats: set[bytes] = set()

    def heard_ten_times(performing: Performing) -> bool:
        beats.update(path.read_bytes() for path in tmp_path.glob("leash.json"))
        return len(beats) > 10

    try:
        assert asyncio.run(led_until(tmp_path, heard_ten_times)).stopped == []
    finally:
        leash.close()
    monkeypatch.setattr(run_leash, "_SILENCE_S", 0.05)
    left = asyncio.run(led_until(tmp_path, lambda performing: bool(performing.stopped)))
    assert set(left.stopped) == {"the process that began the run is gone"}


def test_a_word_that_cannot_be_read_or_written_ends_nothing(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    leash = Leash(gone)
    leash.close()
    tmp_path.joinpath("leash.json").write_bytes(b"{half")
    looks = 0

    def looked(_performing: Performing) -> bool:
        nonlocal looks
        looks += 1
        return looks > 5

    assert asyncio.run(led_until(tmp_path, looked)).stopped == []
