"""Values that a build gives out in turn (ids, counters) or holds for a while (gauges): which of them are one event.

Where requests are under way at the same time, two processes of one build give two orders the next two ids the other way
round, or one of them answers a read just before a write. That is one event, however many answers show it afterwards.
Pure, bounded.
"""

from __future__ import annotations

from typing import Any

from diff.facets import lasting_mark
from replay.strong import is_strong

__all__ = ["Given", "is_given"]

_VALUES_MAX = 512
_FALLS_MAX = 0.2
_STEPS_MIN = 5
_CHARS_MAX = 256

Units = tuple[int, int, int]


def is_given(value: Any) -> bool:
    """True for what a build may give out in turn: a number, or a text that is a token or has a digit, and no blank."""
    if isinstance(value, str):
        if not 0 < len(value) <= _CHARS_MAX or any(map(str.isspace, value)):
            return False
        return any(map(str.isdigit, value)) or is_strong(value)
    return isinstance(value, int | float) and not isinstance(value, bool)


class Given:
    """Which value the odd one of three had where the other two agreed, by the value on which they agreed.

    Of three in the order candidate, witness, current. Once one of them is full nothing more is added, so that the
    proportion between them stays. numbers: some of the values were numbers, not texts.
    """

    __slots__ = ("_falls", "_last", "_offsets", "_rises", "_values", "numbers")

    def __init__(self) -> None:
        self._values: tuple[dict[int, int], dict[int, int], dict[int, int]] = ({}, {}, {})
        self._offsets: tuple[set[int], set[int], set[int]] = (set(), set(), set())
        self._last: int | None = None
        self._rises = self._falls = 0
        self.numbers = False

    @property
    def seen(self) -> bool:
        """True where anything was counted."""
        return any(self._values)

    def add(self, which: int, agreed: Any, odd: Any) -> None:
        """Count one request; which: 0 candidate, 1 witness, 2 current."""
        if not is_given(agreed) or max(map(len, self._values)) >= _VALUES_MAX:
            return
        self.numbers = self.numbers or not isinstance(agreed, str)
        self._values[which].setdefault(lasting_mark(agreed), lasting_mark(odd))
        mine, other = _whole(agreed), _whole(odd)
        if mine is not None and other is not None:
            self._offsets[which].add(other - mine)

    def follow(self, current: Any) -> None:
        """Take in what the current build says here, where the three do not all say the same."""
        number = _whole(current)
        if number is None:
            return
        if self._last is not None:
            self._rises += number > self._last
            self._falls += number < self._last
        self._last = number

    def merge(self, other: Given) -> None:
        """Add what was counted in other sessions."""
        self.numbers = self.numbers or other.numbers
        for mine, theirs in zip(self._values, other._values, strict=True):
            for agreed, odd in theirs.items():
                if max(map(len, self._values)) < _VALUES_MAX:
                    mine.setdefault(agreed, odd)
        for offsets, others in zip(self._offsets, other._offsets, strict=True):
            offsets |= others
        self._rises += other._rises
        self._falls += other._falls

    def values(self) -> Units:
        """On how many different values two agreed, for each that was the odd one."""
        candidate, witness, current = map(len, self._values)
        return candidate, witness, current

    def events(self, *, in_turn: bool) -> Units:
        """At least how many events gave these values.

        A counter that goes on by another distance, by the distances; names that are renamed one to one, by the chains
        that they form: b for a and a for b is one event, d for c, e for d and f for e another. So with numbers that are
        known to be names (in_turn). Else each value is one.
        """
        if self.is_counter:
            candidate, witness, current = map(len, self._offsets)
        elif in_turn or not self.numbers:
            candidate, witness, current = map(_chains, self._values)
        else:
            return self.values()
        return candidate, witness, current

    @property
    def renamed(self) -> dict[int, int]:
        """What the candidate alone has, by what the others have; numbers for the values (`lasting_mark`)."""
        return self._values[0]

    @property
    def is_counter(self) -> bool:
        """Whether the current build's numbers go up from request to request, but for those that were under way."""
        return self._rises >= _STEPS_MIN and self._falls <= _FALLS_MAX * self._rises and any(self._offsets)


def _whole(value: Any) -> int | None:
    if isinstance(value, str):
        return int(value) if value.isascii() and value.isdigit() and len(value) <= 18 else None
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _chains(renamed: dict[int, int]) -> int:
    """How many groups of names are joined by renaming; each name by itself where two were given the same new one."""
    if len(set(renamed.values())) < len(renamed):
        return len(renamed)
    starts = set(renamed) - set(renamed.values())
    joined = set[int]()
    chains = 0
    for name in (*sorted(starts), *renamed):
        if name not in joined:
            chains += 1
        following: int | None = name
        while following is not None and following not in joined:
            joined.add(following)
            following = renamed.get(following)
    return chains
