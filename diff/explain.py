"""Which facts of a request separate the affected pairs from the rest: "98 % have accept-language: tr, 1 % of the rest".

A dimension is a name and a value seen on the request or its place in the session. For a finding, each is tested by
Fisher's exact test for being more frequent among the affected, corrected for how many were looked at. Pure.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TypeAlias

import msgspec

from capture.exchange import Exchange
from diff.statistics import fisher_tail

__all__ = ["Dimension", "Explanation", "dimensions_of", "explain"]

Dimension: TypeAlias = tuple[str, str]

_VALUE_CHARS_MAX = 80
_QUERY_FIELDS_MAX = 12
_SKIPPED_HEADERS = frozenset(
    {
        "host", "connection", "content-length", "traceparent", "tracestate", "date", "if-none-match",
        "if-modified-since", "x-request-id", "x-forwarded-for", "x-real-ip", "transfer-encoding", "accept-encoding",
        "sec-ch-ua", "keep-alive", "via", "forwarded",
    }
)  # fmt: skip
_PRESENCE_ONLY = frozenset({"authorization", "cookie", "x-api-key", "referer", "proxy-authorization"})


class Explanation(msgspec.Struct, frozen=True):
    """`inside` of the affected pairs have this value, and `outside` of the others; both are shares from 0 to 1."""

    dimension: str
    value: str
    inside: float
    outside: float


def dimensions_of(exchange: Exchange) -> tuple[Dimension, ...]:
    """The facts of a recorded request that may explain a change; a few dozen at most."""
    request = exchange.request
    facts: list[Dimension] = [("method", request.method)]
    path, _, query = request.target.partition("?")
    facts.append(("target", path[:_VALUE_CHARS_MAX]))
    if query:
        for part in query.partition("#")[0].split("&")[:_QUERY_FIELDS_MAX]:
            name, _, value = part.partition("=")
            facts.append((f"query:{name[:40]}", value[:_VALUE_CHARS_MAX]))
            facts.append((f"query:{name[:40]}", "(present)"))
    for name, value in request.headers[:64]:
        lower = name.lower()
        if lower in _PRESENCE_ONLY:
            facts.append((f"header:{lower}", "(present)"))
            if lower == "cookie":
                facts += [
                    (f"cookie:{pair.partition('=')[0].strip()[:40]}", "(present)") for pair in value.split(";")[:12]
                ]
        elif lower not in _SKIPPED_HEADERS:
            facts.append((f"header:{lower}", value[:_VALUE_CHARS_MAX]))
    if request.body_bytes:
        facts.append(("request body", f"up to {1 << max(0, request.body_bytes - 1).bit_length()} bytes"))
    if exchange.response is not None:
        facts.append(("recorded status", str(exchange.response.status)))
    facts.append(("source", exchange.source[:_VALUE_CHARS_MAX]))
    facts.append(("hour (UTC)", f"{exchange.times.request_start // 3_600_000_000_000 % 24:02d}"))
    return tuple(dict.fromkeys(facts))


def explain(affected: Counter[Dimension], affected_pairs: int, all_facts: Mapping[Dimension, int], pairs: int) -> tuple[
    Explanation, ...
]:  # fmt: skip
    """The facts that separate the affected pairs from the rest of their route, the sharpest first; at most three.

    affected: how many affected pairs have each fact; all_facts: the same for all pairs. () where nothing separates, or
    where everything or next to nothing is affected.
    """
    rest = pairs - affected_pairs
    if affected_pairs < 5 or rest < 5:
        return ()
    ranked = []
    looked_at = len(affected)
    for fact, inside in affected.items():
        if fact not in all_facts:
            # Left out of the route's counts by their bound: nothing is known of the rest.
            continue
        outside = max(0, all_facts[fact] - inside)
        share_in, share_out = inside / affected_pairs, min(1.0, outside / rest)
        if share_in < 0.8 or share_in - share_out < 0.2:
            continue
        p = fisher_tail(inside, affected_pairs, outside, rest) * looked_at
        if p < 0.001:
            ranked.append((-(share_in - share_out), fact, share_in, share_out))
    ranked.sort()
    return tuple(
        Explanation(name, value, round(share_in, 4), round(share_out, 4))
        for _, (name, value), share_in, share_out in ranked[:3]
    )
