"""Rewriting sealed segments for size while capture goes on: one process of lowest priority at a time, beside traffic.

A busy writer seals its segments as they were written. Here each of them is handed to a process of its own (rewrite.py),
so that neither the interpreter's lock nor the memory of the one that carries traffic is touched. Whatever goes wrong
leaves the segment as it was written, whole and readable, and is counted.
"""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

__all__ = ["CompactStats", "Compactor"]

_WAITING_MAX = 256
_SEGMENT_S_MAX = 900.0
_LOOK_S = 0.1


@dataclass(frozen=True, slots=True)
class CompactStats:
    """Segments. rewritten: for size; left: as they were written, as that failed or came too late; waiting: for either.

    failing: why the last one was left, None where it was not.
    """

    rewritten: int
    left: int
    waiting: int
    failing: str | None


class Compactor:
    """Hands sealed segments to a process each, one after the other.

    key: of an encrypted log. done: called after each, from the thread of this compactor.
    """

    def __init__(self, key: bytes | None, done: Callable[[], None] = lambda: None) -> None:
        self._input = b"" if key is None else key.hex().encode()
        self._done = done
        self._waiting: deque[Path] = deque()
        self._at_work: Path | None = None
        self._changed = threading.Condition()
        self._process: subprocess.Popen[bytes] | None = None
        self._rewritten = self._left = 0
        self._failing: str | None = None
        self._closing = False
        self._until_s = float("inf")
        self._thread = threading.Thread(target=self._run, name="understudy-compact", daemon=True)
        self._thread.start()

    def add(self, segment: Path) -> None:
        """This one was sealed as it was written. Beyond 256 that wait, the oldest is left as it is."""
        with self._changed:
            self._waiting.append(segment)
            if len(self._waiting) > _WAITING_MAX:
                self._waiting.popleft()
                self._left += 1
            self._changed.notify()

    def pending(self, segment: Path) -> bool:
        """True while this one waits or is at work."""
        with self._changed:
            return segment == self._at_work or segment in self._waiting

    def stats(self) -> CompactStats:
        """How it is doing; from any thread."""
        with self._changed:
            waiting = len(self._waiting) + (self._at_work is not None)
            return CompactStats(self._rewritten, self._left, waiting, self._failing)

    def close(self, wait_s: float) -> None:
        """Rewrite what waits, now in a hurry, for at most `wait_s` seconds; what is left stays as it was written."""
        with self._changed:
            self._until_s = time.monotonic() + wait_s
            self._closing = True
            if self._process is not None:
                self._process.kill()  # it was one that rests between blocks; begun again, it does not
            self._changed.notify()
        self._thread.join()

    # Everything below runs in the compactor's thread.

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._waiting and not self._closing:
                    self._changed.wait()
                if not self._waiting:
                    return
                if time.monotonic() >= self._until_s:
                    self._left += len(self._waiting)
                    self._waiting.clear()
                    return
                segment = self._at_work = self._waiting.popleft()
                idle = not self._closing
            failing = self._rewrite(segment, idle)
            with self._changed:
                self._at_work = None
                if failing is not None and idle and self._closing:
                    self._waiting.appendleft(segment)
                elif failing is None:
                    self._rewritten += 1
                    self._failing = None
                else:
                    self._left += 1
                    self._failing = failing
            self._done()

    def _rewrite(self, segment: Path, idle: bool) -> str | None:
        """Wait for the process that rewrites one segment; None where it did, else why it did not."""
        command = [sys.executable, "-P", "-m", "capture.log.rewrite", *(["--idle"] if idle else []), str(segment)]
        until_s = time.monotonic() + _SEGMENT_S_MAX
        try:
            # A session of its own: the Ctrl-C that ends the capture is not meant for it.
            process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
        except OSError as error:
            return f"no process could be started: {error.strerror}"
        with process:
            with self._changed:
                self._process = process
            try:
                said = self._said_by(process, until_s, idle)
            finally:
                with self._changed:
                    self._process = None
        return None if process.returncode == 0 else said or f"the process ended with {process.returncode}"

    def _said_by(self, process: subprocess.Popen[bytes], until_s: float, idle: bool) -> str:
        data: bytes | None = self._input
        while True:
            try:
                said = process.communicate(data, timeout=_LOOK_S)[1]
            except subprocess.TimeoutExpired:
                data = None
                if time.monotonic() >= min(until_s, self._until_s) or (idle and self._closing):
                    process.kill()
                    until_s = float("inf")
            else:
                return said.decode("utf-8", "replace").strip()[:1000]
