"""What a HAR keeps beside itself: bodies in files (Playwright and Chromium, `_file`), or all of it in one zip.

The names come from the archive and are hostile as everything in it. Only a plain name is followed, to a regular file of
the same directory or a member of the same zip; no link, and never beyond the bytes that a body may have.
"""

from __future__ import annotations

import os
import re
import stat
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from capture.errors import BadInput
from capture.log.importers.found import opened

__all__ = ["ZIP_BEGINNING", "BesideFile", "InZip", "Kept", "is_zip", "opened_archive"]

ZIP_BEGINNING = b"PK\x03\x04"
_PLAIN_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]{0,254}")


@dataclass(frozen=True, slots=True)
class Kept:
    """A body that was kept beside the archive: its first bytes, and how many it has."""

    data: bytes
    size: int


class BesideFile:
    """Bodies in the directory of a HAR."""

    __slots__ = ("_directory",)

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def body(self, name: str, bytes_max: int) -> Kept | None:
        """Its first bytes; None where there is no such file, or it is none that may be read."""
        if _PLAIN_NAME.fullmatch(name) is None:
            return None
        try:
            # Not blocking: a pipe of that name must not hold up the import.
            fd = os.open(self._directory / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            return None
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode):
            os.close(fd)
            return None
        with open(fd, "rb") as file:
            return Kept(file.read(bytes_max), found.st_size)


class InZip:
    """Bodies in the zip that the HAR itself is in."""

    __slots__ = ("_zip",)

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._zip = archive

    def body(self, name: str, bytes_max: int) -> Kept | None:
        """Its first bytes; None where there is no such member, or it cannot be read."""
        if _PLAIN_NAME.fullmatch(name) is None:
            return None
        try:
            info = self._zip.getinfo(name)
            with self._zip.open(info) as member:
                return Kept(member.read(bytes_max), info.file_size)
        except (KeyError, OSError, EOFError, RuntimeError, NotImplementedError, zipfile.BadZipFile, zlib.error):
            return None


def is_zip(path: Path) -> bool:
    """True for a file that begins as a zip does."""
    try:
        with path.open("rb") as file:
            return file.read(len(ZIP_BEGINNING)) == ZIP_BEGINNING
    except OSError:
        return False  # whoever opens it says why


@contextmanager
def opened_archive(path: Path) -> Iterator[tuple[IO[bytes], BesideFile | InZip]]:
    """The bytes of a HAR, out of its gzip or zip, and where its bodies are. Raises BadInput, Torn as `opened` does."""
    if not is_zip(path):
        with opened(path) as stream:
            yield stream, BesideFile(path.parent)
        return
    try:
        with zipfile.ZipFile(path) as archive:
            hars = [info for info in archive.infolist() if info.filename.lower().endswith(".har")]
            if len(hars) != 1:
                raise BadInput(f"{path}: a zip with {len(hars)} HAR files in it, expected one; unpack it and name them")
            with archive.open(hars[0]) as stream:
                yield stream, InZip(archive)
    except (OSError, EOFError, RuntimeError, NotImplementedError, zipfile.BadZipFile, zlib.error) as error:
        raise BadInput(f"{path}: the zip cannot be read: {error}; unpack it first") from None
