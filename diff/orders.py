"""How likely two processes give lists in one order by chance, told from the lists that a third one reordered.

A process may give the elements of a set in an order that is all its own (of the hashes of strings, say) and the same in
every answer. Then two processes agree by chance, and a third does not, in all answers alike. Pure, bounded.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Hashable, Sequence
from typing import Any, TypeVar

from diff.facets import lasting_mark

__all__ = ["Orders", "reordered"]

_Element = TypeVar("_Element", bound=Hashable)

_CONTENTS_MAX = 256
_NEIGHBOURS_MAX = 8192
_ELEMENTS_MAX = 512


class Orders:
    """The different lists of one place that the current build and the witness gave in one order, the candidate not.

    The chance is that of one order of each list, or, where all these orders could be one order of all elements, of the
    elements that changed places: two names that stand in a hundred lists are one throw of a coin, not a hundred.
    """

    __slots__ = ("_contents", "_contradicted", "_elements", "_log", "_neighbours")

    def __init__(self) -> None:
        # Mark of a list's content to its length.
        self._contents: dict[int, int] = {}
        self._log = 0.0
        self._elements: dict[int, None] = {}
        self._neighbours: dict[tuple[int, int], None] = {}
        self._contradicted = False

    @property
    def chance(self) -> float:
        """How likely two processes agree on all these orders by chance; 1 where no list was seen."""
        log = self._log
        if not self._contradicted and len(self._elements) < _ELEMENTS_MAX:
            log = min(log, math.lgamma(len(self._elements) + 1))
        return math.exp(-min(700.0, log))

    def add(self, current: Sequence[Any], candidate: Sequence[Any]) -> None:
        """Take in a list as the current build and as the candidate gave it."""
        mark = lasting_mark(current)
        if mark in self._contents or len(self._contents) >= _CONTENTS_MAX:
            return
        self._add_content(mark, len(current))
        moved = reordered([lasting_mark(one) for one in current], [lasting_mark(one) for one in candidate])
        for one in moved:
            if len(self._elements) < _ELEMENTS_MAX:
                self._elements[one] = None
        for pair in itertools.pairwise(moved):
            self._add_neighbours(pair)

    def merge(self, other: Orders) -> None:
        """Add what was seen in other sessions."""
        for mark, length in other._contents.items():
            if mark not in self._contents and len(self._contents) < _CONTENTS_MAX:
                self._add_content(mark, length)
        for one in other._elements:
            if len(self._elements) < _ELEMENTS_MAX:
                self._elements[one] = None
        for pair in other._neighbours:
            self._add_neighbours(pair)
        self._contradicted = self._contradicted or other._contradicted

    def _add_content(self, mark: int, length: int) -> None:
        self._contents[mark] = length
        self._log += math.lgamma(length + 1)

    def _add_neighbours(self, pair: tuple[int, int]) -> None:
        if pair[::-1] in self._neighbours and pair[0] != pair[1]:
            self._contradicted = True
        elif len(self._neighbours) < _NEIGHBOURS_MAX:
            self._neighbours[pair] = None


def reordered(left: Sequence[_Element], right: Sequence[_Element]) -> list[_Element]:
    """The elements of `left` that changed places with another one, in its order; what only one side has is left out."""
    places = {one: place for place, one in enumerate(right)}
    kept = [one for one in left if one in places]
    at = [places[one] for one in kept]
    # An element stays where everything before it is before it on the right, too, and likewise what comes after.
    least_after = [math.inf] * (len(at) + 1)
    for index in range(len(at) - 1, -1, -1):
        least_after[index] = min(least_after[index + 1], at[index])
    moved, greatest = [], -1
    for index, one in enumerate(kept):
        if greatest > at[index] or least_after[index + 1] < at[index]:
            moved.append(one)
        greatest = max(greatest, at[index])
    return moved
