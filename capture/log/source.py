"""Where the bytes of a segment come from: a file that may still grow, or a range of an object in a store."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Protocol

__all__ = ["ByteSource", "FileSource", "MemorySource"]


class ByteSource(Protocol):
    """Random access to one segment. name: how messages call it."""

    name: str

    def size(self) -> int:
        """Bytes there are now."""

    def read(self, offset: int, length: int) -> bytes:
        """Up to `length` bytes from `offset`; fewer only at the end."""

    def close(self) -> None:
        """Let go; reading again may raise OSError."""


class FileSource:
    """A local file. hold: keep it open, for a segment that grows and will be renamed; else it is opened for each read,
    so that a log of thousands of segments needs no more than a few descriptors."""

    __slots__ = ("_fd", "name", "path")

    def __init__(self, path: Path, *, hold: bool) -> None:
        self.path = path
        self.name = str(path)
        self._fd = -1
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
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
            return os.pread(fd, length, offset)
        finally:
            os.close(fd)

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


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

    def close(self) -> None:
        pass
