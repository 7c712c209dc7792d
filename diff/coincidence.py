"""How likely two processes of one build come to agree, against a third, by chance: floors of the exact tests. Pure.

The tests count requests, or sessions, as independent. What few events made is not: one race of two writes shows in
every later answer about either of them, and an order or a gauge may be one throw of a coin.
"""

from __future__ import annotations

from collections.abc import Mapping

from diff.given import Given
from diff.noise import PathTally
from diff.odd import SESSIONS_FOR_CLUSTERS, Change, GroupKey, p_of_units
from replay.plan import SAFE_METHODS

__all__ = ["Coincidence"]

_NOISE_SHARE = 0.1


class _Path:
    """One path on all routes: how often the candidate stood apart, how often there was noise, and what was given.

    from_first: on some route it stood apart from the first pair on.
    """

    __slots__ = ("apart", "from_first", "given", "noise")

    def __init__(self) -> None:
        self.apart = self.noise = 0
        self.from_first = False
        self.given = Given()

    def add(self, tally: PathTally) -> None:
        self.apart += tally.odd.candidate
        self.noise += tally.odd.witness + tally.odd.current + tally.agreed_differ
        self.from_first = self.from_first or tally.from_first
        self.given.merge(tally.given)

    @property
    def is_noisy(self) -> bool:
        return self.noise >= max(1, _NOISE_SHARE * self.apart)


class Coincidence:
    """The floors of one candidate's tests, by what was seen at all its places.

    Numbers and names that a build gives out in turn (`diff.given`) count by events where the same path shows noise at
    least a tenth as often as the candidate stands apart, on any route, or where answers to writes gave out the very
    same ones in another order: on routes of few sessions, where requests are the units. So counts a noisy counter on
    any route, but where the candidate stood apart from the first pair on.
    """

    __slots__ = ("_paths", "_swapped")

    def __init__(self, places: Mapping[GroupKey, PathTally]) -> None:
        self._paths: dict[str, _Path] = {}
        writes: dict[str, Given] = {}
        for key, tally in places.items():
            self._paths.setdefault(key.path, _Path()).add(tally)
            if key.route.partition(" ")[0] not in SAFE_METHODS:
                writes.setdefault(key.path, Given()).merge(tally.given)
        # What was given out in answers to writes, and to other writes on the candidate.
        self._swapped: set[int] = set()
        for given in writes.values():
            if set(given.renamed) == set(given.renamed.values()):
                self._swapped |= given.renamed.keys()

    def of(self, key: GroupKey, tally: PathTally, change: Change | None, sessions: int) -> float:
        """The smallest p that a test of this place, or of one change there, may have."""
        if change is None or change.kind == "order":
            by_order = _of_order(tally)
            if by_order or change is not None:
                return by_order
        if change is not None and change.kind != "value":
            return 0.0
        held = _of_gauge(tally) if change is None or change.from_class == change.to_class else 0.0
        found = self._paths[key.path]
        if not self._is_of_events(found, tally.given, tally.from_first, sessions):
            return held
        return max(held, _p(tally.given.events(in_turn=self._is_in_turn(found.given))))

    def of_all(self, path: str, sessions: int) -> float:
        """The same of a test of one change over all routes."""
        found = self._paths[path]
        if not self._is_of_events(found, found.given, found.from_first, sessions):
            return 0.0
        return _p(found.given.events(in_turn=self._is_in_turn(found.given)))

    def is_in_turn(self, key: GroupKey) -> bool:
        """Whether all that the candidate alone has there was given out by writes, in another order."""
        return self._is_in_turn(self._paths[key.path].given)

    def _is_of_events(self, found: _Path, given: Given, from_first: bool, sessions: int) -> bool:
        if not given.seen or (from_first if given.is_counter else sessions >= SESSIONS_FOR_CLUSTERS):
            return False
        return found.is_noisy or self._is_in_turn(found.given)

    def _is_in_turn(self, given: Given) -> bool:
        renamed = given.renamed
        return bool(renamed) and renamed.keys() <= self._swapped and len(set(renamed.values())) == len(renamed)


def _p(units: tuple[int, int, int]) -> float:
    return p_of_units(units, three_way=True)[0]


def _of_order(tally: PathTally) -> float:
    """How likely two processes agree on the order of these lists by chance, where order is all that differs."""
    if not tally.changes or any(change.kind != "order" for change in tally.changes):
        return 0.0
    return tally.orders.chance


def _of_gauge(tally: PathTally) -> float:
    """How likely chance agrees on so many different numbers, at a place where all three mostly disagree."""
    if not tally.given.numbers or tally.agreed_differ < tally.odd.candidate:
        return 0.0
    return _p(tally.given.values())
