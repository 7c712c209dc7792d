"""Copying sealed segments to an object store in the background, again and again until the store has taken them."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from capture.errors import UnderstudyError
from capture.log.appender import SEALED_SUFFIX
from capture.log.budget import segment_files
from capture.log.objects import ObjectStore

__all__ = ["ShipStats", "Shipper"]

_BACKOFF_MAX = 60
_LOOK_AGAIN_S = 5.0


@dataclass(frozen=True, slots=True)
class ShipStats:
    """shipped, bytes: what the store has taken since the start. waiting: sealed segments that it has not.

    errors: failed attempts; failing: the last one's message, None while all is well.
    """

    shipped: int
    bytes: int
    waiting: int
    errors: int
    failing: str | None


class Shipper:
    """Keeps an object store up with a directory of sealed segments; never blocks who writes them.

    What lay there before (from a run that ended while the store was away) is shipped too. keep: leave the local copy.
    pending: True for a segment that is soon to be replaced by a smaller copy, which is what is shipped then.
    """

    def __init__(
        self,
        directory: Path,
        location: str,
        *,
        keep: bool,
        retry_ms: int,
        pending: Callable[[Path], bool] = lambda segment: False,
    ) -> None:
        self._directory = directory
        self._pending = pending
        self._location = location
        self._keep = keep
        self._retry_s = retry_ms / 1000
        self._store: ObjectStore | None = None
        self._there: dict[str, int] = {}
        self._counts: Counter[str] = Counter()
        self._failing: str | None = None
        self._waiting = 0
        self._stop = threading.Event()
        self._wake = threading.Event()
        self._given_up = threading.Event()
        self._thread = threading.Thread(target=self._run, name="understudy-ship", daemon=True)
        self._thread.start()

    def notify(self) -> None:
        """A segment was sealed: look now."""
        self._wake.set()

    def stats(self) -> ShipStats:
        """How shipping is doing; from any thread."""
        counts = self._counts
        return ShipStats(counts["shipped"], counts["bytes"], self._waiting, counts["errors"], self._failing)

    def close(self, drain_s: float) -> int:
        """Ship what is left for at most `drain_s` seconds; returns how many segments still wait in the directory."""
        self._stop.set()
        self._wake.set()
        self._thread.join(drain_s)
        self._given_up.set()
        return self._waiting

    def _run(self) -> None:
        wait_s = self._retry_s
        while True:
            last = self._stop.is_set()
            try:
                done = self._ship_all()
            except (UnderstudyError, OSError) as error:
                self._counts["errors"] += 1
                self._failing = str(error)
                done = False
            if done:
                self._failing, wait_s = None, self._retry_s
                if last:
                    return
                self._wake.wait(_LOOK_AGAIN_S)
                self._wake.clear()
            else:
                # Whoever closes waits a bounded time for this thread, and then wants no more of it.
                if last and self._given_up.wait(wait_s):
                    return
                self._stop.wait(wait_s)
                wait_s = min(wait_s * 2, self._retry_s * _BACKOFF_MAX)

    def _ship_all(self) -> bool:
        if self._store is None:
            store = ObjectStore(self._location)
            self._there = {stored.name: stored.size for stored in store.segments()}
            self._store = store
        sealed = [(path, size) for path, size in segment_files(self._directory) if path.suffix == SEALED_SUFFIX]
        left = [(path, size) for path, size in sealed if self._there.get(path.name) != size]
        self._waiting = len(left)
        for path, size in left:
            if self._pending(path):
                continue
            try:
                self._store.put(path)
            except FileNotFoundError:
                self._counts["pruned"] += 1  # the disk budget took it before it could be shipped
            else:
                self._there[path.name] = size
                self._counts["shipped"] += 1
                self._counts["bytes"] += size
                if not self._keep:
                    path.unlink(missing_ok=True)
            self._waiting -= 1
        self._waiting = sum(self._pending(path) for path, _ in left)
        return True
