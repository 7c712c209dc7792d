"""What can still be told of a field on which all builds disagree: whether it repeats, is shifted, counts otherwise...

Each facet is judged as values are elsewhere: how often does the candidate alone show it, how often the witness alone. A
uuid that turned constant repeats; a time in another zone is shifted; a counter that goes up by two steps otherwise; a
float of ten times the jitter is scattered; a uuid of another version is written otherwise; two ids that changed places
break the one-to-one renaming between the current build's ids and the candidate's.
"""

from __future__ import annotations

import itertools
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from typing import Any

import xxhash

from diff.forms import form_of
from diff.odd import Change, Odd, Seen
from diff.values import is_time, number_of

__all__ = ["Facets", "Renamings", "lasting_mark", "mark_of"]

_RECENT = 16
_RECENT_TEXTS = 128
_POSITIONS_MAX = 512
_SESSIONS_MAX = 512
_ROWS_MAX = 32
_SHIFTS_MAX = 200
_SHIFTS_MIN = 20
_REMEMBERED_MAX = 200_000
_MIXED_MAX = 4096
_BACK_MAX = 0.2
"""How often a number may go the other way that still counts: what was under way, or began anew."""


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
        "_ahead", "_behind", "_flips", "_form", "_forms", "_last", "_later", "_mixed", "_outer", "_recent", "_shifts",
        "_spreads", "_steps", "_ways", "beside", "change", "positions", "repeats",
    )  # fmt: skip

    def __init__(self) -> None:
        self.change: Change | None = None
        # How often the candidate's number was one more than the witness's, and one less.
        self.beside = [0, 0]
        self.repeats = Odd()
        # The values of the current build whose renaming was broken, with the side that first broke it and the session;
        # None beside another one of the same request. A value that is one for many sessions (memory in use, a version)
        # is one piece of evidence.
        self._mixed: dict[int, tuple[int, int] | None] = {}
        # Where in the plan the candidate alone repeated itself, or was written otherwise: by the name of the facet.
        self.positions: dict[str, list[int]] = {}
        self._forms = Odd()
        self._form = ("", "")
        self._steps = Odd()
        # Of the current build, from one to the next: how often its number was greater, and how often less.
        self._ways = [0, 0]
        self._last: tuple[int, int, int] | None = None
        self._ahead = Odd()
        self._behind = Odd()
        # By session: how often candidate, witness and current lay furthest from the other two.
        self._outer: dict[int, list[int]] = {}
        self._recent: tuple[dict[int, None], dict[int, None], dict[int, None]] = ({}, {}, {})
        self._shifts: list[float] = []
        self._spreads: list[float] = []
        # Of current against witness: how often the witness was later, and how often that changed from one to the next.
        self._later: list[bool] = []
        self._flips = 0

    def observe(
        self, candidate: Sequence[Seen], witness: Sequence[Seen], session: int, position: int, renamings: Renamings
    ) -> None:
        """One request in which current, candidate and witness all gave another value here."""
        theirs = {seen.difference.path: seen for seen in witness[:_ROWS_MAX]}
        broken = [False, False]
        marks = []
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
                self._observe_repeats(values, session, position)
                self._observe_form(values, session, position)
                self._observe_step(values, session, position)
                if not (ours.momentary and other.momentary):
                    self._observe_shift(*values, session)
            # Times are no names: two fields may tell one moment in one build and two in the other.
            if not isinstance(values[2], str | int) or is_time(change.from_class):
                continue
            if found := renamings.broken(session, values[2], *values[:2]):
                broken = [broken[0] or found[0], broken[1] or found[1]]
                if found[0] != found[1]:
                    marks.append(mark_of(values[2]))
        if broken[0] != broken[1] and not any(mark in self._mixed for mark in marks):
            for number, mark in enumerate(marks[: max(0, _MIXED_MAX - len(self._mixed))]):
                self._mixed.setdefault(mark, (0 if broken[0] else 1, session) if number == 0 else None)

    def merge(self, other: Facets) -> None:
        """Add what was told of the same place in other sessions; nothing more is observed afterwards."""
        if other.change is not None:
            self.change = other.change
        self.repeats.merge_apart(other.repeats)
        for mark, told in itertools.islice(other._mixed.items(), max(0, _MIXED_MAX - len(self._mixed))):
            self._mixed.setdefault(mark, told)
        for name, places in other.positions.items():
            self.positions[name] = sorted(self.positions.get(name, []) + places)[:_POSITIONS_MAX]
        self._forms.merge_apart(other._forms)
        self._form = self._form if any(self._form) else other._form
        self._steps.merge_apart(other._steps)
        self.beside = [mine + theirs for mine, theirs in zip(self.beside, other.beside, strict=True)]
        self._ways = [mine + theirs for mine, theirs in zip(self._ways, other._ways, strict=True)]
        for session, counts in itertools.islice(other._outer.items(), _SESSIONS_MAX - len(self._outer)):
            self._outer[session] = counts
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

    def told_of(self, position: int) -> bool:
        """Whether the candidate alone repeated itself, or was written otherwise, in the pair that was observed last."""
        return any(places[-1] == position for places in self.positions.values())

    def tests(self) -> Iterator[tuple[str, Change, Odd]]:
        """Name of the facet, the change that it would be told as, and the counts.

        "repeats": values come again; "renamed" counts candidate and witness alone; "form": they are written otherwise;
        "step": a counter goes on otherwise; "shift" was one of two directions; "spread": values lie further apart.
        """
        if self.change is None:
            return
        name = self.change.from_class
        if self.repeats.seen:
            yield "repeats", Change("value", f"{name}, varying", f"{name}, repeating"), self.repeats
        if self._mixed:
            renamed = Odd()
            for told in self._mixed.values():
                if told is not None:
                    renamed.add(*told)
            yield "renamed", Change("value", f"{name}, renamed one to one", f"{name}, mixed up"), renamed
        if self._forms.seen:
            before, after = (f"{name}, {form}" if form else name for form in self._form)
            yield "form", Change("value", before, after), self._forms
        if self._steps.seen and min(self._ways) <= _BACK_MAX * max(self._ways):
            yield "step", Change("value", f"{name}, counting", f"{name}, counting otherwise"), self._steps
        if self._crossing():
            direction = self._shifted()
            if direction is not None:
                yield "shift", Change("value", name, f"{name}, {direction[0]}"), direction[1]
            elif self._scattered():
                yield "spread", Change("value", name, f"{name}, scattered"), self._outermost()

    def _note(self, name: str, position: int) -> None:
        places = self.positions.setdefault(name, [])
        if len(places) < _POSITIONS_MAX:
            places.append(position)

    def _observe_repeats(self, values: Sequence[Any], session: int, position: int) -> None:
        repeated = [self._repeats(side, value) for side, value in enumerate(values)]
        if sum(repeated) == 1:
            self.repeats.add(repeated.index(True), session)
            if repeated[0]:
                self._note("repeats", position)

    def _repeats(self, side: int, value: Any) -> bool:
        # Numbers come again by themselves after a while, texts made anew never do.
        kept = _RECENT_TEXTS if isinstance(value, str) else _RECENT
        recent = self._recent[side]
        mark = mark_of(value)
        again = mark in recent
        if again:
            del recent[mark]
        recent[mark] = None
        if len(recent) > kept:
            del recent[next(iter(recent))]
        return again

    def _observe_form(self, values: Sequence[Any], session: int, position: int) -> None:
        assert self.change is not None
        mine, theirs, ours = (form_of(value, self.change.from_class) for value in values)
        which = _odd_one(mine, theirs, ours)
        if which is None:
            return
        self._forms.add(which, session)
        if which == 0:
            self._note("form", position)
            if not any(self._form):
                self._form = ours, mine

    def _observe_step(self, values: Sequence[Any], session: int, position: int) -> None:
        """How counters went on since the last time: two that took the same step, other than none, are no chance."""
        if any(value.__class__ is not int for value in values):
            return
        now = (values[0], values[1], values[2])
        if abs(now[0] - now[1]) == 1:
            self.beside[now[0] < now[1]] += 1
        if self._last is not None:
            mine, theirs, ours = (value - before for value, before in zip(now, self._last, strict=True))
            which = _odd_one(mine, theirs, ours)
            if ours:
                self._ways[ours < 0] += 1
            if which is not None and (ours if which != 2 else mine) != 0:
                self._steps.add(which, session)
                if which == 0:
                    self._note("step", position)
        self._last = now

    def _observe_shift(self, candidate: Any, witness: Any, current: Any, session: int) -> None:
        numbers = number_of(candidate), number_of(witness), number_of(current)
        mine, theirs, ours = numbers
        if mine is None or theirs is None or ours is None:
            return
        if len({mine, theirs, ours}) == 3:
            self._ahead.add(numbers.index(max(mine, theirs, ours)), session)
            self._behind.add(numbers.index(min(mine, theirs, ours)), session)
            low, middle, high = sorted((mine, theirs, ours))
            if session in self._outer or len(self._outer) < _SESSIONS_MAX:
                furthest = high if high - middle > middle - low else low
                self._outer.setdefault(session, [0, 0, 0])[numbers.index(furthest)] += 1
        if len(self._shifts) < _SHIFTS_MAX:
            self._shifts.append(mine - (theirs + ours) / 2)
            self._spreads.append(abs(theirs - ours))
            later = theirs > ours
            self._flips += bool(self._later) and later != self._later[-1]
            self._later.append(later)

    def _crossing(self) -> bool:
        """Whether current and witness cross each other all the time, so that how numbers lie can be told at all.

        Two processes of one build may count from different numbers and drift apart.
        """
        count = len(self._shifts)
        return count >= _SHIFTS_MIN and self._flips >= 0.2 * count and 0.25 < sum(self._later) / count < 0.75

    def _shifted(self) -> tuple[str, Odd] | None:
        """Whether the candidate's numbers lie beyond both others for good, which lie much closer together."""
        count = len(self._shifts)
        shift = sorted(self._shifts)[count // 2]
        if abs(shift) <= 3 * sorted(self._spreads)[count // 2]:
            return None
        return ("greater", self._ahead) if shift > 0 else ("less", self._behind)

    def _outermost(self) -> Odd:
        """In how many sessions each of the three lay furthest out more often than either other."""
        won = Odd()
        for session, counts in self._outer.items():
            if counts.count(max(counts)) == 1:
                won.add(counts.index(max(counts)), session)
        return won

    def _scattered(self) -> bool:
        """Whether the candidate's numbers lie much further apart, on both sides of the others."""
        count = len(self._shifts)
        above = sum(shift > 0 for shift in self._shifts)
        far = sorted(map(abs, self._shifts))[count // 2]
        return 0.25 < above / count < 0.75 and far > 3 * sorted(self._spreads)[count // 2]


def _odd_one(mine: Any, theirs: Any, ours: Any) -> int | None:
    """Which one differs from two that agree: 0 candidate, 1 witness, 2 current; None for another constellation."""
    if theirs == ours:
        return None if mine == ours else 0
    if mine == ours:
        return 1
    return 2 if mine == theirs else None


def lasting_mark(value: Any) -> int:
    """As `mark_of`, slower, and the same number in every process."""
    return int(xxhash.xxh3_64_intdigest(repr(value).encode("utf-8", "surrogatepass")))


def mark_of(value: Any) -> int:
    """A number that is equal for equal values within this process; never stored."""
    try:
        return hash((type(value).__name__, value))
    except TypeError:
        return hash(repr(value)[:4096])
