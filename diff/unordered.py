"""Align two lists whose order means nothing: equal elements wherever they stand, then the most alike of the rest."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Sequence
from typing import Final

from diff.gap import Alike
from diff.lists import Alignment

__all__ = ["align_unordered"]

_PAIRING_CELLS_MAX: Final = 400
_ALIKE_MIN: Final = 0.3
_ALIKE_RENAMED_MIN: Final = 0.5


def align_unordered(left: Sequence[Hashable], right: Sequence[Hashable], alike: Alike, *, named: bool) -> Alignment:
    """Align two sets by their keys.

    named: keys are names of elements that may differ for the rest, and no name stands twice on a side; else elements
    with the same key are equal. What is on one side only is paired with what it is most alike, if it is at all; where
    that would take a table of more than some hundred cells, in the order of the lists.
    """
    waiting: defaultdict[Hashable, list[int]] = defaultdict(list)
    for index in range(len(right) - 1, -1, -1):
        waiting[right[index]].append(index)
    changed: list[tuple[int, int]] = []
    missing: list[int] = []
    for index, key in enumerate(left):
        if not (places := waiting.get(key)):
            missing.append(index)
            continue
        place = places.pop()
        if named:
            changed.append((index, place))
    extra = sorted(index for places in waiting.values() for index in places)
    pairs = _most_alike(missing, extra, alike, _ALIKE_RENAMED_MIN if named else _ALIKE_MIN)
    paired_left, paired_right = {i for i, _ in pairs}, {j for _, j in pairs}
    return Alignment(
        tuple(sorted(changed + pairs)),
        [i for i in missing if i not in paired_left],
        [j for j in extra if j not in paired_right],
    )


def _most_alike(missing: list[int], extra: list[int], alike: Alike, alike_min: float) -> list[tuple[int, int]]:
    if len(missing) * len(extra) > _PAIRING_CELLS_MAX:
        return [(i, j) for i, j in zip(missing, extra, strict=False) if alike(i, j) >= alike_min]
    scores = sorted((-alike(i, j), i, j) for i in missing for j in extra)
    pairs: list[tuple[int, int]] = []
    taken_left: set[int] = set()
    taken_right: set[int] = set()
    for score, i, j in scores:
        if -score >= alike_min and i not in taken_left and j not in taken_right:
            pairs.append((i, j))
            taken_left.add(i)
            taken_right.add(j)
    return pairs
