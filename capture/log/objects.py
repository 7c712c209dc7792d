"""Segments in an object store, by ranges: s3://, gs://, az://, file:// and memory:// through obstore (extra `s3`).

Credentials and endpoints come from where each store's own tools take them (AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID,
GOOGLE_SERVICE_ACCOUNT, AZURE_STORAGE_ACCOUNT_KEY and so on); nothing of the kind is ever written to a log.
"""

from __future__ import annotations

import os
import threading
from datetime import timedelta
from pathlib import Path
from typing import Any

from capture.errors import BadInput, RunFailed, UsageError
from capture.log.appender import SEALED_SUFFIX
from capture.log.source import ByteSource, StoredSegment

__all__ = ["ObjectSource", "ObjectStore"]

_TAIL_BYTES = 64 << 10
_TIMEOUT = timedelta(seconds=30)
_ENDPOINTS = (
    *("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT"),
    *("AZURE_STORAGE_ENDPOINT", "AZURE_ENDPOINT", "AZURITE_BLOB_STORAGE_URL", "GOOGLE_BASE_URL"),
)
_PLAIN_HTTP = ("AWS_ALLOW_HTTP", "AZURE_ALLOW_HTTP", "AZURE_STORAGE_USE_EMULATOR", "GOOGLE_ALLOW_HTTP")
_memory: dict[str, Any] = {}
_memory_lock = threading.Lock()


def _obstore() -> Any:
    try:
        import obstore
    except ImportError:
        raise UsageError("a log in an object store needs the library obstore; install understudy[s3]") from None
    return obstore


def _connect(location: str) -> Any:
    obstore = _obstore()
    options: dict[str, Any] = {}
    if location.startswith("memory://"):
        with _memory_lock:  # one process's memory: the same URL is the same store, as for any other kind
            if location not in _memory:
                _memory[location] = obstore.store.from_url(location)
            return _memory[location]
    if location.startswith("file://"):
        options["mkdir"] = True
    else:
        options["retry_config"] = {"max_retries": 3, "retry_timeout": _TIMEOUT}
        options["client_options"] = {
            "timeout": _TIMEOUT,
            "connect_timeout": timedelta(seconds=5),
            "allow_http": _plain_http_wanted(),
        }
    try:
        return obstore.store.from_url(location, **options)
    except (obstore.exceptions.BaseError, ValueError) as error:
        raise BadInput(f"{location}: not an address of an object store: {_one_line(error)}") from None


def _plain_http_wanted() -> bool:
    """True where the environment names an endpoint without TLS (an emulator, a store beside), which is then meant."""
    endpoints = (os.environ.get(name, "") for name in _ENDPOINTS)
    allowed = (os.environ.get(name, "").lower() in ("1", "true") for name in _PLAIN_HTTP)
    return any(allowed) or any(endpoint.lower().startswith("http://") for endpoint in endpoints)


def _one_line(error: BaseException) -> str:
    # What follows is the Rust library's own debug print of the same error, over many lines.
    return " ".join(str(error).partition("Debug source:")[0].split())[:300]


class ObjectSource:
    """One object. The end of it, where the footer is, is fetched once and remembered."""

    __slots__ = ("_errors", "_key", "_obstore", "_size", "_store", "_tail", "name")

    def __init__(self, store: Any, key: str, size: int, name: str) -> None:
        self._obstore = _obstore()
        self._errors: type[Exception] = self._obstore.exceptions.BaseError
        self._store, self._key, self._size, self.name = store, key, size, name
        self._tail: bytes | None = None

    def size(self) -> int:
        return self._size

    def read(self, offset: int, length: int) -> bytes:
        length = min(length, self._size - offset)
        if length <= 0:
            return b""
        start = max(0, self._size - _TAIL_BYTES)
        if offset >= start:
            if self._tail is None:
                self._tail = self._range(start, self._size - start)
            return self._tail[offset - start : offset - start + length]
        return self._range(offset, length)

    def renew(self) -> None:
        self._tail = None

    def _range(self, offset: int, length: int) -> bytes:
        try:
            return bytes(self._obstore.get_range(self._store, self._key, start=offset, length=length))
        except (self._errors, OSError, ValueError) as error:
            raise RunFailed(f"{self.name}: cannot be read from the object store: {_one_line(error)}") from None

    def close(self) -> None:
        self._tail = None


class ObjectStore:
    """A prefix of a bucket that holds sealed segments."""

    __slots__ = ("_errors", "_obstore", "_sizes", "_store", "location")

    def __init__(self, location: str) -> None:
        self.location = location.rstrip("/")
        self._store = _connect(self.location if "://" in self.location else location)
        self._obstore = _obstore()
        self._errors: type[Exception] = self._obstore.exceptions.BaseError
        self._sizes: dict[str, int] = {}

    def segments(self) -> list[StoredSegment]:
        try:
            listed = [meta for page in self._obstore.list(self._store) for meta in page]
        except (self._errors, OSError) as error:
            raise BadInput(f"{self.location}: the object store does not answer: {_one_line(error)}") from None
        self._sizes = {str(meta["path"]): int(meta["size"]) for meta in listed if "/" not in meta["path"]}
        return [
            StoredSegment(name, size, live=False)
            for name, size in sorted(self._sizes.items())
            if name.endswith(SEALED_SUFFIX)
        ]

    def open(self, name: str) -> ByteSource:
        size = self._sizes.get(name)
        if size is None:
            try:
                size = int(self._obstore.head(self._store, name)["size"])
            except (self._errors, OSError) as error:
                raise BadInput(f"{self.location}/{name}: cannot be read: {_one_line(error)}") from None
        return ObjectSource(self._store, name, size, f"{self.location}/{name}")

    def remove(self, name: str) -> None:
        try:
            self._obstore.delete(self._store, name)
        except FileNotFoundError:
            return
        except (self._errors, OSError) as error:
            raise RunFailed(f"{self.location}/{name}: cannot be removed: {_one_line(error)}") from None

    def put(self, path: Path) -> None:
        """Copy a sealed segment into the store under its own name, whole or not at all; raises OSError or RunFailed."""
        try:
            self._obstore.put(self._store, path.name, path)
        except self._errors as error:
            raise RunFailed(f"{self.location}/{path.name}: cannot be written: {_one_line(error)}") from None
