"""Which routes are rare: a bounded count of requests by method and path with the changing parts left out."""

from __future__ import annotations

import re

__all__ = ["RouteCount", "route_of"]

_WORD = re.compile(r"[A-Za-z][A-Za-z_.-]{0,31}|v\d{1,2}")
_SEGMENTS_MAX = 8


def route_of(method: str, target: str) -> str:
    """The route of a request as far as one request can tell: segments with digits or of great length become `*`."""
    path = target.partition("?")[0].partition("#")[0]
    if path.startswith(("http://", "https://")):
        path = "/" + path.split("/", 3)[-1] if path.count("/") > 2 else "/"
    parts = path.split("/")
    named = [part if not part or _WORD.fullmatch(part) else "*" for part in parts[: _SEGMENTS_MAX + 1]]
    if len(parts) > _SEGMENTS_MAX + 1:
        named.append("**")
    return f"{method[:16]} {'/'.join(named)}"


class RouteCount:
    """Counts of routes that fade: all are halved when `halve_at` requests have been counted.

    A route is rare where fewer than `share` of the requests went to it, once `least` requests were counted. Where more
    than `routes_max` routes appear, paths cannot be told apart well enough, and none is rare until the next halving.
    """

    __slots__ = ("_counts", "_full", "_halve_at", "_least", "_routes_max", "_share", "total")

    def __init__(
        self, routes_max: int = 4096, least: int = 2000, share: float = 0.001, halve_at: int = 1 << 20
    ) -> None:
        self._routes_max = routes_max
        self._least = least
        self._share = share
        self._halve_at = halve_at
        self._counts: dict[str, int] = {}
        self._full = False
        self.total = 0

    def add(self, route: str) -> bool:
        """Count one request; True where its route is rare (seen from before this request)."""
        count = self._counts.get(route, 0)
        rare = not self._full and self.total >= self._least and count < self._share * self.total
        self.total += 1
        if count or len(self._counts) < self._routes_max:
            self._counts[route] = count + 1
        else:
            self._full = True
            rare = False
        if self.total >= self._halve_at:
            self._counts = {name: n // 2 for name, n in self._counts.items() if n > 1}
            self.total //= 2
            self._full = False
        return rare
