from __future__ import annotations

import math
from itertools import permutations

from hypothesis import given
from hypothesis import strategies as st

from diff.orders import Orders, reordered


def test_an_element_changed_places_where_it_passed_another_one() -> None:
    assert reordered("abc", "abc") == []
    assert reordered("abc", "acb") == ["b", "c"]
    assert reordered("abcd", "dabc") == ["a", "b", "c", "d"]
    assert reordered("abxcd", "bacyd") == ["a", "b"]


@given(st.permutations("abcdef"))
def test_what_changed_places_is_in_some_pair_that_stands_the_other_way_round(other: list[str]) -> None:
    inverted = {
        one for a, b in permutations("abcdef", 2) if a < b and other.index(a) > other.index(b) for one in (a, b)
    }
    assert reordered("abcdef", other) == sorted(inverted)


def test_no_list_is_no_evidence() -> None:
    assert Orders().chance == 1.0


def test_many_lists_of_different_elements_agree_by_chance_hardly_ever() -> None:
    orders = Orders()
    for number in range(10):
        current = [f"{number}{letter}" for letter in "abc"]
        orders.add(current, current[::-1])
    assert orders.chance < 6.0**-9


def test_two_names_that_stand_in_every_list_are_one_throw_of_a_coin() -> None:
    orders = Orders()
    for number in range(100):
        orders.add([f"user-{number}", "everyone", "members"], [f"user-{number}", "members", "everyone"])
    assert math.isclose(orders.chance, 0.5)


def test_names_that_stand_either_way_in_the_current_build_have_no_order_of_the_process() -> None:
    orders = Orders()
    for number in range(10):
        pair = ["red", "new"] if number % 2 else ["new", "red"]
        orders.add([*pair, f"last-{number}"], [*pair[::-1], f"last-{number}"])
    assert orders.chance < 6.0**-9


def test_shares_add_up_to_the_same_as_one_run() -> None:
    lists = [[f"{number % 4}{letter}" for letter in "abcd"] for number in range(8)]
    whole, first, second = Orders(), Orders(), Orders()
    for number, one in enumerate(lists):
        whole.add(one, one[::-1])
        (first, second)[number % 2].add(one, one[::-1])
    first.merge(second)
    assert math.isclose(first.chance, whole.chance)
