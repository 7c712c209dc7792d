"""What the process that began a run tells those of other machines in a file of the run: that it is there, or to end."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from replay.perform import Performer

__all__ = ["Leash", "Led"]

_NAME = "leash.json"
_BEAT_S = 2.0
_LOOK_S = 0.5
_SILENCE_S = 30.0
"""Longer than a network file system keeps what it has read of a file."""


class _Word(msgspec.Struct, frozen=True):
    """beat: another number each time. why: to end, and the reason; at_once: also what is in flight."""

    beat: int
    why: str = ""
    at_once: bool = False


class Leash:
    """The end that the first process holds; says that it is there until it is closed."""

    def __init__(self, run_dir: Path) -> None:
        self._path = run_dir / _NAME
        self._word = _Word(time.time_ns())
        self._saying = threading.RLock()  # a signal may come while one is being told
        self._over = threading.Event()
        self._say()
        self._thread = threading.Thread(target=self._beat, name="leash", daemon=True)
        self._thread.start()

    def end(self, why: str) -> None:
        """Tell them to finish what is in flight and end; said again, to end at once."""
        with self._saying:
            self._word = _Word(time.time_ns(), self._word.why or why, at_once=bool(self._word.why))
            self._say()

    def close(self) -> None:
        """Let go. Whoever is still at work then finds nobody there."""
        self._over.set()
        self._thread.join(10)
        with contextlib.suppress(OSError):
            self._path.unlink()

    def _beat(self) -> None:
        while not self._over.wait(_BEAT_S):
            with self._saying:
                self._word = msgspec.structs.replace(self._word, beat=time.time_ns())
                self._say()

    def _say(self) -> None:
        # A word that cannot be written, as on a full disk, is said again with the next beat.
        new = self._path.with_suffix(".new")
        with contextlib.suppress(OSError):
            new.write_bytes(msgspec.json.encode(self._word))
            os.replace(new, self._path)


class Led:
    """The end at a performer: ends it when it is told to, or when nobody was there for half a minute."""

    def __init__(self, performer: Performer, run_dir: Path) -> None:
        self._performer = performer
        self._path = run_dir / _NAME
        self._follower = asyncio.get_running_loop().create_task(self._follow())

    async def _follow(self) -> None:
        loop = asyncio.get_running_loop()
        last, since = None, loop.time()
        while True:
            word = self._heard()
            if word is not None and word.why:
                self._performer.stop(word.why)
                if word.at_once:
                    self._performer.abandon()
            if word is not None and word.beat != last:
                last, since = word.beat, loop.time()
            elif loop.time() - since > _SILENCE_S:
                self._performer.stop("the process that began the run is gone")
            await asyncio.sleep(_LOOK_S)

    def _heard(self) -> _Word | None:
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=_Word)
        except (OSError, msgspec.DecodeError):
            return None

    def close(self) -> None:
        """Follow no more."""
        self._follower.cancel()
