"""Compare the cookies that two responses set, by name and by attribute (RFC 6265, with the browsers' later ones)."""

from __future__ import annotations

from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Final

import msgspec

from capture.exchange import Headers, headers_named
from diff.collector import Collector
from diff.difference import MISSING

__all__ = ["SetCookie", "compare_cookies", "parse_set_cookie"]

_SPELLING: Final = {
    "path": "Path",
    "domain": "Domain",
    "expires": "Expires",
    "max-age": "Max-Age",
    "secure": "Secure",
    "httponly": "HttpOnly",
    "samesite": "SameSite",
    "partitioned": "Partitioned",
    "priority": "Priority",
}
_FLAGS: Final = frozenset({"secure", "httponly", "partitioned"})
_NS: Final = 1_000_000_000
_LIFETIME_SLACK_S: Final = 60


class SetCookie(msgspec.Struct, frozen=True, gc=False):
    """One Set-Cookie line. attributes: lower-case names to values, the last of a name counts, as in browsers."""

    name: str
    value: str
    attributes: dict[str, str]


def parse_set_cookie(line: str) -> SetCookie:
    """What a Set-Cookie value says (RFC 6265, section 5.2); a line without "=" is a cookie without a name."""
    first, *rest = line.split(";")
    name, equals, value = first.partition("=")
    if not equals:
        name, value = "", first
    attributes: dict[str, str] = {}
    for part in rest:
        key, _, text = part.partition("=")
        key = key.strip().lower()
        if key:
            attributes[key] = "" if key in _FLAGS else text.strip()
    return SetCookie(name.strip(), value.strip(), attributes)


def compare_cookies(left: Headers, right: Headers, left_now_ns: int, right_now_ns: int, collector: Collector) -> None:
    """Add the differences of what two responses set to the collector, whose place is "cookie".

    left_now_ns, right_now_ns: when each response came, ns since the Unix epoch, so that Expires can be compared as a
    lifetime. A cookie that is set more than once is paired by path and domain, else in order.
    """
    left_lines, right_lines = headers_named(left, "set-cookie"), headers_named(right, "set-cookie")
    if left_lines == right_lines and abs(left_now_ns - right_now_ns) < _LIFETIME_SLACK_S * _NS:
        return
    left_cookies = [parse_set_cookie(line) for line in left_lines]
    waiting = [parse_set_cookie(line) for line in right_lines]
    unmatched: list[SetCookie] = []
    pairs: list[tuple[SetCookie, SetCookie]] = []
    for cookie in left_cookies:
        found = next((other for other in waiting if _scope(other) == _scope(cookie)), None)
        if found is None:
            unmatched.append(cookie)
        else:
            waiting.remove(found)
            pairs.append((cookie, found))
    for cookie in unmatched:
        found = next((other for other in waiting if other.name == cookie.name), None)
        if found is None:
            collector.add((cookie.name,), "missing", cookie.value)
        else:
            waiting.remove(found)
            pairs.append((cookie, found))
    for cookie in waiting:
        collector.add((cookie.name,), "extra", right=cookie.value)
    for cookie, other in pairs:
        _compare_pair(cookie, other, left_now_ns, right_now_ns, collector)


def _scope(cookie: SetCookie) -> tuple[str, str, str]:
    domain = cookie.attributes.get("domain", "").lower().removeprefix(".")
    return cookie.name, cookie.attributes.get("path", ""), domain


def _compare_pair(left: SetCookie, right: SetCookie, left_now_ns: int, right_now_ns: int, collector: Collector) -> None:
    if left.value != right.value:
        collector.add((left.name,), "value", left.value, right.value)
    for key in [*left.attributes, *(key for key in right.attributes if key not in left.attributes)]:
        path = (left.name, _SPELLING.get(key, key))
        mine = _said(key, left.attributes[key]) if key in left.attributes else MISSING
        other = _said(key, right.attributes[key]) if key in right.attributes else MISSING
        if mine is MISSING:
            collector.add(path, "extra", MISSING, other)
        elif other is MISSING:
            collector.add(path, "missing", mine)
        elif key == "expires":
            if not _same_expiry(str(mine), str(other), left_now_ns, right_now_ns):
                collector.add(
                    path, "value", _lifetime_text(str(mine), left_now_ns), _lifetime_text(str(other), right_now_ns)
                )
        elif mine != other:
            collector.add(path, "value", mine, other)


def _said(key: str, text: str) -> str | bool:
    if key in _FLAGS:
        return True
    if key == "domain":
        return text.lower().removeprefix(".")
    return text.capitalize() if key == "samesite" else text


def _lifetime_s(text: str, now_ns: int) -> int | None:
    """Seconds from now to the date; None where it is no date."""
    try:
        date = parsedate_to_datetime(text.replace("-", " "))
        return int((date if date.tzinfo is not None else date.replace(tzinfo=UTC)).timestamp()) - now_ns // _NS
    except (ValueError, TypeError, OverflowError):
        return None


def _same_expiry(left: str, right: str, left_now_ns: int, right_now_ns: int) -> bool:
    """Both expired, both not a date, or both in the future for about as long: to a minute or one per cent."""
    mine, other = _lifetime_s(left, left_now_ns), _lifetime_s(right, right_now_ns)
    if mine is None or other is None:
        return mine is other and left == right
    if mine <= 0 or other <= 0:
        return mine <= 0 and other <= 0
    return abs(mine - other) <= max(_LIFETIME_SLACK_S, min(mine, other) // 100)


def _lifetime_text(text: str, now_ns: int) -> str:
    seconds = _lifetime_s(text, now_ns)
    if seconds is None:
        return f"not a date: {text[:60]}"
    return "in the past" if seconds <= 0 else f"in {seconds} s"
