"""Our own JSONL, as `understudy log cat` and `log export --to jsonl` write it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from capture.log.importers.found import Found, Skipped, lines_of
from capture.log.jsonl import LineError, exchange_of

__all__ = ["read", "recognise"]

_KEY = re.compile(rb'"(request|times_ns|kept_with|at)"\s*:')


def recognise(head: bytes) -> bool:
    """True where the first line is an object with the keys of ours; the line itself may be longer than the head."""
    first = head.lstrip(b"\xef\xbb\xbf \t\r\n").split(b"\n", 1)[0]
    if not first.startswith(b"{"):
        return False
    keys = {found[1] for found in _KEY.finditer(first)}
    return b"request" in keys and len(keys) > 1 and b'"method"' in first


def read(path: Path) -> Iterator[Found | Skipped]:
    """Every exchange of the file; a line that is none is skipped."""
    for number, line in lines_of(path):
        place = f"line {number}"
        if line is None:
            yield Skipped(place, "too_large", "the line is longer than any exchange can be")
            continue
        try:
            exchange = exchange_of(line.removeprefix(b"\xef\xbb\xbf"))
        except LineError as error:
            yield Skipped(place, "bad_record", str(error))
            continue
        yield Found(exchange, client=exchange.session, settled=bool(exchange.session))
