"""Exchanges for tests of the log: literal, small, and alike enough to look like one service's traffic."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from pathlib import Path

from msgspec.structs import replace

from capture.exchange import Exchange, Request, Response, Times
from capture.log.segment import RecordWriter
from capture.log.writer import EXCHANGE_KIND
from capture.settings import LogConfig

__all__ = ["START_NS", "an_exchange", "exchanges", "without_id", "write_log"]

START_NS = 1_700_000_000_000_000_000


def an_exchange(
    number: int, *, body: bytes | None = None, session: str | None = None, at_ns: int | None = None, id: str = ""
) -> Exchange:
    """One GET of one thing, a millisecond after the one before; sessions have five exchanges each."""
    answer = (
        body if body is not None else json.dumps({"id": number, "name": f"thing {number}", "pad": "x" * 80}).encode()
    )
    start = START_NS + number * 1_000_000 if at_ns is None else at_ns
    return Exchange(
        id,
        f"session-{number // 5}" if session is None else session,
        "test",
        0.5,
        Request("GET", f"/things/{number}", "HTTP/1.1", (("Host", "shop.example"), ("X-Byte", "\xe9"))),
        Response(200, "OK", "HTTP/1.1", (("Content-Type", "application/json"),), answer, len(answer)),
        Times(start, start + 10, start + 2000, start + 3000),
        connection=number,
        server="127.0.0.1:80",
    )


def exchanges(count: int, first: int = 0) -> list[Exchange]:
    """`count` exchanges, numbered from `first`."""
    return [an_exchange(number) for number in range(first, first + count)]


def without_id(records: Iterable[Exchange]) -> list[Exchange]:
    """The same records as they were before a log gave them ids."""
    return [replace(record, id="") for record in records]


def write_log(directory: Path, records: Iterable[Exchange], *, each: int = 10, **options: object) -> Path:
    """A sealed log of one segment with a block for every `each` records; returns the segment's path.

    Its name sorts behind all that the directory has, also where that was made in this millisecond.
    """
    config = LogConfig(**{"fsync": "off", "compact": False, **options})  # type: ignore[arg-type]
    ahead_ns = len(list(directory.glob("*"))) * 1_000_000
    writer = RecordWriter(
        directory,
        Exchange,
        EXCHANGE_KIND,
        config,
        {"source": "test"},
        now_ns=lambda: time.time_ns() + ahead_ns,
        dense=True,
    )
    for number, record in enumerate(records, 1):
        writer.write(record, record.times.request_start)
        if number % each == 0:
            writer.flush()
    writer.close()
    return writer.segments_sealed[-1]
