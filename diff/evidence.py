"""All that one candidate's pairs have shown, in bounded memory: counts by route and path, and typical examples."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from diff.examples import Examples
from diff.explain import Dimension
from diff.facets import Renamings
from diff.noise import PathTally
from diff.odd import Change, GroupKey, Seen
from diff.pair_sample import PairSamples, pair_hash

__all__ = ["OTHER_PATHS", "Evidence", "RouteTally", "Shown"]

OTHER_PATHS = "(other paths)"
"""Where differences are counted together once the bound on places is reached."""

_SESSIONS_MAX = 64
_FACTS_OF_ROUTE_MAX = 2000
_FACTS_OF_PLACE_MAX = 500
_FACTS_MAX = 300_000
_SAMPLED_A_FACT = 3
_SESSIONS_COUNTED_MAX = 100_000
_PLACES_TOLD_MAX = 10


class Shown(NamedTuple):
    """A change that a pair shows at a place; None for one beyond the bound on changes that are told apart."""

    key: GroupKey
    change: Change | None


@dataclasses.dataclass(slots=True)
class RouteTally:
    """Pairs of one route that were compared; weight and its square sum are production's. sessions: distinct, up to a
    bound that is enough to choose the unit of the tests. dimensions: how often each fact of a request was seen."""

    pairs: int = 0
    weight: float = 0.0
    weight_squared: float = 0.0
    sessions: set[int] = dataclasses.field(default_factory=set)
    dimensions: Counter[Dimension] = dataclasses.field(default_factory=Counter)

    def add(self, session: int, weight: float) -> None:
        """Count one pair."""
        self.pairs += 1
        self.weight += weight
        self.weight_squared += weight * weight
        if len(self.sessions) < _SESSIONS_MAX:
            self.sessions.add(session)

    def merge(self, other: RouteTally) -> None:
        """Add the pairs of other sessions; facts are left to who knows what was left out of them."""
        self.pairs += other.pairs
        self.weight += other.weight
        self.weight_squared += other.weight_squared
        self.sessions |= other.sessions


class _Budget:
    """How many facts may still be told apart, over all routes and places of a candidate.

    cut: of which routes and places some fact was left out; there a fact that is not counted may have been there.
    """

    __slots__ = ("cut", "left")

    def __init__(self, left: int) -> None:
        self.left = left
        self.cut: set[str | GroupKey] = set()

    def count(
        self, of: str | GroupKey, counter: Counter[Dimension], facts: Sequence[Dimension], facts_max: int
    ) -> None:
        """Count facts; one that is new where a bound is reached is left out for good, so that counts are whole."""
        for fact in facts:
            if fact in counter:
                counter[fact] += 1
            elif self.left > 0 and len(counter) < facts_max:
                counter[fact] = 1
                self.left -= 1
            else:
                self.cut.add(of)

    def merge(
        self,
        of: str | GroupKey,
        counter: Counter[Dimension],
        other: Counter[Dimension],
        other_cut: bool,
        facts_max: int,
    ) -> None:
        """Add another counter of the same route or place; what either may have left out is left out for good."""
        was_cut = of in self.cut
        if other_cut:
            for fact in [fact for fact in counter if fact not in other]:
                del counter[fact]
                self.left += 1
            self.cut.add(of)
        for fact, count in other.items():
            if fact in counter:
                counter[fact] += count
            elif not was_cut and self.left > 0 and len(counter) < facts_max:
                counter[fact] = count
                self.left -= 1
            else:
                self.cut.add(of)


class Evidence:
    """The counts of one candidate; `routes` and `paths` grow up to bounds, and what is beyond is counted together.

    samples: which facts come together, for each route and place.
    aliases: changes as pairs were told that they show them, to how they are known since another's evidence was merged.
    """

    __slots__ = (
        "_budget", "_ids", "_paths_max", "_renamings", "_visited", "aliases", "dimensions", "examples",
        "overflowed", "paths", "routes", "samples", "signatures",
    )  # fmt: skip

    def __init__(self, *, paths_max: int, examples_max: int, facts_max: int = _FACTS_MAX) -> None:
        self.aliases: dict[Shown, Shown] = {}
        self._paths_max = paths_max
        self.paths: dict[GroupKey, PathTally] = {}
        self.routes: dict[str, RouteTally] = {}
        self.examples = Examples(examples_max)
        self.dimensions: dict[GroupKey, Counter[Dimension]] = {}
        self.overflowed = 0
        self.signatures: Counter[tuple[tuple[int, ...], bool]] = Counter()
        self._ids: dict[Shown, int] = {}
        self._renamings = Renamings()
        self._visited: dict[int, int] = {}
        self._budget = _Budget(facts_max)
        self.samples: PairSamples[str | GroupKey] = PairSamples(facts_max=_SAMPLED_A_FACT * facts_max)

    def observe(
        self,
        route: str,
        candidate: Sequence[Seen],
        witness: Sequence[Seen] | None,
        *,
        exchange: str,
        session: int,
        weight: float,
        position: int,
        facts: Sequence[Dimension],
        explained: bool,
        only: frozenset[str] | None = None,
        unwitnessed: frozenset[str] = frozenset(),
        again: frozenset[str] = frozenset(),
    ) -> tuple[list[GroupKey], frozenset[Shown]]:
        """Count one pair that could be compared.

        candidate, witness: differences to the current build; witness None where there is none. explained: a rule took
        some of the candidate's differences. only: where the rest of a response was swallowed by a greater difference,
        the paths that may still be judged. unwitnessed: paths at which the witness tells nothing (redacted). again:
        paths at which only what was counted before still stands. Returns
        the places where the candidate stood apart, and all that it shows.
        """
        facts = (*facts, ("place in session", self._place_in(session)))
        tally_of_route = self._route(route)
        tally_of_route.add(session, weight)
        self._budget.count(route, tally_of_route.dimensions, facts, _FACTS_OF_ROUTE_MAX)
        number = pair_hash(exchange, position)
        self.samples.observe(route, number, facts)
        if not candidate and not witness:
            self.signatures[((), explained)] += 1
            return [], frozenset()
        ours = self._by_key(route, candidate)
        theirs = self._by_key(route, witness or ())
        apart = []
        for key in sorted(ours.keys() | theirs.keys()):
            here = ours.get(key, ())
            swallowed = (only is not None and key.path not in only) or key.path in unwitnessed
            if swallowed and not here:
                continue
            judged = None if witness is None or swallowed else theirs.get(key, ())
            tally = self.paths[key]
            alone = tally.observe(
                here, judged, self._renamings, session=session, weight=weight, position=position,
                again=key.path in again, first=tally_of_route.pairs == 1,
            )  # fmt: skip
            if alone:
                apart.append(key)
                self._budget.count(key, self.dimensions.setdefault(key, Counter()), facts, _FACTS_OF_PLACE_MAX)
                self.samples.observe(key, number, facts)
            if here:
                self.examples.keep(key, exchange, here, apart=alone or tally.facets.told_of(position))
        shown = frozenset(
            Shown(key, one.change if one.change in self.paths[key].changes else None)
            for key, here in ours.items()
            for one in here
        )
        ids = self._ids
        self.signatures[(tuple(sorted(ids.setdefault(one, len(ids)) for one in shown)), explained)] += 1
        return apart, shown

    def merge(self, other: Evidence) -> None:
        """Add what was observed in other sessions; `other` is not used any more, and nothing more is observed."""
        self.overflowed += other.overflowed
        for route, tally in other.routes.items():
            mine = self._route(route)
            mine.merge(tally)
            cut = route in other._budget.cut
            self._budget.merge(route, mine.dimensions, tally.dimensions, cut, _FACTS_OF_ROUTE_MAX)
            self.samples.merge(route, other.samples, route)
        places: dict[GroupKey, GroupKey] = {}
        for theirs, counts in other.paths.items():
            key = places[theirs] = self._key(*theirs)
            self.paths[key].merge(counts)
            facts = other.dimensions.get(theirs)
            if facts is not None:
                cut = theirs in other._budget.cut
                mine_facts = self.dimensions.setdefault(key, Counter())
                self._budget.merge(key, mine_facts, facts, cut, _FACTS_OF_PLACE_MAX)
                self.samples.merge(key, other.samples, theirs)
            self.examples.merge(key, other.examples, theirs)
        self._merge_signatures(other, places)

    def _merge_signatures(self, other: Evidence, places: dict[GroupKey, GroupKey]) -> None:
        ids = self._ids
        numbers: dict[int, int] = {}
        for one, number in other._ids.items():
            key = places[one.key]
            known = Shown(key, one.change if one.change in self.paths[key].changes else None)
            if known != one:
                self.aliases[one] = known
            numbers[number] = ids.setdefault(known, len(ids))
        for (shown, explained), count in other.signatures.items():
            self.signatures[(tuple(sorted({numbers[number] for number in shown})), explained)] += count

    def settle(self) -> None:
        """Forget what only further pairs would need."""
        self._renamings = Renamings()
        self._visited = {}
        self.samples.settle()

    def _place_in(self, session: int) -> str:
        """Which request of its session this is; the sessions that were quiet longest are forgotten beyond a bound."""
        place = self._visited.pop(session, 0) + 1
        self._visited[session] = place
        if len(self._visited) > _SESSIONS_COUNTED_MAX:
            del self._visited[next(iter(self._visited))]
        return str(place) if place <= _PLACES_TOLD_MAX else f"after {_PLACES_TOLD_MAX}"

    def numbers_of(self, wanted: Iterable[Shown]) -> set[int]:
        """The numbers by which changes are known in `signatures`."""
        return {self._ids[one] for one in wanted if one in self._ids}

    def pairs_that_show(self, wanted: Iterable[Shown]) -> int:
        """How many pairs show any of these changes."""
        numbers = self.numbers_of(wanted)
        return sum(count for (shown, _), count in self.signatures.items() if not numbers.isdisjoint(shown))

    def _route(self, route: str) -> RouteTally:
        tally = self.routes.get(route)
        if tally is None:
            tally = self.routes[route] = RouteTally()
        return tally

    def _key(self, route: str, path: str) -> GroupKey:
        key = GroupKey(route, path)
        if key in self.paths:
            return key
        if len(self.paths) >= self._paths_max and path not in ("status", "outcome", OTHER_PATHS):
            self.overflowed += 1
            key = GroupKey(route, OTHER_PATHS)
            if key in self.paths:
                return key
        self.paths[key] = PathTally()
        return key

    def _by_key(self, route: str, seen: Sequence[Seen]) -> dict[GroupKey, list[Seen]]:
        grouped: dict[GroupKey, list[Seen]] = {}
        for one in seen:
            grouped.setdefault(self._key(route, one.path), []).append(one)
        return grouped
