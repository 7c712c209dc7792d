"""Evidence over many sessions that a short or wordy value is passed on: always equal, and never the same twice."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import TypeAlias

from capture.exchange import Exchange
from replay.carry import carried_values
from replay.inside import parts_inside
from replay.multipart import addressed
from replay.place import Place, innermost, shape_of
from replay.rewrite import body_was_decoded
from replay.strong import is_strong
from replay.supply import supplied_values
from replay.words import identifies, is_unnamed

__all__ = ["LEARNED_FROM_MAX", "Learned", "learn_links", "source_key", "source_route", "target_key"]

LEARNED_FROM_MAX = 4000
"""How many exchanges from the beginning of a log are looked at."""

Learned: TypeAlias = Mapping[str, frozenset[str]]
"""Key of a place in requests to the keys of the places in responses that feed it."""

_MATCHES_MIN = 4
_DISTINCT_MIN = 3
_SHARE_MIN = 0.8
_SESSIONS_MAX = 2000
_VALUES_MAX = 2000
_KEYS_MAX = 20_000
_PER_VALUE_MAX = 16


class _Session:
    __slots__ = ("sent", "supplied")

    def __init__(self) -> None:
        self.supplied: dict[str, list[tuple[int, str]]] = {}
        self.sent: set[str] = set()


def learn_links(exchanges: Iterable[Exchange]) -> Learned:
    """What feeds what, for values that are too weak to be linked by themselves; exchanges in the order of a log.

    A place of requests is fed by a place of responses where at least four requests carried there what a response of
    their session had given there before, that is four fifths of all, and three of the values at least differ. Places
    whose names say that they hold an amount, a text or a page are left out, whatever they are equal to.
    """
    sessions: OrderedDict[str, _Session] = OrderedDict()
    carried_count: Counter[str] = Counter()
    matches: dict[tuple[str, str], set[int]] = {}
    matched: Counter[tuple[str, str]] = Counter()
    needed: set[tuple[str, str]] = set()
    for exchange in exchanges:
        session = sessions.get(exchange.session)
        if session is None:
            session = sessions[exchange.session] = _Session()
            if len(sessions) > _SESSIONS_MAX:
                sessions.popitem(last=False)
        elif session.supplied:
            for target, sources, value in _matches(session, exchange):
                carried_count[target] += 1
                for source in sources:
                    pair = (target, source)
                    if pair not in matches and len(matches) >= _KEYS_MAX:
                        continue
                    matched[pair] += 1
                    if not is_strong(value):
                        needed.add(pair)  # strong values are linked without it
                    values = matches.setdefault(pair, set())
                    if len(values) < _DISTINCT_MIN:
                        values.add(hash(value))
        _supply(session, exchange)
    learned: dict[str, set[str]] = {}
    for target, source in needed & matches.keys():
        values, count = matches[target, source], matched[target, source]
        if len(values) >= _DISTINCT_MIN and count >= _MATCHES_MIN and count >= _SHARE_MIN * carried_count[target]:
            learned.setdefault(target, set()).add(source)
    return {target: frozenset(sources) for target, sources in learned.items()}


def _matches(session: _Session, exchange: Exchange) -> Iterator[tuple[str, set[str], str]]:
    """(target, sources with the same value, value) of every value that may be an identifier."""
    start = exchange.times.request_start
    for place, value in carried_values(exchange.request, not body_was_decoded(exchange, "request")):
        if value in session.supplied:
            inside: Iterable[tuple[Place, str]] = ((place, value),)
        else:
            inside = ((place, value), *((place._replace(inner=i), text) for i, text, _ in parts_inside(value)))
        for at, text in inside:
            if identifies(at) or is_unnamed(at):
                sources = {key for ended, key in session.supplied.get(text, ()) if ended <= start}
                yield target_key(exchange, at), sources, text
        if value not in session.supplied and len(session.sent) < _VALUES_MAX:
            session.sent.add(value)


def _supply(session: _Session, exchange: Exchange) -> None:
    response, ended = exchange.response, exchange.times.response_end
    if response is None or ended is None:
        return
    for place, value in supplied_values(response, not body_was_decoded(exchange, "response")).items():
        if value in session.sent or len(value) > 256:
            continue
        entries = session.supplied.get(value)
        if entries is None:
            if len(session.supplied) >= _VALUES_MAX:
                continue
            entries = session.supplied[value] = []
        if len(entries) < _PER_VALUE_MAX:
            entries.append((ended, source_key(exchange, place)))


def target_key(exchange: Exchange, place: Place) -> str:
    """The place of a request, with what differs between requests of the same kind taken out."""
    method, target = addressed(exchange.request, place)
    place = innermost(place)
    wanted = int(place.path[0]) if place.kind == "path" else -1
    inner = place.inner[:-1] if "at" in place.inner else place.inner
    shown = shape_of(place._replace(inner=inner)).text()
    return f"{method} {_route(target, wanted)} {shown}"


def source_key(exchange: Exchange, place: Place) -> str:
    """The place of a response, likewise; without a space in the place, so that the route can be told from it."""
    shown = _shown(shape_of(innermost(place)))
    if place.kind == "multipart":
        method, target = addressed(exchange.request, place)
        shown = f"{method}_{_route(target, -1)}_{shown}"  # the route of the batch is still what it begins with
    return f"{source_route(exchange)} {shown}"


def source_route(exchange: Exchange) -> str:
    """What `source_key` begins with, the same for all places of a response."""
    return f"{exchange.request.method} {_route(exchange.request.target, -1)}"


@lru_cache(maxsize=4096)
def _shown(place: Place) -> str:
    return place.text().replace(" ", "_")


@lru_cache(maxsize=4096)
def _route(target: str, wanted: int) -> str:
    """The path, with what looks like an identifier, and the segment of that number, as {}."""
    path = target.partition("?")[0]
    if "://" in path:
        path = "/" + path.split("://", 1)[1].partition("/")[2]
    segments = path.split("/")[1:]
    return "/" + "/".join("{}" if n == wanted or _varies(segment) else segment for n, segment in enumerate(segments))


def _varies(segment: str) -> bool:
    """True for what stands for one thing among many; "v2" is a word."""
    return segment.isdigit() or is_strong(segment) or (len(segment) > 2 and any(c.isdigit() for c in segment))
