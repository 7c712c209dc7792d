"""The disk budget of a log directory: where it is spent, the oldest segments make room or writing stops."""

from __future__ import annotations

import errno
import os
import time
from pathlib import Path
from typing import Literal

from capture.log.appender import OPEN_SUFFIX, SEALED_SUFFIX, TEMPORARY_SUFFIX, is_locked

__all__ = ["DiskBudget", "remove_leftovers", "segment_files"]


def segment_files(directory: Path) -> list[tuple[Path, int]]:
    """(path, bytes) of every segment file, oldest first (ids sort by the millisecond they were made in)."""
    found = []
    with os.scandir(directory) as entries:
        for entry in entries:
            if entry.name.endswith((OPEN_SUFFIX, SEALED_SUFFIX)) and entry.is_file(follow_symlinks=False):
                try:
                    found.append((Path(entry.path), entry.stat(follow_symlinks=False).st_size))
                except FileNotFoundError:
                    continue  # sealed or pruned by another process a moment ago
    return sorted(found)


def remove_leftovers(directory: Path, older_than_s: float = 60.0) -> None:
    """Delete unfinished copies whose writer was killed; a young one may belong to a writer that is only starting."""
    if not directory.is_dir():
        return
    for path in directory.glob("*" + TEMPORARY_SUFFIX):
        try:
            old = time.time() - path.stat().st_mtime > older_than_s
            if old and not is_locked(path) and not is_locked(path.with_suffix(OPEN_SUFFIX)):
                path.unlink()
        except FileNotFoundError:
            continue


class DiskBudget:
    """bytes_max 0 is no budget. `used` is kept by the writer between recounts, which see what other processes wrote."""

    __slots__ = ("_bytes_max", "_directory", "_when_full", "full", "pruned", "used")

    def __init__(self, directory: Path, bytes_max: int, when_full: Literal["prune", "stop"]) -> None:
        self._directory = directory
        self._bytes_max = bytes_max
        self._when_full = when_full
        self.used = 0
        self.pruned = 0
        self.full = False
        if directory.is_dir():
            self.recount()

    def recount(self) -> None:
        """Look at what is really there."""
        if self._bytes_max:
            self.used = sum(size for _, size in segment_files(self._directory))

    def make_room(self, wanted: int) -> None:
        """Return where `wanted` more bytes fit, after pruning if need be; raises OSError (EDQUOT) where they do not."""
        if not self._bytes_max or self.used + wanted <= self._bytes_max:
            self.full = False
            return
        self.recount()
        if self._when_full == "prune":
            for path, size in segment_files(self._directory):
                if self.used + wanted <= self._bytes_max:
                    break
                if path.suffix == OPEN_SUFFIX and is_locked(path):
                    continue
                path.unlink(missing_ok=True)
                self.used -= size
                self.pruned += 1
        self.full = self.used + wanted > self._bytes_max
        if self.full:
            raise OSError(errno.EDQUOT, f"the log's budget of {self._bytes_max} bytes is spent", str(self._directory))
