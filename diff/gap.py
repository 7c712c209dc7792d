"""What stands between two aligned elements of two lists, paired by how alike its elements are, in their order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias

__all__ = ["Alike", "gaps", "most_alike", "pair_gap", "settle_gap"]

Alike: TypeAlias = Callable[[int, int], float]
"""(index on the left, index on the right) -> how alike the two elements are, 0.0 nothing to 1.0 the same."""

_PAIRING_CELLS_MAX: Final = 400
_ALIKE_MIN: Final = 0.3


def gaps(
    anchors: list[tuple[int, int]], left_len: int, right_len: int, left_out: set[int], right_out: set[int]
) -> list[tuple[list[int], list[int]]]:
    """What stands between the anchors on both sides, without the indexes that are accounted for already."""
    found = []
    left_from = right_from = 0
    for at_left, at_right in [*anchors, (left_len, right_len)]:
        if at_left > left_from or at_right > right_from:
            left_gap = [i for i in range(left_from, at_left) if i not in left_out]
            right_gap = [i for i in range(right_from, at_right) if i not in right_out]
            if left_gap or right_gap:
                found.append((left_gap, right_gap))
        left_from, right_from = at_left + 1, at_right + 1
    return found


def pair_gap(
    left_gap: list[int],
    right_gap: list[int],
    alike: Alike,
    changed: list[tuple[int, int]],
    missing: list[int],
    extra: list[int],
) -> None:
    """Pair the elements of one gap, keeping their order: all of them where there are as many, else the most alike.

    So it goes on between those: what stands between two pairs is paired where it is as many on both sides.
    """
    if len(left_gap) == len(right_gap):
        changed += zip(left_gap, right_gap, strict=True)
        return
    pairs = most_alike(left_gap, right_gap, alike, _ALIKE_MIN)
    row_of = {i: row for row, i in enumerate(left_gap)}
    column_of = {j: column for column, j in enumerate(right_gap)}
    anchors = [(row_of[i], column_of[j]) for i, j in pairs]
    between: list[tuple[int, int]] = []
    for rows, columns in gaps(anchors, len(left_gap), len(right_gap), set(), set()):
        if len(rows) == len(columns):
            between += [(left_gap[row], right_gap[column]) for row, column in zip(rows, columns, strict=True)]
    settle_gap(left_gap, right_gap, pairs + between, changed, missing, extra)


def settle_gap(
    left_gap: list[int],
    right_gap: list[int],
    pairs: list[tuple[int, int]],
    changed: list[tuple[int, int]],
    missing: list[int],
    extra: list[int],
) -> None:
    """Add the pairs to `changed`, and what of the gap they leave alone to `missing` and `extra`."""
    changed += pairs
    paired_left, paired_right = {i for i, _ in pairs}, {j for _, j in pairs}
    missing += [i for i in left_gap if i not in paired_left]
    extra += [j for j in right_gap if j not in paired_right]


def most_alike(left_gap: list[int], right_gap: list[int], alike: Alike, alike_min: float) -> list[tuple[int, int]]:
    """Order-keeping pairs of the greatest total likeness; by position where the gap is too large for a table.

    Of pairs that are as much alike those count that stand least apart, counted from the beginning of the gap: a person
    reads lists from there, and what came is more often appended than put in front.
    """
    rows, columns = len(left_gap), len(right_gap)
    if not rows or not columns:
        return []
    if rows * columns > _PAIRING_CELLS_MAX:
        return [(i, j) for i, j in zip(left_gap, right_gap, strict=False) if alike(i, j) >= alike_min]
    likeness = [[alike(i, j) for j in right_gap] for i in left_gap]
    # The likeness of the best pairs from this row and column on, and how far they stand apart, negated.
    total = [[(0.0, 0)] * (columns + 1) for _ in range(rows + 1)]
    for row in range(rows - 1, -1, -1):
        for column in range(columns - 1, -1, -1):
            best = max(total[row + 1][column], total[row][column + 1])
            if likeness[row][column] >= alike_min:
                best = max(best, _together(total[row + 1][column + 1], likeness[row][column], row, column))
            total[row][column] = best
    pairs: list[tuple[int, int]] = []
    row = column = 0
    while row < rows and column < columns:
        score = likeness[row][column]
        if score >= alike_min and total[row][column] == _together(total[row + 1][column + 1], score, row, column):
            pairs.append((left_gap[row], right_gap[column]))
            row += 1
            column += 1
        elif total[row][column] == total[row + 1][column]:
            row += 1
        else:
            column += 1
    return pairs


def _together(rest: tuple[float, int], score: float, row: int, column: int) -> tuple[float, int]:
    return rest[0] + score, rest[1] - abs(row - column)
