"""What can still be told of a field on which all builds disagree: whether it repeats, is shifted, or breaks a renaming.

Each facet is judged as values are elsewhere: how often does the candidate alone show it, how often the witness alone. A
uuid that turned constant repeats; a time in another zone is shifted; two ids that changed places break the one-to-one
renaming between the current build's ids and the candidate's.
"""

from __future__ import annotations

import itertools
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from typing import Any

import xxhash

from diff.odd import Change, Odd, Seen
from diff.values import is_time, number_of

__all__ = ["Facets", "Renamings", "lasting_mark", "mark_of"]

_RECENT = 16
_ROWS_MAX = 32
_SHIFTS_MAX = 200
_SHIFTS_MIN = 20
_REMEMBERED_MAX = 200_000


class Renamings:
    """Which value of the candidate, and which of the witness, was first seen for a value of the current build.

    Within a session; bounded, the oldest are forgotten first.
    """

    __slots__ = ("_known",)

    def __init__(self) -> None:
        self._known: OrderedDict[int, tuple[int, int]] = OrderedDict()

    def broken(self, session: int, current: Any, candidate: Any, witness: Any) -> tuple[bool, bool] | None:
        """(candidate, witness): does this pairing contradict the first one? None where this is the first."""
        key = hash((session, mark_of(current)))
        now = mark_of(candidate), mark_of(witness)
        before = self._known.get(key)
        if before is None:
            self._known[key] = now
            if len(self._known) > _REMEMBERED_MAX:
                self._known.popitem(last=False)
            return None
        return before[0] != now[0], before[1] != now[1]


class Facets:
    """The facets of one place for one candidate, in bounded memory."""

    __slots__ = (
        "_ahead", "_behind", "_flips", "_later", "_recent", "_shifts", "_spreads", "change", "renamed", "repeats",
    )  # fmt: skip

    def __init__(self) -> None:
        self.change: Change | None = None
        self.repeats = Odd()
        self.renamed = Odd()
        self._ahead = Odd()
        self._behind = Odd()
        self._recent: tuple[list[int], list[int], list[int]] = ([], [], [])
        self._shifts: list[float] = []
        self._spreads: list[float] = []
        # Of current against witness: how often the witness was later, and how often that changed from one to the next.
        self._later: list[bool] = []
        self._flips = 0

    def observe(self, candidate: Sequence[Seen], witness: Sequence[Seen], session: int, renamings: Renamings) -> None:
        """One request in which current, candidate and witness all gave another value here."""
        theirs = {seen.difference.path: seen for seen in witness[:_ROWS_MAX]}
        broken = [False, False]
        for number, ours in enumerate(candidate[:_ROWS_MAX]):
            other = theirs.get(ours.difference.path)
            change = ours.change
            if other is None or change.kind != "value":
                continue
            if not change.from_class == change.to_class == other.change.to_class:
                continue
            self.change = change
            values = ours.difference.right, other.difference.right, ours.difference.left
            if number == 0:
                self._observe_repeats(values, session)
                if not (ours.momentary and other.momentary):
                    self._observe_shift(*values, session)
            # Times are no names: two fields may tell one moment in one build and two in the other.
            if not isinstance(values[2], str | int) or is_time(change.from_class):
                continue
            if found := renamings.broken(session, values[2], *values[:2]):
                broken = [broken[0] or found[0], broken[1] or found[1]]
        if broken[0] != broken[1]:
            self.renamed.add(0 if broken[0] else 1, session)

    def merge(self, other: Facets) -> None:
        """Add what was told of the same place in other sessions; nothing more is observed afterwards."""
        if other.change is not None:
            self.change = other.change
        self.repeats.merge_apart(other.repeats)
        self.renamed.merge_apart(other.renamed)
        self._ahead.merge_apart(other._ahead)
        self._behind.merge_apart(other._behind)
        room = max(0, _SHIFTS_MAX - len(self._shifts))
        if room and other._shifts:
            self._shifts += other._shifts[:room]
            self._spreads += other._spreads[:room]
            joined = bool(self._later) and self._later[-1] != other._later[0]
            taken = other._later[:room]
            self._flips += joined + sum(one != next_one for one, next_one in itertools.pairwise(taken))
            self._later += taken

    def tests(self) -> Iterator[tuple[str, Change, Odd]]:
        """Name of the facet ("repeats", "renamed", "shift"), the change that it would be told as, and the counts.

        "renamed" counts candidate and witness alone; "shift" was one of two directions.
        """
        if self.change is None:
            return
        name = self.change.from_class
        if self.repeats.seen:
            yield "repeats", Change("value", f"{name}, varying", f"{name}, repeating"), self.repeats
        if self.renamed.seen:
            yield "renamed", Change("value", f"{name}, renamed one to one", f"{name}, mixed up"), self.renamed
        direction = self._shifted()
        if direction is not None:
            yield "shift", Change("value", name, f"{name}, {direction[0]}"), direction[1]

    def _observe_repeats(self, values: Sequence[Any], session: int) -> None:
        repeated = [self._repeats(side, value) for side, value in enumerate(values)]
        if sum(repeated) == 1:
            self.repeats.add(repeated.index(True), session)

    def _repeats(self, side: int, value: Any) -> bool:
        recent = self._recent[side]
        mark = mark_of(value)
        if mark in recent:
            return True
        recent.append(mark)
        if len(recent) > _RECENT:
            del recent[0]
        return False

    def _observe_shift(self, candidate: Any, witness: Any, current: Any, session: int) -> None:
        numbers = number_of(candidate), number_of(witness), number_of(current)
        mine, theirs, ours = numbers
        if mine is None or theirs is None or ours is None:
            return
        if len({mine, theirs, ours}) == 3:
            self._ahead.add(numbers.index(max(mine, theirs, ours)), session)
            self._behind.add(numbers.index(min(mine, theirs, ours)), session)
        if len(self._shifts) < _SHIFTS_MAX:
            self._shifts.append(mine - (theirs + ours) / 2)
            self._spreads.append(abs(theirs - ours))
            later = theirs > ours
            self._flips += bool(self._later) and later != self._later[-1]
            self._later.append(later)

    def _shifted(self) -> tuple[str, Odd] | None:
        """Whether the candidate's numbers lie beyond both others for good; None where that cannot be said.

        Two processes of one build may count from different numbers and drift apart, so a shift counts only where
        current and witness cross each other all the time and lie much closer together than the candidate to them.
        """
        count = len(self._shifts)
        if count < _SHIFTS_MIN or self._flips < 0.2 * count or not 0.25 < sum(self._later) / count < 0.75:
            return None
        shift = sorted(self._shifts)[count // 2]
        if abs(shift) <= 3 * sorted(self._spreads)[count // 2]:
            return None
        return ("greater", self._ahead) if shift > 0 else ("less", self._behind)


def lasting_mark(value: Any) -> int:
    """As `mark_of`, slower, and the same number in every process."""
    return int(xxhash.xxh3_64_intdigest(repr(value).encode("utf-8", "surrogatepass")))


def mark_of(value: Any) -> int:
    """A number that is equal for equal values within this process; never stored."""
    try:
        return hash((type(value).__name__, value))
    except TypeError:
        return hash(repr(value)[:4096])
