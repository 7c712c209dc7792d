"""Correlation: which value of which captured response feeds which later request of the same session."""

from __future__ import annotations

import fnmatch
import re
from collections import OrderedDict
from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

from capture.exchange import Exchange, Response
from replay.carry import carried_values
from replay.place import Place
from replay.plan import Planned
from replay.rewrite import body_was_decoded
from replay.supply import supplied_values

__all__ = ["Binder", "Link", "Source", "is_strong"]

_SOURCES_MAX = 4
_VALUES_MAX = 20_000
_CACHE_MAX = 512

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}([T ].*)?\Z|\w{3}, \d{2} \w{3} \d{4}")
_WORDY = re.compile(r"[A-Za-z][a-z]*([ _./:+-]?[A-Za-z][a-z]*)*\Z")
_NOT_A_WORD = re.compile(r"[^a-z0-9]")
_GENERIC = frozenset(
    ("id", "key", "uuid", "guid", "value", "href", "url", "self", "ref", "number", "no", "data", "result")
)


class Source(NamedTuple):
    """A place in the captured response of an earlier request; it supplied the value."""

    position: int
    exchange_id: str
    place: Place


class Link(NamedTuple):
    """One value of a request that a response of its session supplied; sources in the order in which to try them."""

    place: Place
    value: str
    sources: tuple[Source, ...]


def is_strong(value: str) -> bool:
    """True for a value that two places do not share by accident: a token, a UUID, a long number.

    Words, dates, short numbers and money are weak: they are bound only between places of the same name.
    """
    length = len(value)
    if length < 8 or " " in value or _DATE.match(value):
        return False
    if value.isdigit():
        # Ten digits that begin with 1 or thirteen of them are most likely a time.
        return length >= 9 and not (length in (10, 13) and value[0] == "1")
    distinct = len(set(value))
    if _WORDY.match(value) and not (length >= 20 and distinct >= 10 and not re.search(r"[ _./:+-]", value)):
        return False
    return distinct >= 5 and any(c.isalnum() for c in value) and not re.fullmatch(r"[\d.,:eE+-]+", value)


class _Session:
    """What the captured side of one session has said so far."""

    __slots__ = ("cookies", "seen", "sent", "supplied")

    def __init__(self) -> None:
        self.supplied: dict[str, list[tuple[Source, int, frozenset[str]]]] = {}
        self.sent: set[str] = set()
        self.seen: dict[int, dict[Place, str]] = {}
        self.cookies: dict[str, list[tuple[Source, int, str]]] = {}


class Binder:
    """Finds the links of one session after the other, from captured exchanges alone; bounded.

    exclude: patterns of places that are never replaced, as `Place.text()` shows them ("query:page", "$['at']*").
    sessions_max: sessions remembered; the one used longest ago is forgotten first and counted in `forgotten`.
    supplying: after `note`, whether the answer to that request may be the source of a later link.
    """

    def __init__(self, exclude: Iterable[str] = (), sessions_max: int = 20_000) -> None:
        self.forgotten = 0
        self.supplying = False
        self._exclude = tuple(exclude)
        self._sessions_max = sessions_max
        self._sessions: OrderedDict[str, _Session] = OrderedDict()
        self._cache: OrderedDict[tuple[bytes | None, tuple[tuple[str, str], ...]], dict[Place, str]] = OrderedDict()
        self._iteration = 0

    def note(self, planned: Planned, iteration: int = 0) -> tuple[Link, ...]:
        """Take the next planned request, in plan order; the links of its request to earlier responses.

        A request that is skipped supplies nothing that could be resolved, but its values are remembered, so that what
        needs them is known to.
        """
        if iteration != self._iteration:
            self._iteration = iteration
            self._sessions.clear()
        self.supplying = False
        exchange = planned.exchange
        session = self._sessions.get(exchange.session)
        if session is None:
            if exchange.response is None:
                return ()
            session = self._sessions[exchange.session] = _Session()
            if len(self._sessions) > self._sessions_max:
                self._sessions.popitem(last=False)
                self.forgotten += 1
        else:
            self._sessions.move_to_end(exchange.session)
        carried = carried_values(exchange.request, not body_was_decoded(exchange, "request"))
        supplied = session.supplied
        links: tuple[Link, ...] = ()
        for place, value in carried:
            if value in supplied or place.kind == "cookie":
                link = self._link(session, exchange, place, value)
                if link is not None:
                    links += (link,)
        for _, value in carried:
            if value not in supplied and len(session.sent) < _VALUES_MAX:
                session.sent.add(value)
        if exchange.response is not None:
            self._supply(session, planned, exchange.response)
        return links

    def _link(self, session: _Session, exchange: Exchange, place: Place, value: str) -> Link | None:
        start = exchange.times.request_start
        if place.kind == "cookie":
            found = self._cookie(session, exchange, place, value, start)
        else:
            entries = session.supplied.get(value)
            if entries is None or value in session.sent:
                return None
            strong = is_strong(value)
            wanted = _words_of_request(exchange, place)
            named: list[Source] = []
            others: list[Source] = []
            for source, ended, words in entries:
                if ended > start:
                    continue
                (named if not words.isdisjoint(wanted) else others).append(source)
            found = named + others if strong else named
        if not found or any(fnmatch.fnmatchcase(place.text(), pattern) for pattern in self._exclude):
            return None
        return Link(place, value, tuple(found[:_SOURCES_MAX]))

    def _cookie(self, session: _Session, exchange: Exchange, place: Place, value: str, start: int) -> list[Source]:
        """As a cookie jar does it: the last Set-Cookie of that name, where it set this value."""
        set_before = [entry for entry in session.cookies.get(str(place.path[0]), []) if entry[1] <= start]
        redacted = f"request.cookie:{place.path[0]}" in exchange.redacted
        same = [source for source, _, content in reversed(set_before) if content == value]
        if same or not redacted:
            return same
        return [source for source, _, _ in reversed(set_before)]

    def _supply(self, session: _Session, planned: Planned, response: Response) -> None:
        exchange = planned.exchange
        ended = exchange.times.response_end
        if ended is None:
            return
        values = self._values(response, not body_was_decoded(exchange, "response"))
        if id(values) in session.seen and not session.cookies:
            return  # the very same answer again: it says nothing that is not known, and of the same places
        if len(session.seen) < _CACHE_MAX:
            session.seen[id(values)] = values
        self.supplying = bool(values)
        around = _words(_last_static(exchange.request.target.partition("?")[0]))
        for place, value in values.items():
            source = Source(planned.position, exchange.id, place)
            if place.kind == "cookie":
                jar = session.cookies.setdefault(str(place.path[0]), [])
                jar.append((source, ended, value))
                del jar[:-_SOURCES_MAX]
            entries = session.supplied.get(value)
            if entries is None:
                if value in session.sent or len(session.supplied) >= _VALUES_MAX or len(value) < 1:
                    continue
                entries = session.supplied[value] = []
            if len(entries) < _SOURCES_MAX:
                entries.append((source, ended, _words_of_supply(place, around)))

    def _values(self, response: Response, coded: bool) -> dict[Place, str]:
        key = (response.body, response.headers)
        values = self._cache.get(key)
        if values is None:
            values = supplied_values(response, coded)
            if len(response.body or b"") <= 64 << 10:
                self._cache[key] = values
                if len(self._cache) > _CACHE_MAX:
                    self._cache.popitem(last=False)
        return values


@lru_cache(maxsize=4096)
def _words(name: str) -> frozenset[str]:
    """A name as it compares: lower case, letters and digits, singular, without a trailing "id"."""
    plain = _NOT_A_WORD.sub("", name.lower().removeprefix("x-"))
    if not plain:
        return frozenset()
    forms = {plain}
    for ending in ("ids", "id", "uuid", "number", "token", "key"):
        if plain.endswith(ending) and len(plain) > len(ending) + 1:
            forms.add(plain[: -len(ending)])
    for form in list(forms):
        if form.endswith("ies"):
            forms.add(form[:-3] + "y")
        elif form.endswith("es") and len(form) > 4:
            forms.add(form[:-2])
        if form.endswith("s") and len(form) > 3:
            forms.add(form[:-1])
    return frozenset(forms)


def _words_of_supply(place: Place, around: frozenset[str]) -> frozenset[str]:
    """What the value is called where it was supplied; for a generic name, what it is the id of."""
    names = place.names()
    if not names:
        return around
    words = _words(names[0])
    if names[0].lower() in _GENERIC or place.inner[:1] == ("path",):
        return words - _GENERIC | (_words(names[1]) if len(names) > 1 else frozenset()) | around
    return words


def _words_of_request(exchange: Exchange, place: Place) -> frozenset[str]:
    """What the value is called where it is carried; in a path, the segment before it."""
    if place.kind == "path":
        segments = exchange.request.target.partition("?")[0].split("/")[1:]
        index = int(place.path[0])
        return _words(segments[index - 1]) - _GENERIC if 0 < index <= len(segments) else frozenset()
    names = place.names()
    if not names:
        return frozenset()
    if names[0].lower() in _GENERIC:
        return _words(names[1]) if len(names) > 1 else _words(_last_static(exchange.request.target))
    return _words(names[0])


@lru_cache(maxsize=4096)
def _last_static(target: str) -> str:
    """The last segment of a path that is a word and not an identifier."""
    for segment in reversed(target.partition("?")[0].split("/")):
        if segment and not any(c.isdigit() for c in segment) and len(segment) < 40:
            return segment
    return ""
