"""Where segments lie: a local directory, or any object store that obstore speaks to (s3://, gs://, az://, memory://, file://)."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Protocol

from capture.errors import BadInput
from capture.log.appender import OPEN_SUFFIX, SEALED_SUFFIX, is_locked
from capture.log.budget import segment_files
from capture.log.source import ByteSource, FileSource, StoredSegment

__all__ = ["LocalStore", "SingleFile", "Store", "is_url", "location_of", "open_store"]

_URL = re.compile(r"(s3a?|gs|az|adl|azure|abfss?|https?|memory|file):/+", re.IGNORECASE)


class Store(Protocol):
    """A place that holds segments."""

    location: str

    def segments(self) -> list[StoredSegment]:
        """What is there, oldest first. Where a segment is there both open and sealed, only the sealed one."""

    def open(self, name: str) -> ByteSource:
        """Its bytes; raises BadInput where it is not there."""

    def remove(self, name: str) -> None:
        """Delete it; no error where it is gone."""


class LocalStore:
    """A directory."""

    __slots__ = ("directory", "location")

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.location = str(directory)

    def segments(self) -> list[StoredSegment]:
        try:
            files = segment_files(self.directory)
        except FileNotFoundError:
            raise BadInput(f"{self.directory}: no such log; name the directory that was given as --log") from None
        except NotADirectoryError:
            raise BadInput(f"{self.directory}: a log is a directory of segments, this is a file") from None
        except OSError as error:
            raise BadInput(f"{self.directory}: the log cannot be read: {error.strerror}") from None
        sealed = {path.stem for path, _ in files if path.suffix == SEALED_SUFFIX}
        return [
            StoredSegment(path.name, size, path.suffix == OPEN_SUFFIX and is_locked(path))
            for path, size in files
            if path.suffix == SEALED_SUFFIX or path.stem not in sealed
        ]

    def open(self, name: str) -> ByteSource:
        path = self.directory / name
        try:
            return FileSource(path, hold=path.suffix == OPEN_SUFFIX)
        except FileNotFoundError:
            if path.suffix == OPEN_SUFFIX:  # sealed since it was listed
                return self.open(path.stem + SEALED_SUFFIX)
            raise BadInput(f"{path}: the segment is gone; it was pruned while it was to be read") from None
        except OSError as error:
            raise BadInput(f"{path}: the segment cannot be read: {error.strerror}") from None

    def remove(self, name: str) -> None:
        (self.directory / name).unlink(missing_ok=True)


class SingleFile(LocalStore):
    """A directory of which one file counts."""

    __slots__ = ("_name",)

    def __init__(self, path: Path) -> None:
        super().__init__(path.parent)
        self.location = str(path)
        self._name = path.name

    def segments(self) -> list[StoredSegment]:
        path = self.directory / self._name
        try:
            size = path.stat().st_size
        except OSError as error:
            raise BadInput(f"{path}: the segment cannot be read: {error.strerror}") from None
        return [StoredSegment(self._name, size, path.suffix == OPEN_SUFFIX and is_locked(path))]


def location_of(path: str | Path) -> str:
    """The location as text. An URL that went through a Path has lost a slash, and gets it back."""
    found = _URL.match(str(path))
    if found is None:
        return str(path)
    scheme = found[1].lower()
    return scheme + (":///" if scheme in ("file", "memory") else "://") + str(path)[found.end() :]


def is_url(location: str | Path) -> bool:
    """True for the address of an object store."""
    return _URL.match(str(location)) is not None


def open_store(location: str | Path) -> Store:
    """The store of a location: a directory, or an URL of an object store."""
    text = location_of(location)
    if _URL.match(text):
        from capture.log.objects import ObjectStore

        return ObjectStore(text)
    return LocalStore(Path(text))
