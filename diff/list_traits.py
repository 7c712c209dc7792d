"""What was seen of the lists at one path: which fields could name their elements, and whether their order is chance.

Counts alone, which add up in any order but for the last digits of a probability.
"""

from __future__ import annotations

import math
from bisect import bisect_right, insort
from collections import Counter
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from diff.lists import find_name_field, rank_of_name

__all__ = ["ListTraits"]

_FIELDS_MAX: Final = 32
_LISTS_MIN: Final = 3
_KEPT_MIN: Final = 0.5
_DISORDERS_MIN: Final = 5
_DISORDER_MIN: Final = 0.25

_ENCODE_SORTED: Final = msgspec.json.Encoder(order="sorted").encode


class ListTraits:
    """What was seen of the lists at one path.

    lists: of two objects or more. fields: each that can name the elements of all of them, with its one type.
    kept, names: how many names of a field two builds, or the build and the record, have in common, and of how many.
    same, other: pairs of lists of the same elements, two of them different at least, in the same and in another order.
    by_chance: how many of the pairs an order without meaning would have left the same.
    turned, couples: pairs of elements of such lists that stand the other way round, and all pairs of elements.
    """

    __slots__ = ("by_chance", "couples", "fields", "kept", "lists", "names", "other", "same", "turned")

    def __init__(self) -> None:
        self.lists = self.same = self.other = self.turned = self.couples = 0
        self.by_chance = 0.0
        self.fields: dict[str, type] | None = None
        self.kept: Counter[str] = Counter()
        self.names: Counter[str] = Counter()

    def merge(self, other: ListTraits) -> None:
        self.lists += other.lists
        self.same += other.same
        self.other += other.other
        self.turned += other.turned
        self.couples += other.couples
        self.by_chance += other.by_chance
        if other.fields is not None:
            self._narrow(other.fields)
        self.kept.update(other.kept)
        self.names.update(other.names)

    def _narrow(self, fields: Mapping[str, type]) -> None:
        if self.fields is None:
            self.fields = dict(fields)
        else:
            self.fields = {field: kind for field, kind in self.fields.items() if fields.get(field) is kind}

    def add_list(self, elements: list[Any]) -> None:
        """Take in one list, for the fields that could name its elements."""
        if len(elements) < 2:
            return
        self.lists += 1
        self._narrow(_naming_fields(elements, self.fields))

    def add_pair(self, left: list[Any], right: list[Any]) -> None:
        """Take in the same list of two answers, for what they have in common."""
        for field in self.fields or ():
            names = _names(left, field), _names(right, field)
            self.kept[field] += len(names[0] & names[1])
            self.names[field] += max(len(names[0]), len(names[1]))

    def add_order(self, left: list[Any], right: list[Any]) -> None:
        """Take in the same list of two answers of one build, for the order of its elements."""
        keys = _comparable(left, right)
        if keys is None:
            return
        counts = Counter(keys[0])
        if len(counts) < 2:
            return
        self.by_chance += _chance_of_same(list(counts.values()))
        self.couples += math.comb(len(keys[0]), 2)
        if keys[0] == keys[1]:
            self.same += 1
        else:
            self.other += 1
            self.turned += _turned(*keys)

    def key(self) -> str | None:
        """The field that names the elements, or None."""
        if self.lists < _LISTS_MIN or not self.fields:
            return None
        best: tuple[float, bool, float, str] | None = None
        for field, kind in self.fields.items():
            kept = self.kept[field] / self.names[field] if self.names[field] else 0.0
            rank = rank_of_name(field)
            if kept < _KEPT_MIN or (not rank and kind is not str):
                continue  # Made anew in each answer, or a number that may be a place in the list.
            preference = (-round(kept, 1), kind is not str, -rank, field)
            if best is None or preference < best:
                best = preference
        return None if best is None else best[3]

    def is_unordered(self) -> bool:
        """Whether the order was all chance: hardly ever the same, and with the elements turned as often as not.

        An order with ties, of some answers only, or disturbed now and then, is still one that a candidate can lose.
        """
        pairs = self.same + self.other
        if self.other < _DISORDERS_MIN or self.turned < _DISORDER_MIN * self.couples:
            return False
        spread = math.sqrt(self.by_chance * max(0.0, 1 - self.by_chance / pairs))
        return self.same <= self.by_chance + 3 * spread + 1


def _naming_fields(elements: list[Any], among: Mapping[str, type] | None) -> dict[str, type]:
    """The fields that are in each element, a string or an integer, of one type, and of another value in each."""
    first = elements[0]
    if first.__class__ is not dict:
        return {}
    found: dict[str, type] = {}
    for field in list(first if among is None else among)[:_FIELDS_MAX]:
        kind = first.get(field).__class__
        if kind is not str and kind is not int:
            continue
        values = {one[field] for one in elements if one.__class__ is dict and one.get(field).__class__ is kind}
        if len(values) == len(elements):
            found[field] = kind
    return found


def _names(elements: list[Any], field: str) -> set[Any]:
    """The values of the field that are text or integers."""
    return {one[field] for one in elements if one.__class__ is dict and one.get(field).__class__ in (str, int)}


def _comparable(left: list[Any], right: list[Any]) -> tuple[list[Any], list[Any]] | None:
    """Keys of the elements of both lists, where both have the same ones, by name or else by value; else None."""
    if len(left) != len(right) or len(left) < 2:
        return None
    field = find_name_field(left, right)
    if field is not None:
        mine, others = [one[field] for one in left], [one[field] for one in right]
        if set(mine) == set(others):
            return mine, others
    texts = [_ENCODE_SORTED(one) for one in left], [_ENCODE_SORTED(one) for one in right]
    return texts if Counter(texts[0]) == Counter(texts[1]) else None


def _chance_of_same(counts: list[int]) -> float:
    """The chance that elements, each so often, come in one certain order where every order is as likely."""
    logarithm = sum(math.lgamma(count + 1) for count in counts) - math.lgamma(sum(counts) + 1)
    return math.exp(logarithm)


def _turned(left: list[Any], right: list[Any]) -> int:
    """How many pairs of elements stand the other way round on the right (Kendall's distance); equal ones never do."""
    waiting: dict[Any, list[int]] = {}
    for place in range(len(right) - 1, -1, -1):
        waiting.setdefault(right[place], []).append(place)
    before: list[int] = []
    turned = 0
    for key in left:
        place = waiting[key].pop()
        turned += len(before) - bisect_right(before, place)
        insort(before, place)
    return turned
