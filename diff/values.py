"""Value classes: what kind of thing a value is, so that a field which always differs can still be checked.

Two uuids differ in every pair and mean nothing; a uuid against an empty string is a finding. A class is a short text
such as "uuid", "rfc3339", "epoch-ms", "token:hex:32", "text", "list". It depends on the value and on the time alone.
"""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from decimal import Decimal
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import Any

from diff.difference import MISSING

__all__ = ["VOLATILE", "are_one_moment", "class_of", "is_clock_reading", "is_time", "is_volatile", "number_of"]

VOLATILE = frozenset(
    {"uuid", "ulid", "rfc3339", "http-date", "epoch-s", "epoch-ms", "epoch-us", "epoch-ns", "jwt", "objectid"}
)
"""Classes whose values are made anew for each request, so that two different ones of one class say nothing."""

_CLOCK_S = 5.0
_MOMENT_S = 2.0
_DAY_S = 86_400
_ZONES_S = 900
"""Zones lie whole quarters of an hour apart, so of a time of day only its place within the quarter is known."""
_NEAR_NS = 3 * 86400 * 1_000_000_000
_UNITS = (("epoch-s", 1_000_000_000), ("epoch-ms", 1_000_000), ("epoch-us", 1_000), ("epoch-ns", 1))
_UNITS_A_SECOND = {"epoch-s": 1.0, "epoch-ms": 1e3, "epoch-us": 1e6, "epoch-ns": 1e9}
_CACHED_CHARS_MAX = 128
_LOOKED_AT_CHARS_MAX = 4096

_UUID = re.compile(r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}\Z")
_ULID = re.compile(r"[0-7][0-9A-HJKMNP-TV-Z]{25}\Z")
_RFC3339 = re.compile(
    r"\d{4}-[01]\d-[0-3]\d[Tt ][0-2]\d:[0-5]\d(?::[0-6]\d(?P<fraction>[.,]\d+)?)?(?P<zone>[Zz]|[+-]\d\d:?\d\d)?\Z"
)
_TIME_OF_DAY = re.compile(r"(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d(?:[.,]\d{1,9})?\Z", re.ASCII)
_DATE = re.compile(r"\d{4}-[01]\d-[0-3]\d\Z")
_HTTP_DATE = re.compile(r"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)[a-z]*, \d\d[ -][A-Z][a-z]{2}[ -]\d{2,4} \d\d:\d\d:\d\d GMT\Z")
_JWT = re.compile(r"eyJ[A-Za-z0-9_-]{5,}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*\Z")
_URL = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*://[^\s]+\Z")
_EMAIL = re.compile(r"[^\s@<>\"']+@[^\s@<>\"']+\.[a-zA-Z]{2,}\Z")
_INTEGER = re.compile(r"[+-]?\d+\Z")
_DECIMAL = re.compile(r"[+-]?\d+\.\d+(?:[eE][+-]?\d+)?\Z")
_HEX = re.compile(r"(?:[0-9a-f]{8,}|[0-9A-F]{8,})\Z")
_TOKEN = re.compile(r"[A-Za-z0-9_\-+/.~]{12,}={0,2}\Z")
_ETAG = re.compile(r'(?P<weak>W/)?"[^"]*"\Z')
_PATH = re.compile(r"/[^\s]*\Z")


def class_of(value: Any, now_ns: int) -> str:
    """The class of a value of a body, header or cookie.

    now_ns: ns since the Unix epoch when the request was performed; an integer within three days of it, in seconds,
    milliseconds, microseconds or nanoseconds, is a timestamp.
    Numbers: "int", "float", "nan", "epoch-*"; the same written as text: "text:int" and so on, so that a number that
    became a string is another class. Containers: "list", "object", and "empty-list", "empty-object" without content.
    Text: "empty", "uuid", "ulid", "objectid", "rfc3339[.f][:zone]", "http-date", "date", "time", "jwt", "url", "path",
    "e-mail", "etag", "token:ALPHABET:LENGTH" or "text". Absent is "absent"; bytes are "bytes".
    """
    if isinstance(value, str):
        if len(value) <= _CACHED_CHARS_MAX:
            return _text_class(value) or _numeric_text(value, now_ns)
        if len(value) > _LOOKED_AT_CHARS_MAX:
            return "text"
        return _text_class.__wrapped__(value) or _numeric_text(value, now_ns)
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int):
        return _integer_class(value, now_ns)
    if isinstance(value, float):
        if not math.isfinite(value):
            return "nan"
        return _fraction_class(value, now_ns)
    if isinstance(value, Decimal):
        return "float" if value.is_finite() else "nan"
    if value is MISSING:
        return "absent"
    if isinstance(value, list | tuple):
        return "list" if value else "empty-list"
    if isinstance(value, dict):
        return "object" if value else "empty-object"
    if isinstance(value, bytes | bytearray | memoryview):
        return "bytes" if len(value) else "empty"
    return type(value).__name__.lower()


def is_volatile(name: str) -> bool:
    """True where two different values of that class say nothing about the build."""
    head = _head(name)
    if head == "token":
        length = name.rpartition(":")[2]
        return length.isdigit() and int(length) >= 16
    return head in VOLATILE


def is_time(name: str) -> bool:
    """True where values of that class are points in time."""
    return _head(name) in ("rfc3339", "http-date") or _head(name) in _UNITS_A_SECOND


def _head(name: str) -> str:
    return name.partition(":")[0].partition(".")[0]


def number_of(value: Any) -> float | None:
    """The number that a value is, seconds since the Unix epoch for a time in text; None for anything else."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float | Decimal):
        try:
            number = float(value)
        except OverflowError:
            return None
        return number if math.isfinite(number) else None
    if not isinstance(value, str) or not 8 <= len(value) <= 40 or not value[0].isalnum():
        return None
    try:
        if value[0].isdigit():
            if value[4:5] != "-":
                return float(value) if value.isascii() and value.replace(".", "", 1).isdigit() else None
            moment = datetime.fromisoformat(value)
        elif value.endswith(" GMT"):
            moment = parsedate_to_datetime(value)
        else:
            return None
        return (moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError, TypeError):
        return None


def is_clock_reading(value: Any, name: str, now_ns: int) -> bool:
    """True where a value is the time at which it was asked for: a timestamp within five seconds of now.

    name: its class. Two builds that both read their clocks agree, whatever the scheduler did between the two readings.
    """
    kind = _head(name)
    if name == "time":
        return _was_between(_second_of_day(value), now_ns / 1e9 - _CLOCK_S, now_ns / 1e9 + _CLOCK_S)
    if not is_time(name):
        return False
    number = number_of(value)
    return number is not None and abs(number / _UNITS_A_SECOND.get(kind, 1.0) - now_ns / 1e9) <= _CLOCK_S


def are_one_moment(left: Any, right: Any, name: str, since_ns: int, now_ns: int) -> bool:
    """True where both are the clock at one moment of the run: times since it began, within seconds of each other.

    name: the class of both. What builds made for the same request earlier in the run has such times, and keeps them.
    """
    if name == "time":
        seconds = sorted(map(_second_of_day, (left, right)))
        apart = min(seconds[1] - seconds[0], seconds[0] + _DAY_S - seconds[1])
        since, until = since_ns / 1e9 - _CLOCK_S, now_ns / 1e9 + _CLOCK_S
        return apart <= _MOMENT_S and all(_was_between(second, since, until) for second in seconds)
    unit = _UNITS_A_SECOND.get(_head(name), 1.0)
    mine, other = number_of(left), number_of(right)
    if not is_time(name) or mine is None or other is None:
        return False
    earliest_s, latest_s = min(mine, other) / unit, max(mine, other) / unit
    return (
        since_ns / 1e9 - _CLOCK_S <= earliest_s
        and latest_s <= now_ns / 1e9 + _CLOCK_S
        and latest_s - earliest_s <= _MOMENT_S
    )


def _second_of_day(value: str) -> float:
    """Of a value of class "time"."""
    return int(value[:2]) * 3600 + int(value[3:5]) * 60 + float(value[6:].replace(",", "."))


def _was_between(second_of_day: float, since_s: float, until_s: float) -> bool:
    """True where it was that time of day in some zone between two times in seconds since the epoch."""
    return (second_of_day - since_s) % _ZONES_S <= until_s - since_s


def _integer_class(value: int, now_ns: int) -> str:
    if value > 1_000_000_000:
        for name, unit in _UNITS:
            if abs(value * unit - now_ns) < _NEAR_NS:
                return name
    return "int"


def _fraction_class(value: float, now_ns: int) -> str:
    if value > 1e9 and abs(value * 1e9 - now_ns) < _NEAR_NS:
        return "epoch-s.f"
    if value > 1e12 and abs(value * 1e6 - now_ns) < _NEAR_NS:
        return "epoch-ms.f"
    return "float"


def _numeric_text(value: str, now_ns: int) -> str:
    if _INTEGER.match(value):
        found = _integer_class(int(value), now_ns) if len(value) < 25 else "int"
    else:
        found = _fraction_class(float(value), now_ns)
    return f"text:{found}" if found in ("int", "float") else found


@lru_cache(maxsize=1 << 16)
def _text_class(value: str) -> str:
    """The class of a text that depends on nothing else; "" for a number, whose class depends on the time."""
    if not value:
        return "empty"
    if value.isspace():
        return "blank"
    first = value[0]
    if first.isdigit() or first in "+-":
        if _INTEGER.match(value) or (_DECIMAL.match(value) and len(value) < 40):
            return ""
        if moment := _RFC3339.match(value):
            zone = moment["zone"]
            written = "" if zone is None else ":z" if zone in "zZ" else ":offset"
            return "rfc3339" + (".f" if moment["fraction"] else "") + written
        if _DATE.match(value):
            return "date"
        if _TIME_OF_DAY.match(value):
            return "time"
    if len(value) == 36 and _UUID.match(value):
        return "uuid"
    if len(value) == 26 and _ULID.match(value):
        return "ulid"
    if first in "MTWFS" and _HTTP_DATE.match(value):
        return "http-date"
    if tag := _ETAG.match(value):
        return "etag:weak" if tag["weak"] else "etag"
    if first == "/" and _PATH.match(value):
        return "path"
    if value.startswith("eyJ") and _JWT.match(value):
        return "jwt"
    if "://" in value and _URL.match(value):
        return "url"
    if "@" in value and _EMAIL.match(value):
        return "e-mail"
    return _opaque_class(value)


def _opaque_class(value: str) -> str:
    """Tokens by alphabet and length; a word of letters alone, or with a plain hyphen, is text."""
    letters_and_digits = any(c.isdigit() for c in value) and any(c.isalpha() for c in value)
    if letters_and_digits and _HEX.match(value):
        return "objectid" if len(value) == 24 else f"token:hex:{len(value)}"
    if not _TOKEN.match(value):
        return "text"
    mixed = sum((any(c.isdigit() for c in value), any(c.islower() for c in value), any(c.isupper() for c in value)))
    if mixed == 3 or (mixed == 2 and letters_and_digits and len(value) >= 20 and "." not in value):
        return f"token:base64:{len(value)}"
    return "text"
