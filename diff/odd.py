"""Counting which of three stands apart: changes of values by kind and class, and the exact tests on such counts."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Literal, NamedTuple

from diff.difference import Difference, general_path
from diff.statistics import binomial_tail
from diff.values import are_one_moment, class_of, is_clock_reading

__all__ = [
    "SESSIONS_FOR_CLUSTERS",
    "Change",
    "GroupKey",
    "Odd",
    "Seen",
    "Witness",
    "p_of_units",
    "redacted_paths",
    "seen_of",
]

Witness = Literal["reference", "recorded"]

_INDEX = re.compile(r"\[\d+\]")
_SESSIONS_MAX = 256
SESSIONS_FOR_CLUSTERS = 20
"""With so many sessions on a route a session counts once; with fewer, requests are the units."""
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
    """One difference with what grouping needs to know of it.

    momentary: both values are readings of the clock at the time of the request, so that they differ says nothing.
    """

    path: str
    change: Change
    difference: Difference
    momentary: bool = False


def p_of_units(units: tuple[int, int, int], *, three_way: bool) -> tuple[float, float]:
    """`Odd.p_value` of how often candidate, witness and current stood apart, whatever was counted as one."""
    x, y, z = units
    trials, chance = (x + y + z, 1 / 3) if three_way else (x + y, 0.5)
    return binomial_tail(x, trials, chance), chance**trials


def seen_of(difference: Difference, now_ns: int, since_ns: int | None = None) -> Seen:
    """Classify one difference. A status is its own class, so that 200 -> 500 and 200 -> 404 are two changes, and so is
    what became of the connection.

    now_ns: when the request was performed; since_ns: when the run began, None where that is not known.
    """
    if difference.place == "status" or (difference.place == "header" and difference.path == ("connection",)):
        left, right = str(difference.left), str(difference.right)
    elif difference.place == "outcome":
        left, right = _outcome_class(difference.left), _outcome_class(difference.right)
    else:
        left, right = class_of(difference.left, now_ns), class_of(difference.right, now_ns)
    momentary = (
        left == right
        and difference.kind == "value"
        and (
            (is_clock_reading(difference.left, left, now_ns) and is_clock_reading(difference.right, right, now_ns))
            or (since_ns is not None and are_one_moment(difference.left, difference.right, left, since_ns, now_ns))
        )
    )
    return Seen(general_path(difference), Change(difference.kind, left, right), difference, momentary)


def _outcome_class(value: Any) -> str:
    return str(value) if isinstance(value, str) else "answer" if isinstance(value, int) else class_of(value, 0)


def redacted_paths(redacted: Iterable[str]) -> frozenset[str]:
    """The places of a recorded response that hold pseudonyms, as differences name them.

    redacted: as an exchange has them, "response.cookie:sid", "response.json:$['items'][3]['token']".
    """
    found = set()
    for place in redacted:
        side, _, rest = place.partition(".")
        if side == "response":
            found.add(_INDEX.sub("[*]", rest.removeprefix("json:")))
    return frozenset(found)


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
        self._add_counts(other)
        for which, others in enumerate(other._sessions):
            if not self._full_at[which]:
                self._sessions[which].update(others)
                if len(self._sessions[which]) >= _SESSIONS_MAX:
                    self._full_at[which] = self._counts()[which]

    def merge_apart(self, other: Odd) -> None:
        """Add the counts of another tally none of whose sessions are in this one; then their units add up too."""
        units = [mine + theirs for mine, theirs in zip(self._clusters(), other._clusters(), strict=True)]
        self._add_counts(other)
        for which, count in enumerate(self._counts()):
            full = self._full_at[which] or other._full_at[which]
            sessions = self._sessions[which]
            sessions.update(other._sessions[which])
            if full:
                self._full_at[which] = max(1, round(count * len(sessions) / units[which]))
            elif len(sessions) >= _SESSIONS_MAX:
                self._full_at[which] = count

    def _add_counts(self, other: Odd) -> None:
        self.candidate += other.candidate
        self.witness += other.witness
        self.current += other.current

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
        return p_of_units(self._units(sessions), three_way=three_way)

    def _counts(self) -> tuple[int, int, int]:
        return self.candidate, self.witness, self.current

    def _units(self, sessions: int) -> tuple[int, int, int]:
        return self._counts() if sessions < SESSIONS_FOR_CLUSTERS else self._clusters()

    def _clusters(self) -> tuple[int, int, int]:
        x, y, z = (
            # Once the set is full the units grow in the proportion that was seen until then.
            round(count * len(seen) / full_at) if full_at else len(seen)
            for count, seen, full_at in zip(self._counts(), self._sessions, self._full_at, strict=True)
        )
        return x, y, z
