"""How much of production's behaviour the replay performed, and how likely the next request does something unseen.

A behaviour is (method, route, recorded status, shape of the request, shape of the response). Good and Turing (1953):
the chance that the next one is new is the share of behaviours seen exactly once; the interval is Esty's (1983).
"""

from __future__ import annotations

import math
import zlib

import msgspec

from capture.exchange import Exchange, Headers, header
from diff.statistics import normal_quantile

__all__ = ["Coverage", "CoverageCounter"]

_BEHAVIOURS_MAX = 200_000
_SHAPED_BYTES_MAX = 1 << 16


class Coverage(msgspec.Struct, frozen=True):
    """behaviours_seen in the log, of which behaviours_performed; the chance that the next production request does
    something that was never performed, with its 95 % interval. overflow: exchanges beyond the bound of behaviours
    that are kept apart, counted as unseen."""

    behaviours_seen: int
    behaviours_performed: int
    unseen_probability: float
    low: float
    high: float
    overflow: int = 0


class CoverageCounter:
    """Counts behaviours in bounded memory."""

    __slots__ = ("_overflow", "_performed", "_seen", "_total")

    def __init__(self) -> None:
        self._seen: dict[int, int] = {}
        self._performed: set[int] = set()
        self._total = 0
        self._overflow = 0

    def add(self, exchange: Exchange, route: str, *, performed: bool) -> None:
        """Count one recorded exchange; performed: every build was sent it."""
        self._total += 1
        behaviour = _behaviour(exchange, route)
        count = self._seen.get(behaviour)
        if count is None and len(self._seen) >= _BEHAVIOURS_MAX:
            self._overflow += 1
            return
        self._seen[behaviour] = (count or 0) + 1
        if performed:
            self._performed.add(behaviour)

    def merge(self, other: CoverageCounter) -> None:
        """Add what another counter has seen of the same run."""
        self._total += other._total
        self._overflow += other._overflow
        for behaviour, count in other._seen.items():
            known = self._seen.get(behaviour)
            if known is None and len(self._seen) >= _BEHAVIOURS_MAX:
                self._overflow += count
                continue
            self._seen[behaviour] = (known or 0) + count
            if behaviour in other._performed:
                self._performed.add(behaviour)

    def result(self) -> Coverage:
        """What is known so far; with nothing seen, nothing is excluded: the probability is 1."""
        total = self._total
        if total == 0:
            return Coverage(0, 0, 1.0, 0.0, 1.0)
        once = sum(1 for count in self._seen.values() if count == 1) + self._overflow
        twice = sum(1 for count in self._seen.values() if count == 2)
        # Known behaviours that were not performed count by how often they were seen; singletons among them are
        # already part of what Good and Turing expect to be new.
        left_out = sum(count for key, count in self._seen.items() if count > 1 and key not in self._performed)
        unseen = min(1.0, (once + left_out) / total)
        variance = (once / total * (1 - once / total) + 2 * twice / total) / total
        z = normal_quantile(0.975)
        low = max(0.0, unseen - z * math.sqrt(variance))
        # With no singleton the rule of three bounds what could have been missed.
        high = min(1.0, max(unseen + z * math.sqrt(variance), left_out / total + 1 - 0.05 ** (1 / total)))
        return Coverage(
            len(self._seen) + self._overflow, len(self._performed), round(unseen, 6), round(low, 6), round(high, 6),
            self._overflow,
        )  # fmt: skip


def _behaviour(exchange: Exchange, route: str) -> int:
    request, response = exchange.request, exchange.response
    query = request.target.partition("?")[2].partition("#")[0]
    names = ",".join(sorted({part.partition("=")[0] for part in query.split("&")})) if query else ""
    asked = f"{route}|{names}|{_shape(request.headers, request.body)}"
    answered = "" if response is None else f"{response.status}|{_shape(response.headers, response.body)}"
    text = f"{asked}|{answered}".encode("utf-8", "replace")
    return zlib.crc32(text) | (zlib.adler32(text[::-1]) << 32)


def _shape(headers: Headers, body: bytes | None) -> str:
    kind = (header(headers, "content-type") or "").partition(";")[0].strip().lower()
    if not body or header(headers, "content-encoding") or len(body) > _SHAPED_BYTES_MAX or "json" not in kind:
        return f"{kind}:{'body' if body else ''}"
    try:
        value = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError):
        return f"{kind}:broken"
    if isinstance(value, dict):
        return f"{kind}:{','.join(sorted(f'{key}={_type(item)}' for key, item in list(value.items())[:64]))}"
    return f"{kind}:{_type(value)}"


def _type(value: object) -> str:
    if isinstance(value, list):
        return "empty" if not value else "list"
    return type(value).__name__
