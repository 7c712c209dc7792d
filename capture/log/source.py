"""A segment as it lies somewhere, and its bytes: of a file that may still grow, or a range of an object in a store."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from capture.log.appender import OPEN_SUFFIX, SEALED_SUFFIX

__all__ = ["ByteSource", "FileSource", "MemorySource", "Replaced", "StoredSegment"]


@dataclass(frozen=True, slots=True)
class StoredSegment:
    """One segment file. name: file name; live: its writer is at work on this machine."""

    name: str
    size: int
    live: bool

    @property
    def segment(self) -> str:
        """The segment's id, as its file name says."""
        return self.name.removesuffix(OPEN_SUFFIX).removesuffix(SEALED_SUFFIX)


class Replaced(Exception):
    """Another file of that name has taken the place of the one that was opened: a segment was rewritten for size.

    `renew` of the source takes the new one, of which nothing that was read before need be true.
    """


class ByteSource(Protocol):
    """Random access to one segment. name: how messages call it."""

    name: str

    def size(self) -> int:
        """Bytes there are now."""

    def read(self, offset: int, length: int) -> bytes:
        """Up to `length` bytes from `offset`; fewer only at the end. May raise Replaced."""

    def renew(self) -> None:
        """After Replaced: read what is there now."""

    def close(self) -> None:
        """Let go; reading again may raise OSError."""


class FileSource:
    """A local file. hold: keep it open, for a segment that grows and will be renamed; else it is opened for each read,
    so that a log of thousands of segments needs no more than a few descriptors."""

    __slots__ = ("_fd", "_identity", "name", "path")

    def __init__(self, path: Path, *, hold: bool) -> None:
        self.path = path
        self.name = str(path)
        self._fd = -1
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self._identity = _identity(fd)
        if hold:
            self._fd = fd
        else:
            os.close(fd)

    def size(self) -> int:
        return os.fstat(self._fd).st_size if self._fd >= 0 else self.path.stat().st_size

    def read(self, offset: int, length: int) -> bytes:
        if self._fd >= 0:
            return os.pread(self._fd, length, offset)
        fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            if _identity(fd) != self._identity:
                raise Replaced(self.name)
            return os.pread(fd, length, offset)
        finally:
            os.close(fd)

    def renew(self) -> None:
        if self._fd < 0:
            fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
            self._identity = _identity(fd)
            os.close(fd)

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def _identity(fd: int) -> tuple[int, int, int]:
    """What tells a file from another that took its name; a number of a file that is gone may be given again."""
    status = os.fstat(fd)
    return status.st_dev, status.st_ino, status.st_mtime_ns


class MemorySource:
    """Bytes at hand, for tests and small objects."""

    __slots__ = ("_data", "name")

    def __init__(self, data: bytes, name: str = "memory") -> None:
        self._data = data
        self.name = name

    def size(self) -> int:
        return len(self._data)

    def read(self, offset: int, length: int) -> bytes:
        return self._data[offset : offset + length]

    def renew(self) -> None:
        pass

    def close(self) -> None:
        pass
