"""What the two sides of one captured session have said so far: what answers gave, and what the client said first."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import TypeAlias

from capture.exchange import Exchange
from replay.inside import parts_inside
from replay.link import Link, Source
from replay.place import Place
from replay.strong import is_strong
from replay.words import words_of_request

__all__ = ["Entry", "Said"]

_SOURCES_MAX = 4
_ENTRIES_MAX = 64
_FEEDS_MAX = 16
_VALUES_MAX = 20_000
_SEEN_MAX = 512
_NONE: frozenset[str] = frozenset()
_FOLDS = re.compile(r"(?=.*[A-Fa-f])[0-9A-Fa-f-]{16,}\Z")

Entry: TypeAlias = tuple[Source, int, frozenset[str], frozenset[str]]
"""Who supplied a value, when that answer had ended, what it called the value, and what its request was about."""


class Said:
    """One session; bounded.

    supplied: values that answers gave, with who gave them. sent: strong values that the client had from elsewhere.
    cookies, cookie_values: who set a cookie of that name, and to that value, the last one last.
    """

    __slots__ = ("_feeds", "_folded", "_seen", "_sent_as", "_targets", "cookie_values", "cookies", "sent", "supplied")

    def __init__(self) -> None:
        self.supplied: dict[str, list[Entry]] = {}
        self.sent: set[str] = set()
        self._seen: set[int] = set()
        self.cookies: dict[str, list[tuple[Source, int]]] = {}
        self.cookie_values: dict[tuple[str, str], list[tuple[Source, int]]] = {}
        self._folded: dict[str, str] = {}
        self._sent_as: dict[str, frozenset[str]] = {}
        self._targets: set[str] = set()
        self._feeds: dict[int, list[tuple[Source, int]]] = {}

    def other_case(self, value: str) -> tuple[str, str] | None:
        """A hexadecimal value that an answer gave in another case, and how the client writes it, "lower" or "upper"."""
        if not _FOLDS.match(value) or (other := self._folded.get(value.lower())) is None:
            return None
        return other, "lower" if value == value.lower() else "upper"

    def send(
        self, exchange: Exchange, carried: Iterable[tuple[Place, str]], links: Sequence[Link], *, bare: bool
    ) -> None:
        """Remember what the client has said itself; what it made of a value that it was given is not its own.

        bare: the request carries no more than its target; the very same one again would say nothing new.
        """
        if bare:
            if exchange.request.target in self._targets:
                return
            if len(self._targets) < _SEEN_MAX:
                self._targets.add(exchange.request.target)
        given = {(link.place.kind, link.place.path): link.value for link in links if link.place.inner}
        for place, value in carried:
            if len(self.sent) + len(self._sent_as) >= _VALUES_MAX:
                break
            inside = given.get((place.kind, place.path)) if given else None
            if not is_strong(value):
                words = words_of_request(exchange, place)
                fresh = value not in self._sent_as
                self._sent_as[value] = self._sent_as.get(value, words) | words
            else:
                fresh = value not in self.supplied and value not in self.sent
                if fresh and inside is None:
                    self.sent.add(value)
            if fresh:
                # A word that the client put into a longer value is its own as well: a region, the name of a table.
                self.sent.update(
                    word
                    for word in _strong_inside(value)
                    if word not in self.supplied and (inside is None or not (inside in word or word in inside))
                )

    def is_new(self, answer: int) -> bool:
        """False for the hash of an answer that was taken before: it says nothing that is not known."""
        if answer in self._seen:
            return False
        if len(self._seen) < _SEEN_MAX:
            self._seen.add(answer)
        return True

    def give(self, source: Source, ended: int, words: frozenset[str], around: frozenset[str]) -> bool:
        """Remember a value that an answer gave, unless the client said it first; True where it was not known yet.

        words: what the answer called it, and around: what it was about.
        """
        value = source.value
        entries = self.supplied.get(value)
        own = value in self.sent or not words.isdisjoint(self._sent_as.get(value, _NONE))
        if own and all(words.isdisjoint(entry[2]) for entry in entries or ()):
            return False  # the client said it first; a word or a short number, under this name
        fresh = entries is None
        if entries is None:
            if len(self.supplied) >= _VALUES_MAX:
                return False
            entries = self.supplied[value] = []
            if _FOLDS.match(value):
                self._folded.setdefault(value.lower(), value)
        if not entries or (
            len(entries) < _ENTRIES_MAX
            and sum(words == entry[2] and around == entry[3] for entry in entries) < _SOURCES_MAX
        ):
            entries.append((source, ended, words, around))
        return fresh

    def set_cookie(self, source: Source, ended: int) -> None:
        """Remember a cookie that an answer set."""
        if len(self.cookie_values) >= _VALUES_MAX:
            return
        name = str(source.place.path[0])
        for sets in (
            self.cookies.setdefault(name, []),
            self.cookie_values.setdefault((name, source.value), []),
        ):
            sets.append((source, ended))
            del sets[:-_SOURCES_MAX]

    def cookie(self, name: str, value: str, start: int, *, by_name: bool) -> list[Source]:
        """As a cookie jar does it: the last Set-Cookie of that name before `start`, where it set this value.

        by_name: the value is a pseudonym, so that where none has it the name alone decides.
        """
        same = _latest(self.cookie_values.get((name, value), ()), start)
        return same if same or not by_name else _latest(self.cookies.get(name, ()), start)

    def feed(self, number: int, source: Source, ended: int) -> None:
        """Remember a value that the rule of that number takes."""
        feeds = self._feeds.setdefault(number, [])
        feeds.append((source, ended))
        del feeds[:-_FEEDS_MAX]

    def fed(self, numbers: Iterable[int], value: str, start: int) -> list[Source]:
        """What rules say: the last answer with their place before `start`, one with the same value before others."""
        found: list[Source] = []
        for number in numbers:
            ended = [source for source, end in self._feeds.get(number, ()) if end <= start]
            latest = ended[::-1]
            found += sorted(latest, key=lambda source: source.value != value)
        return found


@lru_cache(maxsize=4096)
def _strong_inside(value: str) -> tuple[str, ...]:
    return tuple({text for _, text, _ in parts_inside(value) if is_strong(text)})


def _latest(sets: Sequence[tuple[Source, int]], start: int) -> list[Source]:
    """The sources that had ended before, the last one first."""
    return [source for source, ended in reversed(sets) if ended <= start]
