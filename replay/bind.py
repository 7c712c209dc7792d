"""Correlation: which value of which captured response feeds which later request of the same session."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple, TypeAlias

from capture.exchange import Exchange, Request, Response
from replay.bind_rules import BindRules
from replay.carried import Carried
from replay.carry import carried_values
from replay.inside import parts_inside
from replay.learn import Learned, source_key, source_route, target_key
from replay.multipart import addressed
from replay.place import Place, Step
from replay.plan import Planned
from replay.rewrite import body_was_decoded
from replay.strong import is_strong
from replay.supply import supplied_values
from replay.words import (
    GENERIC,
    NOT_PASSED_ON,
    around_of,
    identifies,
    things_of_request,
    things_of_supply,
    words_of,
    words_of_request,
    words_of_supply,
)

__all__ = ["Binder", "Link", "Source"]

_SOURCES_MAX = 4
_ENTRIES_MAX = 64
_NONE: frozenset[str] = frozenset()
_FEEDS_MAX = 16
_VALUES_MAX = 20_000
_HELD_MAX = 1_000_000
_CACHE_MAX = 512
_PARTS_CACHED_MAX = 256

_IN_BODIES = frozenset(("json", "form", "part", "xml", "protobuf", "multipart"))
_NEVER = 1 << 63

_FOLDS = re.compile(r"(?=.*[A-Fa-f])[0-9A-Fa-f-]{16,}\Z")


class Source(NamedTuple):
    """A place in the captured response of an earlier request; it supplied the value, "" where any will do (a rule).

    whole: False where the client or the capture left before the response ended: a stream that was read for its first
    events. The plan lets nothing wait for its end, but a request that carries a value of it must. open_until: then,
    when the client left, ns since the epoch; beyond all times where that is not known.
    """

    position: int
    exchange_id: str
    place: Place
    value: str
    whole: bool = True
    open_until: int = 0

    @property
    def sure(self) -> bool:
        """False where it is not known whether the value had come when it was used: it is of an answer under way, and
        not of its head or its first event."""
        return self.whole or self.place.kind in ("header", "cookie") or self.place.path[:1] == (0,)


class Link(NamedTuple):
    """One value of a request that a response of its session supplied; sources in the order in which to try them.

    fold: "upper" or "lower" where the client wrote it so and the response did not. No sources: only the cookie jar has
    it, where it has it at all.
    """

    place: Place
    value: str
    sources: tuple[Source, ...]
    fold: str = ""


_Entry: TypeAlias = tuple[Source, int, frozenset[str], frozenset[str]]
"""Who supplied a value, when that answer had ended, what it called the value, and what its request was about."""


class _Session:
    """What the captured side of one session has said so far."""

    __slots__ = ("cookie_values", "cookies", "feeds", "folded", "seen", "sent", "sent_as", "supplied", "targets")

    def __init__(self) -> None:
        self.supplied: dict[str, list[_Entry]] = {}
        self.folded: dict[str, str] = {}
        self.sent: set[str] = set()
        self.sent_as: dict[str, frozenset[str]] = {}
        self.seen: set[int] = set()
        self.targets: set[str] = set()
        self.cookies: dict[str, list[tuple[Source, int]]] = {}
        self.cookie_values: dict[tuple[str, str], list[tuple[Source, int]]] = {}
        self.feeds: dict[int, list[tuple[Source, int]]] = {}


class Binder:
    """Finds the links of one session after the other, from captured exchanges alone; bounded.

    exclude, feeds: rules of a person (`BindRules`). learned: what other sessions have shown to be passed on. carried:
    what the requests carry that will be noted; None where that is not known, and then all that answers give is kept.
    sessions_max: sessions remembered; the one used longest ago is forgotten first and counted in `forgotten`, also
    where all together hold more than a million values.
    supplying: after `note`, whether the answer to that request may be the source of a later link; waits_for: positions
    that this request must wait for because of its links, beyond those that the plan has for it. Raises ValueError
    where a rule is not understood.
    """

    def __init__(
        self,
        exclude: Iterable[str] = (),
        sessions_max: int = 20_000,
        feeds: Iterable[str] = (),
        learned: Learned | None = None,
        carried: Carried | None = None,
    ) -> None:
        self.forgotten = 0
        self.supplying = False
        self.waits_for: tuple[int, ...] = ()
        self._rules = BindRules(feeds, exclude)
        self._wanted = carried
        self._learned: Learned = learned or {}
        self._learned_sources = {source for sources in self._learned.values() for source in sources}
        self._learned_routes = {source.rpartition(" ")[0] for source in self._learned_sources}
        self._sessions_max = sessions_max
        self._sessions: OrderedDict[str, _Session] = OrderedDict()
        self._cache: OrderedDict[tuple[bytes | None, tuple[tuple[str, str], ...]], dict[Place, str]] = OrderedDict()
        self._iteration = 0
        self._held = 0

    @property
    def held(self) -> int:
        """How many values of answers are remembered, of all sessions together."""
        return self._held

    def note(self, planned: Planned, iteration: int = 0) -> tuple[Link, ...]:
        """Take the next planned request, in plan order; the links of its request to earlier responses.

        A request that is skipped supplies nothing that could be resolved, but its values are remembered, so that what
        needs them is known to.
        """
        if iteration != self._iteration:
            self._iteration = iteration
            self._sessions.clear()
            self._held = 0
        self.supplying = False
        self.waits_for = ()
        exchange = planned.exchange
        session = self._sessions.get(exchange.session)
        if session is None:
            if exchange.response is None:
                return ()
            session = self._sessions[exchange.session] = _Session()
            if len(self._sessions) > self._sessions_max:
                self._forget()
        else:
            self._sessions.move_to_end(exchange.session)
        row, request = planned.row, exchange.request
        bears = row is None or row.bears
        carried = carried_values(request, not (exchange.notes and body_was_decoded(exchange, "request")), bears)
        links: list[Link] = []
        if session.supplied or session.cookies or self._rules.feeds or exchange.redacted:
            for place, value in carried:
                if self._may_link(session, place, value):
                    links += self._links(session, exchange, place, value)
        if links:
            self.waits_for = tuple({s.position for link in links for s in link.sources if not s.whole})
        if bears or request.body:
            self._sends(session, exchange, carried, links)
        elif request.target not in session.targets:
            # The very same request again would say nothing new.
            self._sends(session, exchange, carried, links)
            if len(session.targets) < _CACHE_MAX:
                session.targets.add(request.target)
        if exchange.response is not None:
            self._supply(session, planned, exchange.response)
            while self._held > _HELD_MAX and len(self._sessions) > 1:
                self._forget()
        return tuple(links)

    def _sends(
        self, session: _Session, exchange: Exchange, carried: Iterable[tuple[Place, str]], links: Sequence[Link]
    ) -> None:
        """Remember what the client has said itself; what it made of a value that it was given is not its own."""
        given = {(link.place.kind, link.place.path): link.value for link in links if link.place.inner}
        for place, value in carried:
            if len(session.sent) + len(session.sent_as) >= _VALUES_MAX:
                break
            inside = given.get((place.kind, place.path)) if given else None
            if not is_strong(value):
                words = words_of_request(exchange, place)
                fresh = value not in session.sent_as
                session.sent_as[value] = session.sent_as.get(value, words) | words
            else:
                fresh = value not in session.supplied and value not in session.sent
                if fresh and inside is None:
                    session.sent.add(value)
            if fresh:
                # A word that the client put into a longer value is its own as well: a region, the name of a table.
                session.sent.update(
                    word
                    for word in _strong_inside(value)
                    if word not in session.supplied and (inside is None or not (inside in word or word in inside))
                )

    def _forget(self) -> None:
        """Forget the session that was used longest ago."""
        _, session = self._sessions.popitem(last=False)
        self._held -= len(session.supplied)
        self.forgotten += 1

    def _may_link(self, session: _Session, place: Place, value: str) -> bool:
        """False where `_links` would find nothing: most values, which no response has given."""
        return (
            value in session.supplied
            or (len(value) >= 8 and value not in session.sent)
            or place.kind == "cookie"
            or bool(self._rules.feeds)
        )

    def _links(self, session: _Session, exchange: Exchange, place: Place, value: str) -> Iterator[Link]:
        """The links of one value: as a whole where it has one, else of what is inside it."""
        link = self._link(session, exchange, place, value, "")
        if link is not None:
            yield link
        elif session.supplied and len(value) >= 8 and value not in session.sent:
            spans: list[tuple[tuple[Step, ...], int, int]] = []
            for inner, text, name in _parts(value):
                start = int(inner[-1]) if inner[-2:-1] == ("at",) else -1
                if any(way == inner[:-1] and begin <= start and start + len(text) <= end for way, begin, end in spans):
                    continue  # a wider part, which came first, is linked
                part = self._link(session, exchange, place._replace(inner=inner), text, name)
                if part is not None:
                    spans.append((inner[:-1], start, start + len(text)))
                    yield part

    def _link(self, session: _Session, exchange: Exchange, place: Place, value: str, name: str) -> Link | None:
        request, start = exchange.request, exchange.times.request_start
        fold = ""
        found = self._fed(session, request, place, value, start) if self._rules.feeds else []
        if not found and place.kind == "cookie" and not place.inner and str(place.path[0]) in session.cookies:
            found = self._cookie(session, exchange, place, value, start)
        elif not found and value not in session.sent:
            found = self._named(session, exchange, place, value, name)
            if not found and _FOLDS.match(value) and (other := session.folded.get(value.lower())) is not None:
                fold = "lower" if value == value.lower() else "upper"
                found = self._named(session, exchange, place, other, name)
        if self._rules.excluded(request.method, request.target, place):
            return None
        if found:
            return Link(place, value, tuple(found[:_SOURCES_MAX]), fold)
        if place.kind == "cookie" and not place.inner and f"request.cookie:{place.path[0]}" in exchange.redacted:
            return Link(place, value, ())
        return None

    def _fed(self, session: _Session, request: Request, place: Place, value: str, start: int) -> list[Source]:
        """What a rule says: the last response with that place, one with the same value before others."""
        found: list[Source] = []
        for number in self._rules.feeding(request.method, request.target, place):
            ended = [source for source, end in session.feeds.get(number, ()) if end <= start]
            latest = ended[::-1]
            found += sorted(latest, key=lambda source: source.value != value)
        return found

    def _named(self, session: _Session, exchange: Exchange, place: Place, value: str, name: str) -> list[Source]:
        """Responses that supplied the value before; of a weak one only where it was called the same.

        And of the same thing, unless that is what the name says: the `version` of an order is none of a ticket.
        """
        entries = session.supplied.get(value)
        if entries is None:
            return []
        start = exchange.times.request_start
        wanted = words_of(name) - GENERIC if name else words_of_request(exchange, place._replace(inner=()))
        ended = [entry for entry in entries if entry[1] <= start and not _may_repeat(entry[0], place, start)]
        named = [entry for entry in ended if not entry[2].isdisjoint(wanted)]
        if is_strong(value):
            return [entry[0] for entry in named] + [entry[0] for entry in ended if entry[2].isdisjoint(wanted)]
        if not wanted.isdisjoint(NOT_PASSED_ON):
            return []
        if named and not identifies(place):
            things = things_of_request(exchange, place)
            named = [entry for entry in named if identifies(entry[0].place) or _is_of(things, entry)]
        if not named and ended and (proven := self._learned.get(target_key(exchange, place))):
            named = [entry for entry in ended if not entry[2].isdisjoint(proven)]
        return [entry[0] for entry in named]

    def _cookie(self, session: _Session, exchange: Exchange, place: Place, value: str, start: int) -> list[Source]:
        """As a cookie jar does it: the last Set-Cookie of that name, where it set this value."""
        name = str(place.path[0])
        same = _latest(session.cookie_values.get((name, value), ()), start)
        if same or f"request.cookie:{name}" not in exchange.redacted:
            return same
        return _latest(session.cookies.get(name, ()), start)

    def _supply(self, session: _Session, planned: Planned, response: Response) -> None:
        exchange = planned.exchange
        whole = exchange.times.response_end is not None
        begun = exchange.times.response_end if whole else exchange.times.response_start
        if begun is None:
            return
        left = _NEVER if exchange.times.left is None else exchange.times.left
        answer = (response.body, response.headers)
        same = hash(answer)
        rules = bool(self._rules.feeds) and self._rules.supplies(exchange.request.method, exchange.request.target)
        if same in session.seen and not session.cookies and not rules:
            return  # the very same answer again: it says nothing that is not known, and of the same places
        wanted = self._wanted
        coded = not (exchange.notes and body_was_decoded(exchange, "response"))
        values = self._values(answer, response, coded) if not rules else supplied_values(response, coded)
        if len(session.seen) < _CACHE_MAX:
            session.seen.add(same)
        # Where values were left out, the builds' cookies may still be needed.
        self.supplying = bool(values) or bool(session.cookies) or (wanted is not None and bool(response.body))
        around = around_of(exchange.request.target)
        learned = bool(self._learned_routes) and source_route(exchange) in self._learned_routes
        for place, value in values.items():
            is_wanted = wanted is None or place.kind == "cookie" or value in wanted
            if not is_wanted and not rules:
                continue
            place = _one_place(place)
            source = Source(planned.position, exchange.id, place, value, whole, 0 if whole else left)
            # A word or a number of what came later the client may as well have from elsewhere, while it is open.
            ended = begun if whole or source.sure or is_strong(value) else left
            if place.kind == "cookie" and len(session.cookie_values) < _VALUES_MAX:
                name = str(place.path[0])
                for sets in (
                    session.cookies.setdefault(name, []),
                    session.cookie_values.setdefault((name, value), []),
                ):
                    sets.append((source, ended))
                    del sets[:-_SOURCES_MAX]
            if rules:
                for number in self._rules.supplying(exchange.request.method, exchange.request.target, place):
                    feeds = session.feeds.setdefault(number, [])
                    feeds.append((source, ended))
                    del feeds[:-_FEEDS_MAX]
                if not is_wanted:
                    continue
            near = around if place.kind != "multipart" else around_of(addressed(exchange.request, place)[1])
            words = words_of_supply(place, near, values)
            if learned and not is_strong(value) and (key := source_key(exchange, place)) in self._learned_sources:
                words |= {key}
            entries = session.supplied.get(value)
            own = value in session.sent or not words.isdisjoint(session.sent_as.get(value, _NONE))
            if own and all(words.isdisjoint(entry[2]) for entry in entries or ()):
                continue  # the client said it first; a word or a short number, under this name
            if entries is None:
                if len(session.supplied) >= _VALUES_MAX:
                    continue
                entries = session.supplied[value] = []
                self._held += 1
                if _FOLDS.match(value):
                    session.folded.setdefault(value.lower(), value)
            if not entries or (
                len(entries) < _ENTRIES_MAX
                and sum(words == entry[2] and near == entry[3] for entry in entries) < _SOURCES_MAX
            ):
                entries.append((source, ended, words, near))

    def _values(
        self, key: tuple[bytes | None, tuple[tuple[str, str], ...]], response: Response, coded: bool
    ) -> dict[Place, str]:
        values = self._cache.get(key)
        if values is None:
            values = supplied_values(response, coded, self._wanted)
            if len(response.body or b"") <= 64 << 10:
                self._cache[key] = values
                if len(self._cache) > _CACHE_MAX:
                    self._cache.popitem(last=False)
        return values


def _parts(value: str) -> Iterable[tuple[tuple[Step, ...], str, str]]:
    return _short_parts(value) if len(value) <= _PARTS_CACHED_MAX else parts_inside(value)


@lru_cache(maxsize=4096)
def _short_parts(value: str) -> tuple[tuple[tuple[Step, ...], str, str], ...]:
    return tuple(parts_inside(value))


@lru_cache(maxsize=4096)
def _strong_inside(value: str) -> tuple[str, ...]:
    return tuple({text for _, text, _ in parts_inside(value) if is_strong(text)})


def _is_of(things: frozenset[str], entry: _Entry) -> bool:
    return not things.isdisjoint(things_of_supply(entry[0].place, entry[3]))


def _may_repeat(source: Source, place: Place, start: int) -> bool:
    """True where an open stream may only repeat what was posted beside it, as the id of a JSON-RPC."""
    return start < source.open_until and place.kind in _IN_BODIES and not source.sure


def _latest(sets: Sequence[tuple[Source, int]], start: int) -> list[Source]:
    """The sources that had ended before, the last one first."""
    return [source for source, ended in reversed(sets) if ended <= start]


@lru_cache(maxsize=1 << 14)
def _one_place(place: Place) -> Place:
    """The same object for equal places: many answers have the same ones, and what is remembered of each is small."""
    return place
