"""What the current build does to itself, counted per (route, path): the evidence that a difference is not noise.

Each request was performed by the current build, the candidate, and a third witness: the reference (the current build
once more) or, without one, the response that was recorded. Were the candidate the same code, it and the reference would
be exchangeable, so among the requests where exactly one of the three stands apart, each is the odd one equally often.
That is the null hypothesis, and the tests are exact. A field on which all three disagree tells nothing by its value;
there it is the value's class, and whether values repeat, that is compared in the same way.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, Literal, NamedTuple

from diff.difference import Difference, general_path
from diff.statistics import binomial_tail
from diff.values import class_of

__all__ = ["Change", "GroupKey", "Odd", "PathTally", "Seen", "Witness", "seen_of"]

Witness = Literal["reference", "recorded"]

_SESSIONS_MAX = 256
_SESSIONS_FOR_CLUSTERS = 20
_RECENT = 16
_CONTENTS_MAX = 256
_POSITIONS_MAX = 512
_GROUPS_A_PATH_MAX = 64
_REVERSED = {"missing": "extra", "extra": "missing"}


class Change(NamedTuple):
    """How a value changed: the kind of difference and the classes on both sides."""

    kind: str
    from_class: str
    to_class: str

    def reverse(self) -> Change:
        """The same change seen from the other side."""
        return Change(_REVERSED.get(self.kind, self.kind), self.to_class, self.from_class)


class GroupKey(NamedTuple):
    """Where a change happens, without list indexes."""

    route: str
    path: str


class Seen(NamedTuple):
    """One difference with what grouping needs to know of it."""

    path: str
    change: Change
    difference: Difference


def seen_of(difference: Difference, now_ns: int) -> Seen:
    """Classify one difference. The status is its own class, so that 200 -> 500 and 200 -> 404 are two changes."""
    if difference.place == "status":
        left, right = str(difference.left), str(difference.right)
    elif difference.place == "outcome":
        left, right = _outcome_class(difference.left), _outcome_class(difference.right)
    else:
        left, right = class_of(difference.left, now_ns), class_of(difference.right, now_ns)
    return Seen(general_path(difference), Change(difference.kind, left, right), difference)


def _outcome_class(value: Any) -> str:
    return str(value) if isinstance(value, str) else "answer" if isinstance(value, int) else class_of(value, 0)


class Odd:
    """How often the candidate, the witness or the current build was the one that stood apart."""

    __slots__ = ("_full_at", "_sessions", "candidate", "current", "witness")

    def __init__(self) -> None:
        self.candidate = self.witness = self.current = 0
        self._sessions: tuple[set[int], set[int], set[int]] = (set(), set(), set())
        # How many requests had been counted when that set of sessions was full; 0 while it is not.
        self._full_at = [0, 0, 0]

    def add(self, which: int, session: int) -> None:
        """Count one request; which: 0 candidate, 1 witness, 2 current."""
        if which == 0:
            self.candidate += 1
        elif which == 1:
            self.witness += 1
        else:
            self.current += 1
        if not self._full_at[which]:
            sessions = self._sessions[which]
            sessions.add(session)
            if len(sessions) >= _SESSIONS_MAX:
                self._full_at[which] = self._counts()[which]

    def merge(self, other: Odd) -> None:
        """Add the counts of another tally; the sessions of both are joined up to the bound."""
        self.candidate += other.candidate
        self.witness += other.witness
        self.current += other.current
        for which, others in enumerate(other._sessions):
            if not self._full_at[which]:
                self._sessions[which].update(others)
                if len(self._sessions[which]) >= _SESSIONS_MAX:
                    self._full_at[which] = self._counts()[which]

    @property
    def seen(self) -> bool:
        """True where anything was counted."""
        return bool(self.candidate or self.witness or self.current)

    def p_value(self, sessions: int, *, three_way: bool) -> tuple[float, float]:
        """(p, smallest p that so many odd requests could have given) that the candidate stands apart by chance.

        sessions: different sessions on the route. With enough of them a session counts once, because requests of one
        session are not independent; with few, requests are the units.
        three_way: the current build's own deviations are counted exactly, so each of three is the odd one with
        probability 1/3; else candidate against witness alone, with probability 1/2.
        """
        x, y, z = self._units(sessions)
        trials, chance = (x + y + z, 1 / 3) if three_way else (x + y, 0.5)
        return binomial_tail(x, trials, chance), chance**trials

    def _counts(self) -> tuple[int, int, int]:
        return self.candidate, self.witness, self.current

    def _units(self, sessions: int) -> tuple[int, int, int]:
        counts = self._counts()
        if sessions < _SESSIONS_FOR_CLUSTERS:
            return counts
        x, y, z = (
            # Once the set is full the units grow in the proportion that was seen until then.
            round(count * len(seen) / full_at) if full_at else len(seen)
            for count, seen, full_at in zip(counts, self._sessions, self._full_at, strict=True)
        )
        return x, y, z


class ChangeTally:
    """The counts of one change at one path."""

    __slots__ = ("count", "odd", "untested")

    def __init__(self) -> None:
        self.count = 0
        self.untested = 0
        self.odd = Odd()


class PathTally:
    """Everything that was counted at one path of one route for one candidate.

    count: requests in which candidate and current differ here; weight: the same in production's requests. odd: at the
    level of "is there any difference". changes: by kind and classes, bounded; changes beyond the bound are counted in
    `overflowed`. repeats: which build gave a value that it had given shortly before, where all three disagree.
    agreed_differ: requests in which all three disagreed. untested: requests without a witness. positions: the first
    places in the plan where the candidate alone stood apart. contents_log: log of how improbable it is that two
    processes agree on the order of these lists by chance.
    """

    __slots__ = (
        "_contents", "_recent", "agreed_differ", "change_of_repeat", "changes", "contents_log", "count", "odd",
        "overflowed", "positions", "repeats", "untested", "weight", "weight_squared", "witnessed",
    )  # fmt: skip

    def __init__(self) -> None:
        self.count = 0
        self.weight = 0.0
        self.weight_squared = 0.0
        self.odd = Odd()
        self.repeats = Odd()
        self.changes: dict[Change, ChangeTally] = {}
        self.change_of_repeat: Change | None = None
        self.agreed_differ = 0
        self.untested = 0
        self.witnessed = 0
        self.overflowed = 0
        self.positions: list[int] = []
        self.contents_log = 0.0
        self._contents: set[int] = set()
        self._recent: tuple[list[int], list[int], list[int]] = ([], [], [])

    def observe(
        self, candidate: Sequence[Seen], witness: Sequence[Seen] | None, *, session: int, weight: float, position: int
    ) -> bool:
        """Count one request.

        candidate: what differs here between current and candidate, [] for nothing. witness: between current and
        witness; None where there is no witness for this request. Returns True where the candidate alone stands apart,
        or might (no witness).
        """
        if candidate:
            self.count += 1
            self.weight += weight
            self.weight_squared += weight * weight
        if witness is None:
            if candidate:
                self.untested += 1
                for change in {seen.change for seen in candidate}:
                    tally = self._tally(change)
                    if tally is not None:
                        tally.count += 1
                        tally.untested += 1
            return bool(candidate)
        alone = self._observe_path(candidate, witness, session)
        self._observe_changes(candidate, witness, session)
        if alone and len(self.positions) < _POSITIONS_MAX:
            self.positions.append(position)
        return alone

    def _observe_path(self, candidate: Sequence[Seen], witness: Sequence[Seen], session: int) -> bool:
        if candidate and not witness:
            self.odd.add(0, session)
            self._note_order(candidate)
            return True
        self.witnessed += 1
        if not candidate:
            self.odd.add(1, session)
        elif _rights(candidate) == _rights(witness):
            self.odd.add(2, session)
        else:
            self.agreed_differ += 1
            self._observe_repeats(candidate[0], witness[0], session)
        return False

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
                if not witness_classes or witness_classes == {change.from_class}:
                    tally.odd.add(0, session)
            elif change.from_class == change.to_class:
                if _same(seen.difference.right, theirs[change].difference.right):
                    tally.odd.add(2, session)
            elif (back := self._tally(change.reverse())) is not None:
                back.odd.add(2, session)
        our_classes = {change.to_class for change in ours}
        for change in theirs:
            if change not in ours and (not our_classes or our_classes == {change.from_class}):
                tally = self._tally(change)
                if tally is not None:
                    tally.odd.add(1, session)

    def _observe_repeats(self, candidate: Seen, witness: Seen, session: int) -> None:
        if candidate.change.from_class != candidate.change.to_class or candidate.change.kind != "value":
            return
        self.change_of_repeat = candidate.change
        repeated = [
            self._repeats(side, value)
            for side, value in enumerate(
                (candidate.difference.right, witness.difference.right, candidate.difference.left)
            )
        ]
        if sum(repeated) == 1:
            self.repeats.add(repeated.index(True), session)

    def _repeats(self, side: int, value: Any) -> bool:
        recent = self._recent[side]
        mark = _mark(value)
        if mark in recent:
            return True
        recent.append(mark)
        if len(recent) > _RECENT:
            del recent[0]
        return False

    def _note_order(self, candidate: Sequence[Seen]) -> None:
        for seen in candidate:
            values = seen.difference.left
            if seen.change.kind == "order" and isinstance(values, list | tuple) and len(self._contents) < _CONTENTS_MAX:
                mark = _mark(values)
                if mark not in self._contents:
                    self._contents.add(mark)
                    self.contents_log += math.lgamma(len(values) + 1)

    def _tally(self, change: Change) -> ChangeTally | None:
        tally = self.changes.get(change)
        if tally is None:
            if len(self.changes) >= _GROUPS_A_PATH_MAX:
                self.overflowed += 1
                return None
            tally = self.changes[change] = ChangeTally()
        return tally


def _rights(seen: Iterable[Seen]) -> list[Any]:
    return [(one.difference.path, one.change.kind, _frozen(one.difference.right)) for one in seen]


def _same(left: Any, right: Any) -> bool:
    return type(left) is type(right) and bool(left == right)


def _frozen(value: Any) -> Any:
    return (type(value).__name__, value)


def _mark(value: Any) -> int:
    """A number that is equal for equal values within this process; never stored."""
    try:
        return hash((type(value).__name__, value))
    except TypeError:
        return hash(repr(value)[:4096])
