"""What the lists at one path have in common, counted."""

from __future__ import annotations

import itertools
import random

import pytest

from diff.list_traits import ListTraits, _chance_of_same, _turned


def of_pairs(pairs: list[tuple[list[object], list[object]]]) -> ListTraits:
    traits = ListTraits()
    for left, right in pairs:
        traits.add_list(left)
        traits.add_list(right)
        traits.add_pair(left, right)
        traits.add_order(left, right)
    return traits


def test_elements_that_stand_the_other_way_round_are_counted_as_by_trying_all() -> None:
    chance = random.Random(1)
    for _ in range(200):
        left = [chance.randrange(4) for _ in range(chance.randrange(2, 9))]
        right = chance.sample(left, len(left))
        places: dict[int, list[int]] = {}
        for place, key in enumerate(right):
            places.setdefault(key, []).append(place)
        found = [places[key].pop(0) for key in left]
        assert _turned(left, right) == sum(1 for one, other in itertools.combinations(found, 2) if one > other)


def test_the_chance_of_one_certain_order_counts_equal_elements_once() -> None:
    assert _chance_of_same([1, 1, 1]) == pytest.approx(1 / 6)
    assert _chance_of_same([2, 1]) == pytest.approx(1 / 3)


def test_a_name_that_is_called_like_an_identifier_is_preferred_unless_another_is_found_again_more_often() -> None:
    rows: list[object] = [{"alias": f"a{n}", "sku": f"s{n}"} for n in range(4)]
    other: list[object] = [{"alias": f"a{n}", "sku": f"s{n // 2 * 10 + n % 2}"} for n in range(4)]
    assert of_pairs([(rows, rows)] * 5).key() == "sku"
    assert of_pairs([(rows, other)] * 5).key() == "alias"


def test_few_lists_say_nothing() -> None:
    rows: list[object] = [{"id": n} for n in range(4)]
    assert of_pairs([(rows, rows)]).key() is None
    assert not of_pairs([(rows, rows[::-1])] * 4).is_unordered()
    assert of_pairs([(rows, rows[::-1])] * 5).is_unordered()


def test_traits_of_two_samples_add_up_to_those_of_both() -> None:
    chance = random.Random(2)
    rows: list[object] = [{"id": n, "note": f"n{n}"} for n in range(4)]
    odd: list[object] = [{"id": n, "note": "same"} for n in range(4)]
    pairs = [(rows, chance.sample(rows, 4)) for _ in range(8)] + [(odd, chance.sample(odd, 4)) for _ in range(8)]
    whole, first, second = of_pairs(pairs), of_pairs(pairs[:8]), of_pairs(pairs[8:])
    first.merge(second)
    assert (first.key(), first.is_unordered(), first.fields) == (whole.key(), whole.is_unordered(), whole.fields)
    assert (first.lists, first.same, first.other, first.turned, first.couples) == (
        whole.lists, whole.same, whole.other, whole.turned, whole.couples,
    )  # fmt: skip
    assert first.by_chance == pytest.approx(whole.by_chance)
