"""What is in a log: routes, methods, statuses, sizes, sessions, sampling; counted in one pass and bounded memory."""

from __future__ import annotations

from collections import Counter
from typing import Any

from capture.exchange import Exchange
from capture.log.filters import hash_of
from capture.sample.routes import route_of

__all__ = ["Distinct", "LogStatistics", "Sizes"]

_ROUTES_MAX = 10_000
_OTHER = "(other routes)"


class Distinct:
    """How many different texts there were: exact up to 65,536, then within about half a per cent.

    Beyond that it keeps the 65,536 smallest hashes, whose spread tells how many there were in all (Bar-Yossef et al.,
    "Counting distinct elements in a data stream", 2002).
    """

    __slots__ = ("_hashes", "_limit", "_most")

    def __init__(self, most: int = 1 << 16) -> None:
        self._most = most
        self._hashes: set[int] = set()
        self._limit = 1 << 64

    def add(self, text: str) -> None:
        """Count a text."""
        value = hash_of(text)
        if value < self._limit:
            self._hashes.add(value)
            if len(self._hashes) > 2 * self._most:
                smallest = sorted(self._hashes)[: self._most]
                self._hashes, self._limit = set(smallest), smallest[-1]

    @property
    def exact(self) -> bool:
        """True while nothing was left out."""
        return self._limit == 1 << 64

    @property
    def count(self) -> int:
        """How many there were."""
        if self.exact:
            return len(self._hashes)
        return round(len(self._hashes) * ((1 << 64) / self._limit))


class Sizes:
    """Sums and quantiles of byte counts, from a histogram of powers of two with 16 steps each (6 % wide)."""

    __slots__ = ("_steps", "count", "greatest", "total")

    def __init__(self) -> None:
        self.count = self.total = self.greatest = 0
        self._steps: Counter[int] = Counter()

    def add(self, size: int) -> None:
        """Count one."""
        self.count += 1
        self.total += size
        self.greatest = max(self.greatest, size)
        power = max(0, size.bit_length() - 5)
        self._steps[power << 5 | size >> power] += 1

    def quantile(self, share: float) -> int:
        """The size below which `share` of all lie: the lower end of its step. 0 where nothing was counted."""
        wanted = share * self.count
        seen = 0
        for step in sorted(self._steps):
            seen += self._steps[step]
            if seen >= wanted:
                return (step & 31) << (step >> 5)
        return 0

    def as_dict(self) -> dict[str, int]:
        """Plain values."""
        return {
            "total": self.total,
            "p50": self.quantile(0.5),
            "p90": self.quantile(0.9),
            "p99": self.quantile(0.99),
            "greatest": self.greatest,
        }


class LogStatistics:
    """Fed with every exchange of a log. Weighted counts estimate production: each exchange stands for 1 / kept_with."""

    def __init__(self) -> None:
        self.exchanges = 0
        self.weight = 0.0
        self.first_ns: int | None = None
        self.last_ns: int | None = None
        self.routes: Counter[str] = Counter()
        self.route_weights: Counter[str] = Counter()
        self.methods: Counter[str] = Counter()
        self.statuses: Counter[str] = Counter()
        self.sources: Counter[str] = Counter()
        self.sampling: Counter[float] = Counter()
        self.incomplete: Counter[str] = Counter()
        self.truncated = 0
        self.redacted = 0
        self.sessions = Distinct()
        self.request_bodies = Sizes()
        self.response_bodies = Sizes()

    def add(self, exchange: Exchange) -> None:
        """Count one exchange."""
        request, response, start_ns = exchange.request, exchange.response, exchange.times.request_start
        weight = 1 / exchange.kept_with if exchange.kept_with > 0 else 0.0
        self.exchanges += 1
        self.weight += weight
        if self.first_ns is None or start_ns < self.first_ns:
            self.first_ns = start_ns
        if self.last_ns is None or start_ns > self.last_ns:
            self.last_ns = start_ns
        route = route_of(request.method, request.target)
        if route not in self.routes and len(self.routes) >= _ROUTES_MAX:
            route = _OTHER
        self.routes[route] += 1
        self.route_weights[route] += weight  # type: ignore[assignment]  # a Counter of floats is what is wanted
        self.methods[request.method[:20]] += 1
        self.statuses[str(response.status) if response is not None else "none"] += 1
        self.sources[exchange.source[:40]] += 1
        self.sampling[round(exchange.kept_with, 6)] += 1
        if exchange.incomplete_reason is not None:
            self.incomplete[exchange.incomplete_reason[:40]] += 1
        self.truncated += request.truncated or (response is not None and response.truncated)
        self.redacted += bool(exchange.redacted)
        self.sessions.add(exchange.session)
        self.request_bodies.add(request.body_bytes)
        if response is not None:
            self.response_bodies.add(response.body_bytes)

    def as_dict(self) -> dict[str, Any]:
        """Plain values, most frequent first."""
        return {
            "exchanges": self.exchanges,
            "estimated_production": round(self.weight),
            "sessions": self.sessions.count,
            "sessions_exact": self.sessions.exact,
            "routes": [
                {"route": route, "count": n, "estimated_production": round(self.route_weights[route])}
                for route, n in self.routes.most_common()
            ],
            "methods": dict(self.methods.most_common()),
            "statuses": dict(sorted(self.statuses.items())),
            "sources": dict(self.sources.most_common()),
            "kept_with": {str(value): n for value, n in sorted(self.sampling.items())},
            "incomplete": dict(self.incomplete.most_common()),
            "truncated": self.truncated,
            "redacted": self.redacted,
            "request_body_bytes": self.request_bodies.as_dict(),
            "response_body_bytes": self.response_bodies.as_dict(),
        }
