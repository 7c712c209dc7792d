"""Align two lists so that an insertion is one difference, a removal is one, and a lost order is one.

Works on keys alone: hashable values that are equal exactly where the elements are. Who calls makes the keys and says
how alike two elements are. Where several alignments are equally good the result depends on which list is called left.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Sequence
from typing import Any, Final

import msgspec

from diff.gap import Alike, gaps, most_alike, pair_gap, settle_gap

__all__ = [
    "Alignment",
    "align",
    "align_by_name",
    "by_position",
    "find_name_field",
    "in_step",
    "mirrored",
    "rank_of_name",
]

_STEPS_PER_ELEMENT: Final = 10
_ALIKE_RENAMED_MIN: Final = 0.5
_COMMON_BY_CHANCE: Final = 2
"""A field that is not called like an identifier names nothing where lists have but one of its values in common."""


class Alignment(msgspec.Struct, frozen=True, gc=False):
    """Which element of the left list corresponds to which of the right.

    changed: pairs (left index, right index) that correspond but are, or may be, not equal, in the order of the left.
    missing: left indexes without a counterpart. extra: right indexes without one. moved: elements that both lists have
    are not in the same order. by_position: the lists were too much work to align; `changed` is empty, every element
    corresponds to the one at its index, and beyond the shorter list elements are missing or extra.
    """

    changed: tuple[tuple[int, int], ...] = ()
    missing: Sequence[int] = ()
    extra: Sequence[int] = ()
    moved: bool = False
    by_position: bool = False

    def pairs(self, left_len: int, right_len: int) -> Iterable[tuple[int, int]]:
        """`changed`, or of two lists that were not aligned every pair of elements of one index."""
        if not self.by_position:
            return self.changed
        indexes = range(min(left_len, right_len))
        return zip(indexes, indexes, strict=True)


def align(left: Sequence[Hashable], right: Sequence[Hashable], alike: Alike, work_max: int) -> Alignment:
    """Align by equal keys: a longest common subsequence, then elements that moved, then pairs within the gaps.

    work_max: how many partial alignments may be tried, beside some steps for each element; where more would be needed,
    which takes long lists of few distinct elements with hundreds of differences, the lists are paired by position.
    """
    anchors = _common(left, right, work_max)
    if anchors is None:
        return by_position(len(left), len(right))
    moved_left, moved_right = _moved(left, right, anchors)
    changed: list[tuple[int, int]] = []
    missing: list[int] = []
    extra: list[int] = []
    for left_gap, right_gap in gaps(anchors, len(left), len(right), moved_left, moved_right):
        pair_gap(left_gap, right_gap, alike, changed, missing, extra)
    changed.sort()
    in_place = _in_place(left, right)
    if in_place is not None and len(in_place) <= len(changed) + len(missing) + len(extra) + bool(moved_left):
        return Alignment(in_place)
    return Alignment(tuple(changed), tuple(missing), tuple(extra), bool(moved_left))


def _in_place(left: Sequence[Hashable], right: Sequence[Hashable]) -> tuple[tuple[int, int], ...] | None:
    """The pairs that differ where two lists of one length are compared by position, the plainest account of all."""
    if len(left) != len(right):
        return None
    return tuple((i, i) for i, (mine, other) in enumerate(zip(left, right, strict=True)) if mine != other)


def align_by_name(left: Sequence[Hashable], right: Sequence[Hashable], alike: Alike) -> Alignment:
    """Align elements that each have a name of their own: same name, same element, wherever it stands.

    Elements whose name is on one side only are paired where they stand in the same place and are alike in all but the
    name, which is what `alike` must tell here: then the name itself has changed.
    """
    places = {name: index for index, name in enumerate(right)}
    matched = [(index, places[name]) for index, name in enumerate(left) if name in places]
    anchors = _increasing(matched)
    moved_left = {index for index, _ in matched}
    moved_right = {index for _, index in matched}
    changed = list(matched)
    missing: list[int] = []
    extra: list[int] = []
    for left_gap, right_gap in gaps(anchors, len(left), len(right), moved_left, moved_right):
        pairs = most_alike(left_gap, right_gap, alike, _ALIKE_RENAMED_MIN)
        settle_gap(left_gap, right_gap, pairs, changed, missing, extra)
    changed.sort()
    return Alignment(tuple(changed), tuple(missing), tuple(extra), len(anchors) != len(matched))


def in_step(left_len: int, right_len: int) -> Alignment:
    """The alignment of two lists whose elements have the same names in the same order, as far as the shorter goes."""
    shorter = min(left_len, right_len)
    pairs = tuple((index, index) for index in range(shorter))
    return Alignment(pairs, tuple(range(shorter, left_len)), tuple(range(shorter, right_len)))


def mirrored(alignment: Alignment) -> Alignment:
    """The same alignment with left and right exchanged."""
    changed = tuple(sorted((right, left) for left, right in alignment.changed))
    return Alignment(changed, alignment.extra, alignment.missing, alignment.moved, alignment.by_position)


_NAMES: Final = ("id", "_id", "uuid", "guid", "key", "uid", "name", "slug", "code", "sku", "ref", "number", "email")


def find_name_field(left: Sequence[Any], right: Sequence[Any]) -> str | None:
    """The field that names the elements of two lists of objects, or None.

    It is a field of every element, a string or an integer, of another value in each element of a list, and at least
    half of the shorter list's values are found in the other. Fields called like an identifier are preferred; of
    any other two values must be found again, as two reviews of three stars are not one review.
    """
    first = left[0] if left else None
    if first.__class__ is not dict or right[0].__class__ is not dict:
        return None
    if len(left) < 2 and len(right) < 2:
        return None
    best: tuple[tuple[float, int, bool], str] | None = None
    fields = [(-rank_of_name(key), key) for key in first if key.__class__ is str]
    for rank, field in sorted(fields):
        if best is not None and -rank < best[0][0]:
            break  # A field called like an identifier was found, and what follows is less of one.
        left_names = _distinct(left, field)
        right_names = None if left_names is None else _distinct(right, field)
        if left_names is None or right_names is None:
            continue
        common = len(left_names & right_names)
        if common * 2 < min(len(left), len(right)) or (rank == 0 and common < _COMMON_BY_CHANCE):
            continue
        preference = _preference(field, common, first[field])
        if best is None or preference > best[0]:
            best = preference, field
    return None if best is None else best[1]


def rank_of_name(field: str) -> float:
    """How much a field is called like an identifier: 0 not at all, 1 somewhat, up to 3 for `id`."""
    lowered = field.lower()
    if lowered in _NAMES:
        return 3 - _NAMES.index(lowered) / len(_NAMES)
    return 1 if lowered.endswith(("_id", "-id", "uuid")) or field.endswith(("Id", "ID")) else 0


def _preference(field: str, common: int, value: Any) -> tuple[float, int, bool]:
    # An identifier beats any other field, then what finds most elements again; text beats numbers, which may be ranks.
    return rank_of_name(field), common, isinstance(value, str)


def _distinct(elements: Sequence[Any], field: str) -> set[tuple[type, Any]] | None:
    """The values of the field with their types; None where it cannot name the elements."""
    names: set[tuple[type, Any]] = set()
    for element in elements:
        if element.__class__ is not dict:
            return None
        name = element.get(field)
        kind = name.__class__
        if kind is not str and kind is not int:
            return None
        names.add((kind, name))
    return names if len(names) == len(elements) else None


def _common(left: Sequence[Hashable], right: Sequence[Hashable], work: int) -> list[tuple[int, int]] | None:
    """A common subsequence as increasing index pairs; None where `work` does not suffice.

    Patience: elements that are unique on both sides, in their longest increasing order, split the lists into blocks,
    and so on within these; a block without such elements goes through the greedy algorithm.
    """
    steps = _STEPS_PER_ELEMENT * (len(left) + len(right)) + work
    anchors: list[tuple[int, int]] = []
    blocks = [(0, len(left), 0, len(right))]
    while blocks:
        left_from, left_to, right_from, right_to = blocks.pop()
        while left_from < left_to and right_from < right_to and left[left_from] == right[right_from]:
            anchors.append((left_from, right_from))
            left_from += 1
            right_from += 1
        while left_from < left_to and right_from < right_to and left[left_to - 1] == right[right_to - 1]:
            left_to -= 1
            right_to -= 1
            anchors.append((left_to, right_to))
        if left_from == left_to or right_from == right_to:
            continue
        steps -= left_to - left_from + right_to - right_from
        if steps < 0:
            return None
        unique = _increasing(_unique_pairs(left, right, left_from, left_to, right_from, right_to))
        if unique:
            for at_left, at_right in unique:
                blocks.append((left_from, at_left, right_from, at_right))
                anchors.append((at_left, at_right))
                left_from, right_from = at_left + 1, at_right + 1
            blocks.append((left_from, left_to, right_from, right_to))
        elif not set(left[left_from:left_to]).isdisjoint(right[right_from:right_to]):
            found = _greedy(left[left_from:left_to], right[right_from:right_to], work, steps)
            if found is None:
                return None
            pairs, work, steps = found
            anchors += [(left_from + i, right_from + j) for i, j in pairs]
    anchors.sort()
    return anchors


def _unique_pairs(
    left: Sequence[Hashable], right: Sequence[Hashable], left_from: int, left_to: int, right_from: int, right_to: int
) -> list[tuple[int, int]]:
    left_counts = Counter(left[left_from:left_to])
    right_counts = Counter(right[right_from:right_to])
    places = {right[i]: i for i in range(right_from, right_to) if right_counts[right[i]] == 1}
    return [(i, places[left[i]]) for i in range(left_from, left_to) if left_counts[left[i]] == 1 and left[i] in places]


def _increasing(pairs: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """A longest subsequence of pairs, already increasing on the left, that increases on the right as well."""
    tails: list[int] = []
    tail_pairs: list[int] = []
    before: list[int] = []
    for at, (_, place) in enumerate(pairs):
        slot = bisect_left(tails, place)
        before.append(tail_pairs[slot - 1] if slot else -1)
        if slot == len(tails):
            tails.append(place)
            tail_pairs.append(at)
        else:
            tails[slot] = place
            tail_pairs[slot] = at
    chain: list[tuple[int, int]] = []
    at = tail_pairs[-1] if tail_pairs else -1
    while at >= 0:
        chain.append(pairs[at])
        at = before[at]
    chain.reverse()
    return chain


def _greedy(
    left: Sequence[Hashable], right: Sequence[Hashable], work: int, steps: int
) -> tuple[list[tuple[int, int]], int, int] | None:
    """A longest common subsequence by the greedy algorithm of Myers (1986), and what is left of `work` and `steps`.

    None where either is used up: one partial alignment tried is work, one equal element passed is a step. It tries one
    difference more at a time, so few differences in long lists are found fast.
    """
    furthest = {1: 0}
    rounds: list[dict[int, int]] = []
    for differences in range(len(left) + len(right) + 1):
        reached: dict[int, int] = {}
        for diagonal in range(-differences, differences + 1, 2):
            down, across = furthest.get(diagonal + 1, -2), furthest.get(diagonal - 1, -2) + 1
            start = at = max(down, across)
            if at < 0:
                continue  # Both ways to this diagonal lie outside the lists.
            while at < len(left) and 0 <= at - diagonal < len(right) and left[at] == right[at - diagonal]:
                at += 1
            work -= 1
            steps -= at - start
            if work < 0 or steps < 0:
                return None
            if at > len(left) or at - diagonal > len(right):
                continue
            reached[diagonal] = at
            if at == len(left) and at - diagonal == len(right):
                return _traced(rounds, diagonal, at), work, steps
        rounds.append(furthest := reached)
    raise AssertionError("two lists differ in at most all their elements")


def _traced(rounds: list[dict[int, int]], diagonal: int, at: int) -> list[tuple[int, int]]:
    """The pairs on the way that the greedy algorithm took to its end, last to first."""
    pairs: list[tuple[int, int]] = []
    for before in reversed(rounds):
        down, across = before.get(diagonal + 1, -2), before.get(diagonal - 1, -2) + 1
        start = max(down, across)
        pairs += [(x, x - diagonal) for x in range(at - 1, start - 1, -1)]
        if down >= across:
            diagonal, at = diagonal + 1, down
        else:
            diagonal, at = diagonal - 1, across - 1
    pairs += [(x, x - diagonal) for x in range(at - 1, -1, -1)]
    return pairs


def _moved(
    left: Sequence[Hashable], right: Sequence[Hashable], anchors: list[tuple[int, int]]
) -> tuple[set[int], set[int]]:
    """Indexes of elements outside the common subsequence that both lists have all the same, elsewhere."""
    on_left = {index for index, _ in anchors}
    on_right = {index for _, index in anchors}
    waiting: defaultdict[Hashable, list[int]] = defaultdict(list)
    for index in range(len(right) - 1, -1, -1):
        if index not in on_right:
            waiting[right[index]].append(index)
    moved_left: set[int] = set()
    moved_right: set[int] = set()
    for index, key in enumerate(left):
        if index not in on_left and waiting.get(key):
            moved_left.add(index)
            moved_right.add(waiting[key].pop())
    return moved_left, moved_right


def by_position(left_len: int, right_len: int) -> Alignment:
    """What is said of two lists of these lengths that are not aligned."""
    shorter = min(left_len, right_len)
    return Alignment((), range(shorter, left_len), range(shorter, right_len), by_position=True)
