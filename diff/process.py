"""Numbers of a process: what it counts and keeps for itself, as against what it tells of the thing that was asked for.

Another process of the same build has other ones: its pid, the seconds since its start, how many requests it has
answered, the next id that it gives away. They stay, or they grow. Pure, bounded.
"""

from __future__ import annotations

from collections import deque
from typing import Any

from diff.odd import GroupKey, Seen

__all__ = ["ProcessNumbers", "is_number"]

# Pairs are seen in the order in which they were completed, so a counter may go back by as many as are under way.
_UNDER_WAY = 32
_PLACES_MAX = 20_000


class _Grown:
    """The greatest number of a place, but for the last ones."""

    __slots__ = ("greatest", "recent")

    def __init__(self) -> None:
        self.greatest: float | None = None
        self.recent: deque[float] = deque()


class ProcessNumbers:
    """For each place the numbers that one process has said there, of which only the greatest is kept."""

    __slots__ = ("_places",)

    def __init__(self) -> None:
        self._places: dict[GroupKey, _Grown] = {}

    def is_own(self, place: GroupKey, number: int | float) -> bool:
        """Take in the next number of that place; whether it may be the process's own, as far as was seen.

        It may where it is greater than all that were said here some requests ago, or where too few were; an integer
        also where it is equal to the greatest (a pid). Fractions that stay are not: those of a process grow.
        """
        grown = self._places.get(place)
        if grown is None:
            if len(self._places) >= _PLACES_MAX:
                return False
            grown = self._places[place] = _Grown()
        before = grown.greatest
        stayed = bool(grown.recent) and number == grown.recent[-1]
        grown.recent.append(number)
        if len(grown.recent) > _UNDER_WAY:
            oldest = grown.recent.popleft()
            grown.greatest = oldest if before is None else max(before, oldest)
        if stayed or number == before:
            return isinstance(number, int) and (before is None or number >= before)
        return before is None or number > before


def is_number(seen: Seen) -> bool:
    """True for one number against another one."""
    difference = seen.difference
    return difference.kind == "value" and _counts(difference.left) and _counts(difference.right)


def _counts(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
