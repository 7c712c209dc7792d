"""What a process says of itself: its numbers and its name, as against what it tells of the thing that was asked for.

Another process of the same build has other ones: its pid, `worker-4711`, the seconds since its start, how many requests
it has answered, the next id that it gives away. They stay, or numbers grow. Pure, bounded.
"""

from __future__ import annotations

import re
from collections import deque
from typing import Any

from diff.odd import GroupKey, Seen

__all__ = ["ProcessFacts", "is_number", "is_numbered_name"]

# Pairs are seen in the order in which they were completed, so a counter may go back by as many as are under way.
_UNDER_WAY = 32
_PLACES_MAX = 20_000
_NUMBERED = re.compile(r"([A-Za-z][A-Za-z_.-]{0,63})\d{1,20}")


class _Grown:
    """The greatest number of a place, but for the last ones."""

    __slots__ = ("greatest", "recent")

    def __init__(self) -> None:
        self.greatest: float | None = None
        self.recent: deque[float] = deque()


class ProcessFacts:
    """For each place what one process has said there: of numbers only the greatest is kept, of names the first."""

    __slots__ = ("_names", "_places")

    def __init__(self) -> None:
        self._names: dict[GroupKey, str] = {}
        self._places: dict[GroupKey, _Grown] = {}

    def is_own_name(self, place: GroupKey, name: str) -> bool:
        """Whether this is what the process said at that place whenever it was asked."""
        if place not in self._names and len(self._names) >= _PLACES_MAX:
            return False
        return self._names.setdefault(place, name) == name

    def is_own(self, place: GroupKey, number: int | float, *, surely: bool = False) -> bool:
        """Take in the next number of that place; whether it may be the process's own, as far as was seen.

        surely: only where it is greater than all before it. Else it may where it is greater than all that were said
        here some requests ago, or where too few were; an integer also where it is equal to the greatest (a pid).
        Fractions that stay are not: those of a process grow.
        """
        grown = self._places.get(place)
        if grown is None:
            if len(self._places) >= _PLACES_MAX:
                return False
            grown = self._places[place] = _Grown()
        before = grown.greatest
        grew = bool(grown.recent) and number > max(grown.recent) and (before is None or number > before)
        stayed = bool(grown.recent) and number == grown.recent[-1]
        grown.recent.append(number)
        if len(grown.recent) > _UNDER_WAY:
            oldest = grown.recent.popleft()
            grown.greatest = oldest if before is None else max(before, oldest)
        if surely:
            return grew
        if stayed or number == before:
            return isinstance(number, int) and (before is None or number >= before)
        return before is None or number > before


def is_numbered_name(seen: Seen) -> bool:
    """True for one name with a number against the same with another number: node-4711, web_12."""
    left, right = seen.difference.left, seen.difference.right
    if seen.change.kind != "value" or not isinstance(left, str) or not isinstance(right, str):
        return False
    found, other = _NUMBERED.fullmatch(left), _NUMBERED.fullmatch(right)
    return found is not None and other is not None and found[1] == other[1]


def is_number(seen: Seen) -> bool:
    """True for one number against another one."""
    difference = seen.difference
    return difference.kind == "value" and _counts(difference.left) and _counts(difference.right)


def _counts(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
