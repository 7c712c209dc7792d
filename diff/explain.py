"""Which facts of a request separate the affected pairs from the rest: "98 % have accept-language: tr, 1 % of the rest".

A dimension is a name and a value seen on the request or its place in the session. For a finding, each is tested by
Fisher's exact test for being more frequent among the affected, corrected for how many were looked at. Pure.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from typing import TypeAlias

import msgspec

from capture.exchange import Exchange
from diff.statistics import fisher_tail

__all__ = [
    "SHARE_APART_MIN", "SHARE_INSIDE_MIN", "SIGNIFICANT", "Dimension", "Explanation", "dimensions_of", "explain",
    "words",
]  # fmt: skip

Dimension: TypeAlias = tuple[str, str]

SHARE_INSIDE_MIN = 0.8
"""Of the affected pairs, at least this share has what explains them."""
SHARE_APART_MIN = 0.2
"""The share among the affected is that much higher than among the rest."""
SIGNIFICANT = 0.001
"""By chance alone it would be so with less than this probability, corrected for how many were looked at."""

_PRESENT = "(present)"

_VALUE_CHARS_MAX = 80
_NAME_CHARS_MAX = 40
_QUERY_FIELDS_MAX = 12
_SEGMENTS_MAX = 4
_BODY_BYTES_MAX = 16_384
# Capture takes secrets out already; what somebody chose to keep for the replay is still not for a report.
_SECRET = re.compile(r"pass|secret|token|key|auth|pin\b|cvc|cvv|iban|card", re.IGNORECASE)
_SKIPPED_HEADERS = frozenset(
    {
        "connection", "content-length", "traceparent", "tracestate", "date", "if-none-match",
        "if-modified-since", "x-request-id", "x-forwarded-for", "x-real-ip", "transfer-encoding", "accept-encoding",
        "sec-ch-ua", "keep-alive", "via", "forwarded",
    }
)  # fmt: skip
_PRESENCE_ONLY = frozenset({"authorization", "cookie", "x-api-key", "referer", "proxy-authorization"})


class Explanation(msgspec.Struct, frozen=True):
    """`inside` of the affected pairs have this value, and `outside` of the others; both are shares from 0 to 1.

    parts: the facts of which all hold, where it takes more than one; then names and values are joined by " and ".
    """

    dimension: str
    value: str
    inside: float
    outside: float
    parts: tuple[Dimension, ...] = ()

    @property
    def facts(self) -> tuple[Dimension, ...]:
        """The facts that it is made of, one or more."""
        return self.parts or ((self.dimension, self.value),)

    @property
    def predicate(self) -> str:
        """In words: "header:accept-language: tr and query:page present"; not yet made safe for any report."""
        return " and ".join(map(words, self.facts))


def words(fact: Dimension) -> str:
    """A fact as it stands in a sentence."""
    name, value = fact
    return f"{name} present" if value == _PRESENT else f"{name}: {value}"


def dimensions_of(exchange: Exchange) -> tuple[Dimension, ...]:
    """The facts of a recorded request that may explain a change; a few dozen at most."""
    request = exchange.request
    facts: list[Dimension] = [("method", request.method)]
    path, _, query = request.target.partition("?")
    facts.append(("target", path[:_VALUE_CHARS_MAX]))
    for number, segment in enumerate(path.split("/")[1 : _SEGMENTS_MAX + 1], 1):
        facts.append((f"path segment {number}", segment[:_VALUE_CHARS_MAX]))
    if query:
        names = sorted({part.partition("=")[0] for part in query.partition("#")[0].split("&")[:_QUERY_FIELDS_MAX]})
        facts.append(("query fields", ", ".join(names)[:_VALUE_CHARS_MAX]))
        for part in query.partition("#")[0].split("&")[:_QUERY_FIELDS_MAX]:
            name, _, value = part.partition("=")
            facts.append((f"query:{name[:40]}", value[:_VALUE_CHARS_MAX]))
            facts.append((f"query:{name[:40]}", _PRESENT))
    for name, value in request.headers[:64]:
        lower = name.lower()
        if lower in _PRESENCE_ONLY:
            facts.append((f"header:{lower}", _PRESENT))
            if lower == "cookie":
                facts += [(f"cookie:{pair.partition('=')[0].strip()[:40]}", _PRESENT) for pair in value.split(";")[:12]]
        elif lower not in _SKIPPED_HEADERS:
            facts.append((f"header:{lower}", value[:_VALUE_CHARS_MAX]))
            if lower == "user-agent":
                facts.append(("client class", _client_class(value)))
    if request.body_bytes:
        facts.append(("request body", f"up to {1 << max(0, request.body_bytes - 1).bit_length()} bytes"))
        facts += _body_facts(request.body)
    if exchange.response is not None:
        facts.append(("recorded status", str(exchange.response.status)))
    facts.append(("source", exchange.source[:_VALUE_CHARS_MAX]))
    facts.append(("hour (UTC)", f"{exchange.times.request_start // 3_600_000_000_000 % 24:02d}"))
    return tuple(dict.fromkeys(facts))


def _client_class(agent: str) -> str:
    """What kind of client a User-Agent names: robot, phone, browser, or the program's own name."""
    lowered = agent.lower()
    if any(word in lowered for word in ("bot", "crawl", "spider")):
        return "robot"
    if any(word in lowered for word in ("mobile", "android", "iphone")):
        return "phone"
    if lowered.startswith("mozilla/"):
        return "browser"
    return lowered.partition("/")[0].partition(" ")[0][:_NAME_CHARS_MAX] or "unknown"


def _body_facts(body: bytes | None) -> list[Dimension]:
    """The fields of a JSON object: their names together, and short values."""
    if body is None or len(body) > _BODY_BYTES_MAX or body[:1] != b"{":
        return []
    try:
        value = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return []
    facts: list[Dimension] = [("body fields", ", ".join(sorted(value))[:_VALUE_CHARS_MAX])]
    for name in sorted(value)[:_QUERY_FIELDS_MAX]:
        if _SECRET.search(name):
            continue
        field = value[name]
        if field is None or isinstance(field, bool | int | float):
            facts.append((f"body:{name[:_NAME_CHARS_MAX]}", msgspec.json.encode(field).decode()))
        elif isinstance(field, str):
            facts.append((f"body:{name[:_NAME_CHARS_MAX]}", field[:_VALUE_CHARS_MAX]))
    return facts


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
        if share_in < SHARE_INSIDE_MIN or share_in - share_out < SHARE_APART_MIN:
            continue
        p = fisher_tail(inside, affected_pairs, outside, rest) * looked_at
        if p < SIGNIFICANT:
            ranked.append((-(share_in - share_out), fact, share_in, share_out))
    ranked.sort()
    return tuple(
        Explanation(name, value, round(share_in, 4), round(share_out, 4))
        for _, (name, value), share_in, share_out in ranked[:3]
    )
