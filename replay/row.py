"""What the names of a request's headers say by themselves, worked out once for each row of names.

A service's clients send few different rows; what a request needs to know of its own headers is then a look-up.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from operator import itemgetter
from typing import Final

from capture.exchange import Headers

__all__ = ["HOP_BY_HOP", "MARKER", "TOKEN", "Row", "bearing", "row_of"]

MARKER = "X-Understudy-Replay"
"""The header that every replayed request carries: RUN/EXCHANGE."""

HOP_BY_HOP = frozenset(("connection", "keep-alive", "proxy-connection", "te", "upgrade", "expect", "http2-settings"))
"""Headers about the recorded connection (RFC 9110 section 7.6.1), which are not sent again."""

TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+\Z")
"""A name or a method (RFC 9110 section 5.6.2)."""

_ROWS_MAX = 4096
_PLAIN = (
    "host user-agent accept accept-encoding accept-language accept-charset connection keep-alive content-length"
    " content-type content-encoding transfer-encoding cache-control pragma date dnt origin referer te trailer upgrade"
    " upgrade-insecure-requests via x-forwarded-for x-forwarded-proto x-forwarded-host forwarded expect range"
    " traceparent tracestate baggage sec-fetch-site sec-fetch-mode sec-fetch-dest"
    " sec-fetch-user sec-ch-ua sec-ch-ua-mobile sec-ch-ua-platform priority max-forwards cookie"
)
_PLAIN_HEADERS = frozenset(_PLAIN.split())

Picker = Callable[[tuple[str, ...]], tuple[str, ...]]


@lru_cache(maxsize=4096)
def bearing(name: str) -> str:
    """The name in lower case, "" where headers of that name carry nothing that a response supplied."""
    lower = name.lower()
    return lower if lower == "cookie" or lower not in _PLAIN_HEADERS else ""


class Row:
    """What a row of header names says.

    valid: all of them can be put on the wire. marked: one is the marker of a replay. upgrades, connections: where
    those headers are; host, trace, length: likewise, -1 where there is none. bears: one may carry what a response
    supplied. plain: False where the request needs more changes than `pieces` makes.

    pieces: the text of the request's head, cut so that every second piece, from 1, is a value, empty as yet: method,
    target, version, what `kept` picks of the values, the traceparent where none was recorded, the marker. host_at,
    trace_at: which of them are Host's and the traceparent's. Copy it before filling it in.
    """

    __slots__ = (
        "bears",
        "connections",
        "host",
        "host_at",
        "kept",
        "length",
        "marked",
        "pieces",
        "plain",
        "trace",
        "trace_at",
        "upgrades",
        "valid",
    )

    def __init__(self, names: tuple[str, ...]) -> None:
        lower = [name.lower() for name in names]
        self.valid = all(TOKEN.match(name.lstrip(":")) for name in names)
        self.marked = MARKER.lower() in lower
        self.upgrades = tuple(at for at, name in enumerate(lower) if name == "upgrade")
        self.bears = any(bearing(name) for name in names)
        self.host = lower.index("host") if "host" in lower else -1
        self.trace = lower.index("traceparent") if "traceparent" in lower else -1
        self.length = lower.index("content-length") if "content-length" in lower else -1
        self.connections = tuple(at for at, name in enumerate(lower) if name == "connection")
        self.plain = (
            all(lower.count(name) <= 1 for name in ("host", "traceparent", "content-length"))
            and self.host >= 0
            and "transfer-encoding" not in lower
            and not any(name[:1] == ":" for name in names)
        )
        kept = [at for at, name in enumerate(lower) if name not in HOP_BY_HOP]
        self.kept = _picker(kept)
        names = tuple(names[at] for at in kept)
        if self.trace < 0:
            names += ("traceparent",)
        pieces = ["", "", " ", "", " ", ""]
        for name in (*names, MARKER):
            pieces += (f"\r\n{name}: ", "")
        self.pieces = [*pieces, "\r\n\r\n"]
        self.host_at = 7 + 2 * kept.index(self.host) if self.host >= 0 else -1
        self.trace_at = 7 + 2 * (kept.index(self.trace) if self.trace >= 0 else len(kept))


def _picker(places: list[int]) -> Picker:
    if len(places) > 1:
        return itemgetter(*places)
    return lambda values: tuple(values[place] for place in places)


_EMPTY = Row(())
_rows: Final[dict[tuple[str, ...], Row]] = {}
"""Shared by all plans, bounded below."""


def row_of(headers: Headers) -> tuple[Row, tuple[str, ...]]:
    """The row of these headers, and their values in the same order."""
    if not headers:
        return _EMPTY, ()
    names = tuple([name for name, _ in headers])
    values = tuple([value for _, value in headers])
    row = _rows.get(names)
    if row is None:
        if len(_rows) >= _ROWS_MAX:
            _rows.clear()
        row = _rows[names] = Row(names)
    return row, values
