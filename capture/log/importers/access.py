"""Access logs of nginx and Apache in the common and combined formats: GET and HEAD only, as bodies are not in them.

203.0.113.9 - - [10/Oct/2026:13:55:36 -0700] "GET /a?b HTTP/1.1" 200 2326 "https://shop.example/" "Mozilla/5.0"

In front of it may stand the server's name (vhost_combined), and behind the client the proxies that it came through
(X-Forwarded-For as the first field). The user's name may hold spaces.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

from capture.exchange import Exchange, Request, Response, Times
from capture.log.importers.found import Found, Skipped, lines_of
from capture.log.importers.wire import version_of

__all__ = ["read", "recognise"]

_LINE = re.compile(
    rb"(?:(?P<host>[^\s,]+?)(?::\d+)? (?!- ))?(?P<client>[^\s,]+)(?:, ?[^\s,]+)* \S+ (?P<user>\S.*?) "
    rb"\[(?P<time>[^\]]{20,40})\] "
    rb'"(?P<request>(?:[^"\\]|\\.)*)" (?P<status>\d{3}) (?P<bytes>\d+|-)'
    rb'(?: "(?P<referer>(?:[^"\\]|\\.)*)" "(?P<agent>(?:[^"\\]|\\.)*)")?(?: .*)?'
)
_REQUEST = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+) (\S+) (HTTP/\d(?:\.\d)?)")
_ESCAPE = re.compile(rb"\\(x[0-9A-Fa-f]{2}|.)", re.DOTALL)
_PLAIN = {b"n": b"\n", b"t": b"\t", b"r": b"\r", b"b": b"\b", b"v": b"\v", b"f": b"\f"}
_S = 1_000_000_000
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_TIME = re.compile(r"(\d{2})/([A-Z][a-z]{2})/(\d{4}):(\d{2}):(\d{2}):(\d{2}) ([+-])(\d{2})(\d{2})")


def recognise(head: bytes) -> bool:
    """True where the first whole line is one of an access log."""
    first = head.lstrip(b"\xef\xbb\xbf \t\r\n").split(b"\n", 1)[0].rstrip(b"\r")
    return _LINE.fullmatch(first) is not None


def read(path: Path) -> Iterator[Found | Skipped]:
    """Every GET and HEAD. Lines tell the second only: within one, their order is kept a microsecond apart."""
    second_ns = count = 0
    for number, line in lines_of(path):
        place = f"line {number}"
        found = _LINE.fullmatch(line) if line is not None else None
        if line is None or found is None:
            yield Skipped(place, "bad_record", "not a line of the common or combined format")
            continue
        request = _REQUEST.fullmatch(_unescaped(found["request"]))
        if request is None:
            yield Skipped(place, "bad_record", f"no request: {found['request'][:60]!r}")
            continue
        method = request[1].decode("ascii")
        if method not in ("GET", "HEAD"):
            yield Skipped(place, "no_body", f"a {method}: its body is not in an access log")
            continue
        try:
            at_ns = _time_ns(found["time"].decode("latin-1"))
        except ValueError as error:
            yield Skipped(place, "bad_record", str(error))
            continue
        count = count + 1 if at_ns == second_ns else 0
        second_ns = at_ns
        yield Found(
            _exchange(found, request, at_ns + min(count * 1000, _S - 1)), client=found["client"].decode("latin-1")
        )


def _unescaped(text: bytes) -> bytes:
    """nginx writes \\xHH, Apache also \\" and \\\\ and the letters of C."""

    def byte(found: re.Match[bytes]) -> bytes:
        code = found[1]
        return bytes((int(code[1:], 16),)) if len(code) == 3 else _PLAIN.get(code, code)

    return _ESCAPE.sub(byte, text)


def _time_ns(text: str) -> int:
    found = _TIME.fullmatch(text)
    if found is None or found[2] not in _MONTHS:
        raise ValueError(f"{text[:40]!r} is not a time such as 10/Oct/2026:13:55:36 -0700")
    day, year, hour, minute, second = (int(found[n]) for n in (1, 3, 4, 5, 6))
    at = datetime(year, _MONTHS.index(found[2]) + 1, day, hour, minute, min(second, 59))
    offset = timedelta(hours=int(found[8]), minutes=int(found[9]))
    at = at - offset if found[7] == "+" else at + offset
    return (at - datetime(1970, 1, 1)) // timedelta(seconds=1) * _S


def _exchange(found: re.Match[bytes], request: re.Match[bytes], at_ns: int) -> Exchange:
    host = (found["host"] or b"").decode("latin-1")
    headers = [("Host", host)] if host else []
    for name, group in (("Referer", "referer"), ("User-Agent", "agent")):
        value = _unescaped(found[group] or b"-")
        if value not in (b"-", b""):
            headers.append((name, value.decode("latin-1")))
    version = version_of(request[3].decode("ascii"))
    sent = Request(request[1].decode("ascii"), request[2].decode("latin-1"), version, tuple(headers))
    size = int(found["bytes"]) if found["bytes"] != b"-" else 0
    response = Response(int(found["status"]), "", version, (), None, size)
    notes = ("access log: headers and bodies are not in it",)
    return Exchange("", "", "access", 1.0, sent, response, Times(at_ns), None, (), -1, host, "http", notes)
