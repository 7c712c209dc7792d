"""Free space of the log's disk, asked for by a thread of its own: a disk that hangs must not hold up who asks."""

from __future__ import annotations

import os
import threading
from pathlib import Path

__all__ = ["FreeSpace"]


class FreeSpace:
    """`free_bytes` is what was last found, at most about a second old; None where nothing is known.

    After `close` no further question is asked. One that hangs stays with its thread, which keeps no process alive.
    """

    def __init__(self, directory: Path, every_s: float = 1.0) -> None:
        self.free_bytes: int | None = None
        self._directory = directory
        self._every_s = every_s
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="understudy-free-space", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Ask no more."""
        self._closed.set()

    def _watch(self) -> None:
        while not self._closed.is_set():
            try:
                found = os.statvfs(self._directory)
            except OSError:
                self.free_bytes = None
            else:
                self.free_bytes = found.f_bavail * found.f_frsize
            self._closed.wait(self._every_s)
