"""Correlation: which value of which captured response feeds which later request of the same session."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Final

from capture.exchange import Exchange, Response
from replay.bind_rules import BindRules
from replay.carried import Carried
from replay.carry import carried_values
from replay.inside import parts_inside
from replay.learn import Learned, source_key, source_route, target_key
from replay.link import Link, Source
from replay.multipart import addressed
from replay.place import Place, Step
from replay.plan import Planned
from replay.rewrite import body_was_decoded
from replay.said import Entry, Said
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

__all__ = ["Binder"]

_SOURCES_MAX: Final = 4
_HELD_MAX = 1_000_000
_CACHE_MAX: Final = 512
_PARTS_CACHED_MAX = 256

_IN_BODIES = frozenset(("json", "form", "part", "xml", "protobuf", "multipart"))
_NEVER = 1 << 63


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
        self._sessions: OrderedDict[str, Said] = OrderedDict()
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
        exchange, sessions = planned.exchange, self._sessions
        row, request, response, key = planned.row, exchange.request, exchange.response, exchange.session
        session = sessions.get(key)
        if session is None:
            if response is None:
                return ()
            session = sessions[key] = Said()
            if len(sessions) > self._sessions_max:
                self._forget()
        else:
            sessions.move_to_end(key)
        bears = row is None or row.bears
        carried = carried_values(request, not (exchange.notes and body_was_decoded(exchange, "request")), bears)
        links: list[Link] = []
        if session.supplied or session.cookies or self._rules.feeds or exchange.redacted:
            for place, value in carried:
                if self._may_link(session, place, value):
                    links += self._links(session, exchange, place, value)
        if links:
            self.waits_for = tuple({s.position for link in links for s in link.sources if not s.whole})
        session.send(exchange, carried, links, bare=not (bears or request.body))
        if response is not None:
            self._supply(session, planned, response)
            while self._held > _HELD_MAX and len(self._sessions) > 1:
                self._forget()
        return tuple(links)

    def _forget(self) -> None:
        """Forget the session that was used longest ago."""
        _, session = self._sessions.popitem(last=False)
        self._held -= len(session.supplied)
        self.forgotten += 1

    def _may_link(self, session: Said, place: Place, value: str) -> bool:
        """False where `_links` would find nothing: most values, which no response has given."""
        return (
            value in session.supplied
            or (len(value) >= 8 and value not in session.sent)
            or place.kind == "cookie"
            or bool(self._rules.feeds)
        )

    def _links(self, session: Said, exchange: Exchange, place: Place, value: str) -> Iterator[Link]:
        """The links of one value: as a whole where it has one, else of what is inside it."""
        link = self._link(session, exchange, place, value, "")
        if link is not None:
            yield link
        elif session.supplied and len(value) >= 8 and value not in session.sent:
            spans: list[tuple[tuple[Step, ...], int, int]] = []
            named: list[str] = []  # what is linked by where it stands in a structure
            for inner, text, name in _parts(value):
                start = int(inner[-1]) if inner[-2:-1] == ("at",) else -1
                if start >= 0:
                    end = start + len(text)
                    if any(way == inner[:-1] and begin <= start and end <= upto for way, begin, upto in spans):
                        continue  # a wider part, which came first, is linked
                    known = sum(other.count(text) for other in named)
                    if known and value.count(text) <= known:
                        continue
                part = self._link(session, exchange, place._replace(inner=inner), text, name)
                if part is not None:
                    if start >= 0:
                        spans.append((inner[:-1], start, start + len(text)))
                    else:
                        named.append(text)
                    yield part

    def _link(self, session: Said, exchange: Exchange, place: Place, value: str, name: str) -> Link | None:
        request, start = exchange.request, exchange.times.request_start
        fold = ""
        found: list[Source] = []
        if self._rules.feeds:
            found = session.fed(self._rules.feeding(request.method, request.target, place), value, start)
        if (
            not found
            and place.kind == "cookie"
            and not place.inner
            and (name_of := str(place.path[0])) in session.cookies
        ):
            by_name = f"request.cookie:{name_of}" in exchange.redacted
            found = session.cookie(name_of, value, start, by_name=by_name)
        elif not found and value not in session.sent:
            found = self._named(session, exchange, place, value, name)
            if not found and (other := session.other_case(value)) is not None:
                fold = other[1]
                found = self._named(session, exchange, place, other[0], name)
        if self._rules.excluded(request.method, request.target, place):
            return None
        if found:
            return Link(place, value, tuple(found[:_SOURCES_MAX]), fold)
        if place.kind == "cookie" and not place.inner and f"request.cookie:{place.path[0]}" in exchange.redacted:
            return Link(place, value, ())
        return None

    def _named(self, session: Said, exchange: Exchange, place: Place, value: str, name: str) -> list[Source]:
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

    def _supply(self, session: Said, planned: Planned, response: Response) -> None:
        exchange = planned.exchange
        times = exchange.times
        begun = times.response_end
        whole = begun is not None
        if begun is None:
            begun = times.response_start
        if begun is None:
            return
        answer = (response.body, response.headers)
        same = hash(answer)
        rules = bool(self._rules.feeds) and self._rules.supplies(exchange.request.method, exchange.request.target)
        if not session.is_new(same) and not session.cookies and not rules:
            return  # the very same answer again: it says nothing that is not known, and of the same places
        left = _NEVER if times.left is None else times.left
        wanted = self._wanted
        coded = not (exchange.notes and body_was_decoded(exchange, "response"))
        values = self._values(answer, response, coded) if not rules else supplied_values(response, coded)
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
            if place.kind == "cookie":
                session.set_cookie(source, ended)
            if rules:
                for number in self._rules.supplying(exchange.request.method, exchange.request.target, place):
                    session.feed(number, source, ended)
                if not is_wanted:
                    continue
            near = around if place.kind != "multipart" else around_of(addressed(exchange.request, place)[1])
            words = words_of_supply(place, near, values)
            if learned and not is_strong(value) and (key := source_key(exchange, place)) in self._learned_sources:
                words |= {key}
            self._held += session.give(source, ended, words, near)

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


def _is_of(things: frozenset[str], entry: Entry) -> bool:
    return not things.isdisjoint(things_of_supply(entry[0].place, entry[3]))


def _may_repeat(source: Source, place: Place, start: int) -> bool:
    """True where an open stream may only repeat what was posted beside it, as the id of a JSON-RPC."""
    return start < source.open_until and place.kind in _IN_BODIES and not source.sure


@lru_cache(maxsize=1 << 14)
def _one_place(place: Place) -> Place:
    """The same object for equal places: many answers have the same ones, and what is remembered of each is small."""
    return place
