"""Our own logs: a directory, or a single segment file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from capture.log.format import MAGIC
from capture.log.importers.found import Found, Skipped
from capture.log.reader import open_log, open_segment_file

__all__ = ["read", "recognise"]


def recognise(head: bytes) -> bool:
    """True for the first bytes of a segment."""
    return head.startswith(MAGIC)


def read(path: Path, key: bytes | None = None) -> Iterator[Found | Skipped]:
    """Every whole exchange with its id, session and probability; what is damaged is skipped with its byte offset."""
    log = open_log(path, key=key) if path.is_dir() else open_segment_file(path, key=key)
    with log:
        for exchange in log.unordered():
            yield Found(exchange, settled=True)
        for item in log.damage:
            yield Skipped(f"byte {item.offset}", "damaged", item.what)
