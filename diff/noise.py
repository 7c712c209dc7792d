"""What the current build does to itself, counted per (route, path): the evidence that a difference is not noise.

Each request was performed by the current build, the candidate, and a third witness: the reference (the current build
once more) or, without one, the response that was recorded. Were the candidate the same code, it and the reference would
be exchangeable, so among the requests where exactly one of the three stands apart, each is the odd one equally often.
That is the null hypothesis, and the tests are exact. A field on which all three disagree tells nothing by its value;
there it is the value's class, and whether values repeat, that is compared in the same way.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from diff.facets import Facets, Renamings
from diff.given import Given
from diff.odd import Change, Odd, Seen
from diff.orders import Orders

__all__ = ["ChangeTally", "PathTally"]

_POSITIONS_MAX = 512
_GROUPS_A_PATH_MAX = 64
_GIVEN_A_PAIR_MAX = 16


class ChangeTally:
    """The counts of one change at one path. positions: of failures, the first places in the plan."""

    __slots__ = ("count", "odd", "positions", "untested")

    def __init__(self) -> None:
        self.count = 0
        self.untested = 0
        self.odd = Odd()
        self.positions: list[int] = []

    def merge(self, other: ChangeTally) -> None:
        """Add what was counted in other sessions."""
        self.count += other.count
        self.positions = sorted(self.positions + other.positions)[:_POSITIONS_MAX]
        self.untested += other.untested
        self.odd.merge_apart(other.odd)


class PathTally:
    """Everything that was counted at one path of one route for one candidate.

    count: requests in which candidate and current differ here; weight: the same in production's requests. odd: at the
    level of "is there any difference". changes: by kind and classes, bounded; changes beyond the bound are counted in
    `overflowed`. agreed_differ: requests in which all three disagreed; facets: what can be told of those. untested:
    requests without a witness. stood: where the candidate alone showed what it had shown before. positions: the first
    places in the plan where the candidate alone stood apart. recorded: how often production had said what the current
    build said; looked up for the first pairs of a route alone.
    orders: the lists that only the candidate has in another order.
    given: the same as odd for numbers and names that a build gives out, of which many answers may show one and the
    same: two builds gave two orders their numbers the other way round, or both held on to a gauge for a while.
    from_first: the candidate alone differs in the first pair of a route.
    """

    __slots__ = (
        "agreed_differ", "changes", "count", "facets", "from_first", "given", "odd", "orders", "overflowed",
        "positions", "recorded", "stood", "untested", "weight", "weight_squared", "witnessed",
    )  # fmt: skip

    def __init__(self) -> None:
        self.count = 0
        self.weight = 0.0
        self.weight_squared = 0.0
        self.odd = Odd()
        self.given = Given()
        self.from_first = False
        self.facets = Facets()
        self.changes: dict[Change, ChangeTally] = {}
        self.agreed_differ = 0
        self.untested = 0
        self.witnessed = 0
        self.stood = 0
        self.recorded = 0
        self.overflowed = 0
        self.positions: list[int] = []
        self.orders = Orders()

    def observe(
        self,
        candidate: Sequence[Seen],
        witness: Sequence[Seen] | None,
        renamings: Renamings,
        *,
        session: int,
        weight: float,
        position: int,
        again: bool = False,
        first: bool = False,
    ) -> bool:
        """Count one request.

        candidate: what differs here between current and candidate, [] for nothing. witness: between current and
        witness; None where there is no witness for this request. again: what the candidate alone shows here was counted
        before and has only stood since (`diff.standing`). first: it is the first pair of its route. Returns True where
        the candidate alone stands apart, or might (no witness).
        """
        if candidate:
            if candidate[0].difference.place == "outcome" and (failed := self._tally(candidate[0].change)) is not None:
                failed.positions += (position,)[: _POSITIONS_MAX - len(failed.positions)]
            self.count += 1
            self.weight += weight
            self.weight_squared += weight * weight
        if witness is None:
            if candidate:
                self.untested += 1
                if len(self.positions) < _POSITIONS_MAX:
                    self.positions.append(position)
                for change in dict.fromkeys(seen.change for seen in candidate):
                    tally = self._tally(change)
                    if tally is not None:
                        tally.count += 1
                        tally.untested += 1
            return bool(candidate)
        if again and not witness:
            self.stood += 1
            for change in dict.fromkeys(seen.change for seen in candidate):
                if (counts := self._tally(change)) is not None:
                    counts.count += 1
            return False
        alone = self._observe_path(candidate, witness, session, position, renamings)
        self._observe_changes(candidate, witness, session)
        self.from_first = self.from_first or (first and alone)
        if alone and len(self.positions) < _POSITIONS_MAX:
            self.positions.append(position)
        return alone

    def merge(self, other: PathTally) -> None:
        """Add what was counted at the same path in other sessions; `other` is not used any more."""
        self.count += other.count
        self.weight += other.weight
        self.weight_squared += other.weight_squared
        self.odd.merge_apart(other.odd)
        self.given.merge(other.given)
        self.from_first = self.from_first or other.from_first
        self.facets.merge(other.facets)
        self.agreed_differ += other.agreed_differ
        self.untested += other.untested
        self.witnessed += other.witnessed
        self.stood += other.stood
        self.recorded += other.recorded
        self.overflowed += other.overflowed
        self.positions = sorted(self.positions + other.positions)[:_POSITIONS_MAX]
        for change, counts in other.changes.items():
            tally = self._tally(change)
            if tally is not None:
                tally.merge(counts)
        self.orders.merge(other.orders)

    def _observe_path(
        self, candidate: Sequence[Seen], witness: Sequence[Seen], session: int, position: int, renamings: Renamings
    ) -> bool:
        if candidate and not witness:
            if _momentary(candidate):
                # That the witness read the same tick of its clock is chance, not evidence.
                self.witnessed += 1
                self.agreed_differ += 1
                return False
            self.odd.add(0, session)
            self._give(0, candidate)
            self._note_order(candidate)
            return True
        self.witnessed += 1
        if not candidate:
            if not _momentary(witness):
                self.odd.add(1, session)
                self._give(1, witness)
        elif _rights(candidate) == _rights(witness):
            self.odd.add(2, session)
            self._give(2, candidate)
        else:
            self.agreed_differ += 1
            self.given.follow(candidate[0].difference.left)
            self.facets.observe(candidate, witness, session, position, renamings)
        return False

    def _give(self, which: int, seen: Sequence[Seen]) -> None:
        self.given.follow(seen[0].difference.left)
        for one in seen[:_GIVEN_A_PAIR_MAX]:
            left, right = one.difference.left, one.difference.right
            self.given.add(which, *((right, left) if which == 2 else (left, right)))

    def _observe_changes(self, candidate: Sequence[Seen], witness: Sequence[Seen], session: int) -> None:
        ours = {seen.change: seen for seen in candidate}
        theirs = {seen.change: seen for seen in witness}
        witness_classes = {change.to_class for change in theirs}
        for change, seen in ours.items():
            tally = self._tally(change)
            if tally is None:
                continue
            tally.count += 1
            if change not in theirs:
                # The candidate is odd only where the witness has the current build's class.
                if not seen.momentary and (not witness_classes or witness_classes == {change.from_class}):
                    tally.odd.add(0, session)
            elif change.from_class == change.to_class:
                if _same(seen.difference.right, theirs[change].difference.right):
                    tally.odd.add(2, session)
            elif (back := self._tally(change.reverse())) is not None:
                back.odd.add(2, session)
        our_classes = {change.to_class for change in ours}
        for change, seen in theirs.items():
            if change not in ours and not seen.momentary and (not our_classes or our_classes == {change.from_class}):
                tally = self._tally(change)
                if tally is not None:
                    tally.odd.add(1, session)

    def _note_order(self, candidate: Sequence[Seen]) -> None:
        for seen in candidate:
            current, other = seen.difference.left, seen.difference.right
            if seen.change.kind == "order" and isinstance(current, list | tuple) and isinstance(other, list | tuple):
                self.orders.add(current, other)

    def _tally(self, change: Change) -> ChangeTally | None:
        tally = self.changes.get(change)
        if tally is None:
            if len(self.changes) >= _GROUPS_A_PATH_MAX:
                self.overflowed += 1
                return None
            tally = self.changes[change] = ChangeTally()
        return tally


def _momentary(seen: Iterable[Seen]) -> bool:
    return all(one.momentary for one in seen)


def _rights(seen: Iterable[Seen]) -> list[Any]:
    return [(one.difference.path, one.change.kind, _frozen(one.difference.right)) for one in seen]


def _same(left: Any, right: Any) -> bool:
    return type(left) is type(right) and bool(left == right)


def _frozen(value: Any) -> Any:
    return (type(value).__name__, value)
