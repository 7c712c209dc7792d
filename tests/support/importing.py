"""Literal records of other tools' files, and what importers made of them."""

from __future__ import annotations

from typing import Any

from capture.exchange import Exchange
from capture.log.importers.found import Found, Skipped

__all__ = ["LINES", "entry", "parts"]


def parts(records: Any) -> tuple[list[Exchange], list[Skipped]]:
    found = list(records)
    taken = [record.exchange for record in found if isinstance(record, Found)]
    return taken, [record for record in found if isinstance(record, Skipped)]


def entry(url: str = "https://shop.example/a?b=1#part", **changes: Any) -> dict[str, Any]:
    made: dict[str, Any] = {
        "startedDateTime": "2026-01-31T12:00:00.250+01:00",
        "time": 30,
        "request": {"method": "GET", "url": url, "httpVersion": "HTTP/1.1", "headers": [], "bodySize": 0},
        "response": {"status": 200, "statusText": "OK", "httpVersion": "HTTP/1.1", "headers": [], "content": {}},
        "timings": {"blocked": 5, "dns": -1, "connect": 10, "ssl": 8, "send": 1, "wait": 9, "receive": 5},
    }
    for name, value in changes.items():
        target = made
        *path, last = name.split("__")
        for step in path:
            target = target[step]
        target[last] = value
    return made


LINES = r"""203.0.113.9 - - [10/Oct/2026:13:55:36 -0700] "GET /a?b=1 HTTP/1.1" 200 2326 "https://shop/" "A \x22x\x22"
203.0.113.9 - bob [10/Oct/2026:13:55:36 -0700] "HEAD /b HTTP/2.0" 304 - "-" "-"
203.0.113.9 - - [10/Oct/2026:13:55:37 -0700] "POST /c HTTP/1.1" 200 1 "-" "-"
203.0.113.9 - - [10/Oct/2026:13:55:37 -0700] "\x16\x03\x01" 400 0 "-" "-"
not a line at all
2001:db8::1 - - [10/Xxx/2026:13:55:37 -0700] "GET / HTTP/1.1" 200 1
"""
