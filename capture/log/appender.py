"""One segment file while it is written: appended to, cut back after a failed write, sealed by renaming it.

A segment is `<id>.open` while it grows and `<id>.seg` from the moment it is sealed. The file is locked (flock) while
its writer lives, so that a reader can tell a segment that is being written from one whose writer was killed.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import secrets
from pathlib import Path
from typing import Literal

__all__ = [
    "OPEN_SUFFIX",
    "SEALED_SUFFIX",
    "TEMPORARY_SUFFIX",
    "Appender",
    "is_locked",
    "new_segment_id",
    "sync_directory",
]

OPEN_SUFFIX, SEALED_SUFFIX, TEMPORARY_SUFFIX = ".open", ".seg", ".tmp"
_SINCE_MS = 1_577_836_800_000
_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32: sorts as the numbers do, has no i, l, o, u


def new_segment_id(now_ns: int) -> str:
    """Twelve characters: 41 bits of the millisecond since 2020 it was made in, so ids sort by age; 19 of chance."""
    number = (now_ns // 1_000_000 - _SINCE_MS & (1 << 41) - 1) << 19 | secrets.randbits(19)
    return "".join(_ALPHABET[number >> shift & 31] for shift in range(55, -1, -5))


def is_locked(path: Path) -> bool:
    """True where a living writer holds the segment."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    else:
        return False
    finally:
        os.close(fd)


def sync_directory(directory: Path) -> None:
    """Make a rename or a removal in the directory durable."""
    fd = os.open(directory, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


class Appender:
    """A segment that is being written. Any method may raise OSError; the file then ends where it ended before.

    header: the bytes that the file begins with. `end` is the length of what is whole.
    """

    __slots__ = ("_fd", "_fsync", "directory", "end", "path", "segment")

    def __init__(self, directory: Path, segment: str, header: bytes, fsync: Literal["off", "seal", "flush"]) -> None:
        self.directory = directory
        self.segment = segment
        self.path = directory / (segment + OPEN_SUFFIX)
        self.end = 0
        self._fsync = fsync
        # Made under another name, so that nobody ever sees a segment without its header or its lock.
        making = directory / (segment + TEMPORARY_SUFFIX)
        self._fd = os.open(making, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640)
        try:
            with contextlib.suppress(OSError):  # a file system without locks: readers cannot tell, nothing else is lost
                fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self.append(header)
            os.rename(making, self.path)
        except OSError:
            os.close(self._fd)
            self._fd = -1
            making.unlink(missing_ok=True)
            raise

    @property
    def sealed_path(self) -> Path:
        """Where it will be once it is sealed."""
        return self.directory / (self.segment + SEALED_SUFFIX)

    def append(self, data: bytes) -> int:
        """Add all of `data` at the end; returns the offset where it begins."""
        if os.fstat(self._fd).st_nlink == 0:
            raise FileNotFoundError(errno.ENOENT, "the segment was deleted while it was written", str(self.path))
        start, at = self.end, self.end
        view = memoryview(data)
        try:
            while view:
                written = os.pwrite(self._fd, view, at)
                view, at = view[written:], at + written
            if self._fsync == "flush":
                os.fsync(self._fd)
        except OSError:
            with contextlib.suppress(OSError):  # the next append writes over it; a reader sees a torn tail until then
                os.ftruncate(self._fd, start)
            raise
        self.end = at
        return start

    def read(self, offset: int, length: int) -> bytes:
        """Bytes that were appended before."""
        return os.pread(self._fd, length, offset)

    def seal(self, tail: bytes) -> Path:
        """Append the tail (footer and trailer), sync by the policy, rename; returns the final path."""
        start = self.append(tail)
        sealed = self.sealed_path
        try:
            if self._fsync != "off":
                os.fsync(self._fd)
            os.rename(self.path, sealed)
        except OSError:
            self.end = start
            with contextlib.suppress(OSError):
                os.ftruncate(self._fd, start)
            raise
        self._finish()
        return sealed

    def seal_as(self, replacement: Path) -> Path:
        """Put a rewritten copy, complete with its tail, in this segment's place; returns the final path.

        After a crash between the two steps both files are there, and readers take the sealed one.
        """
        if self._fsync != "off":
            fd = os.open(replacement, os.O_RDONLY | os.O_CLOEXEC)
            try:
                os.fsync(fd)
            finally:
                os.close(fd)
        sealed = self.sealed_path
        os.rename(replacement, sealed)
        self.path.unlink(missing_ok=True)
        self._finish()
        return sealed

    def _finish(self) -> None:
        self.close()
        if self._fsync != "off":
            sync_directory(self.directory)

    def close(self) -> None:
        """Let go of the file as it is: what was appended stays readable."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
