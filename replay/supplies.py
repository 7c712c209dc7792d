"""What the builds answered so far in the sessions under way, from which bound values are taken; bounded."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Sequence

from capture.exchange import Exchange, Request, Response
from replay.carry import replace_values
from replay.jar import Jar
from replay.link import Link
from replay.outcome import Binding, Outcome, Performance
from replay.place import Place, shape_of
from replay.supply import supplied_values, value_at

__all__ = ["Supplies", "value_answered"]

_SESSION_POSITIONS_MAX = 4096
_KNOWN_MAX = 20_000
_OVERHEAD = 1536
"""What an answer takes in memory beside its body, roughly: its headers, and its place in the tables."""


def value_answered(response: Response | None, place: Place, recorded: str) -> str | None:
    """What a build answered at a place; None where it did not answer or has nothing there.

    Where the recorded value itself still stands at the place, or at the same place of another element of the list, the
    build is taken to know it, and it stays.
    """
    if response is None:
        return None
    answered = value_at(response, place)
    if answered == recorded:
        return recorded
    shape = shape_of(place)
    if shape != place:
        values = supplied_values(response, wanted=_Only(recorded))
        if any(value == recorded and shape_of(other) == shape for other, value in values.items()):
            return recorded
    return answered


class _Only:
    """Asks for one value."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def __contains__(self, value: str) -> bool:
        return value == self._value

    def holds(self, text: str) -> bool:
        return self._value in text


def _is_signed(link: Link) -> bool:
    """True where the value stands in a token that only its issuer can make anew."""
    return link.place.inner[:1] == ("signed",)


class _Session:
    __slots__ = ("answers", "bytes", "jars", "known")

    def __init__(self, builds: int) -> None:
        self.answers: OrderedDict[int, list[Response | None]] = OrderedDict()
        self.jars: list[Jar] = [Jar() for _ in range(builds)]
        self.known: dict[tuple[int, int, Place, str], str | None] = {}
        self.bytes = 0


class Supplies:
    """Answers of every build by session and position. builds: how many. bytes_max, sessions_max: kept at once.

    injected: for each build, the names in lower case of headers that are replaced anyway; nothing is bound in them.
    The session that was used longest ago is forgotten first. Counts: `resolved` and `unresolved` by build index, one
    for each link; `forgotten` sessions.
    """

    def __init__(
        self, builds: int, bytes_max: int, sessions_max: int = 10_000, injected: Sequence[frozenset[str]] = ()
    ) -> None:
        self.resolved: Counter[int] = Counter()
        self.unresolved: Counter[int] = Counter()
        self.forgotten = 0
        self._builds = builds
        self._injected = injected or [frozenset()] * builds
        self._bytes_max = bytes_max
        self._sessions_max = sessions_max
        self._bytes = 0
        self._sessions: OrderedDict[tuple[int, str], _Session] = OrderedDict()

    def keep(self, exchange: Exchange, position: int, iteration: int, index: int, outcome: Outcome) -> None:
        """Remember what the build of that index answered."""
        if outcome.response is not None:
            self.keep_response(exchange, position, iteration, index, outcome.response)

    def keep_response(self, exchange: Exchange, position: int, iteration: int, index: int, response: Response) -> None:
        """Remember what a build answered, in the place of what of the same answer was remembered before."""
        key = (iteration, exchange.session)
        session = self._sessions.get(key)
        if session is None:
            session = self._sessions[key] = _Session(self._builds)
        else:
            self._sessions.move_to_end(key)
        answers = session.answers.get(position)
        if answers is None:
            answers = session.answers[position] = [None] * self._builds
        before, answers[index] = answers[index], response
        size = len(response.body or b"") + _OVERHEAD
        if before is None:
            session.jars[index].take(exchange, position, response.headers)
        else:
            size -= len(before.body or b"") + _OVERHEAD
            for missed in [known for known in session.known if known[:2] == (position, index)]:
                del session.known[missed]
        session.bytes += size
        self._bytes += size
        if len(session.answers) > _SESSION_POSITIONS_MAX:
            _, dropped = session.answers.popitem(last=False)
            freed = sum(len(r.body or b"") + _OVERHEAD for r in dropped if r is not None)
            session.bytes -= freed
            self._bytes -= freed
        while len(self._sessions) > self._sessions_max or (self._bytes > self._bytes_max and len(self._sessions) > 1):
            _, oldest = self._sessions.popitem(last=False)
            self._bytes -= oldest.bytes
            self.forgotten += 1

    def take_over(self, performance: Performance, index: int, outcome: Outcome) -> None:
        """Remember, and count, what the build of that index answered in an earlier part of the run."""
        self.keep(performance.exchange, performance.position, performance.iteration, index, outcome)
        for binding in outcome.bindings:
            if binding.origin.startswith("unresolved:"):
                self.unresolved[index] += 1
            elif not binding.origin.startswith(("injected:", "hook:")):
                self.resolved[index] += 1

    def value(self, link: Link, session: str, iteration: int, index: int) -> tuple[str, str] | None:
        """(value, origin) of a link on one build; None where no source of it was answered there."""
        kept = self._sessions.get((iteration, session))
        if kept is None:
            return None
        jar = kept.jars[index] if link.place.kind == "cookie" and not link.place.inner else None
        if jar is not None and (newer := jar.set_since(link)) is not None:
            return newer
        for source in link.sources:
            answers = kept.answers.get(source.position)
            if answers is None:
                continue
            key = (source.position, index, source.place, source.value)
            if len(kept.known) > _KNOWN_MAX:
                kept.known.clear()
            if key in kept.known:
                found = kept.known[key]
            else:
                found = kept.known[key] = value_answered(answers[index], source.place, source.value)
            if found is not None:
                found = found.lower() if link.fold == "lower" else found.upper() if link.fold == "upper" else found
                return found, f"{source.exchange_id} {source.place.text()}"
        return jar.set_before(link) if jar is not None else None

    def resolvable(self, links: tuple[Link, ...], session: str, iteration: int, index: int) -> bool:
        """True where the build of that index has an answer for every link, and it can be put in its place."""
        return all(self._sendable(link, session, iteration, index) for link in links)

    def _sendable(self, link: Link, session: str, iteration: int, index: int) -> bool:
        if not link.sources or self._is_injected(link, index):
            return True
        found = self.value(link, session, iteration, index)
        if found is None and not any(source.sure for source in link.sources):
            return True  # a client that knew it before has it still
        return found is not None and (found[0] == link.value or not _is_signed(link))

    def _is_injected(self, link: Link, index: int) -> bool:
        place = link.place
        name = "cookie" if place.kind == "cookie" else place.path[0] if place.kind == "header" else ""
        return name in self._injected[index]

    def bind(
        self, request: Request, links: tuple[Link, ...], session: str, iteration: int, index: int
    ) -> tuple[Request | None, tuple[Binding, ...]]:
        """The request with this build's values, None where all stay as recorded, and what was bound to what.

        A link that cannot be resolved on this build keeps the recorded value; its binding's origin begins with
        "unresolved:" and names the source that was wanted, so that what follows can be told to be a consequence.
        """
        changes: dict[Place, tuple[str, str]] = {}
        bindings = []
        for link in links:
            if self._is_injected(link, index):
                continue
            found = self.value(link, session, iteration, index)
            if found is None and not link.sources:
                continue  # the jar has no such cookie: it stays as recorded, and nothing was wanted from anywhere
            if found is None or (found[0] != link.value and _is_signed(link)):
                self.unresolved[index] += 1
                first = link.sources[0]
                bindings.append(Binding(link.place.text(), f"unresolved:{first.exchange_id} {first.place.text()}"))
                continue
            self.resolved[index] += 1
            bindings.append(Binding(link.place.text(), found[1]))
            if found[0] != link.value:
                changes[link.place] = (link.value, found[0])
        return (replace_values(request, changes) if changes else None), tuple(bindings)
