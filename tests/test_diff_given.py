from __future__ import annotations

import pytest

from diff.given import Given, is_given


@pytest.mark.parametrize("value", [7, 1.5, "VGhpbmc6OTk=", "node-7", "1042", "3f2b8c1e-7a60-4d6e-a9be-000000000001"])
def test_numbers_and_names_with_a_digit_may_be_given_out(value: object) -> None:
    assert is_given(value)


@pytest.mark.parametrize("value", [True, None, "", "pending", "EUR", "room 7", "x" * 300, [1], {"a": 1}])
def test_words_and_everything_else_are_not_given_out(value: object) -> None:
    assert not is_given(value)


def given(pairs: list[tuple[object, object]], which: int = 0) -> Given:
    found = Given()
    for agreed, odd in pairs:
        found.add(which, agreed, odd)
    return found


def test_one_value_counts_once_however_often_it_is_shown() -> None:
    assert given([("k1", "k9")] * 20).values() == (1, 0, 0)
    assert given([("k1", "k9")] * 20, which=1).values() == (0, 1, 0)


def test_two_names_that_changed_places_are_one_event_and_so_is_a_chain() -> None:
    assert given([("k1", "k2"), ("k2", "k1")]).events(in_turn=False) == (1, 0, 0)
    assert given([("k3", "k2"), ("k4", "k3"), ("k5", "k4"), ("k2", "k5")]).events(in_turn=False) == (1, 0, 0)
    assert given([("k4", "k3"), ("k3", "k2"), ("k8", "k9")]).events(in_turn=False) == (2, 0, 0)


def test_names_that_all_became_one_are_as_many_events_as_names() -> None:
    assert given([(f"k{number}", "k0") for number in range(9)]).events(in_turn=False) == (9, 0, 0)


def test_numbers_are_taken_for_names_only_where_they_are_known_to_be() -> None:
    swapped = given([(7, 8), (8, 7)])
    assert swapped.events(in_turn=False) == (2, 0, 0)
    assert swapped.events(in_turn=True) == (1, 0, 0)


def counter(distance: int) -> Given:
    found = Given()
    for number in range(100, 140, 2):
        found.follow(str(number))
        found.add(0, str(number), str(number + distance))
    return found


def test_a_counter_that_lags_by_the_same_distance_is_one_event() -> None:
    assert counter(-1).is_counter
    assert counter(-1).events(in_turn=False) == (1, 0, 0)
    assert counter(-1).values() == (20, 0, 0)


def test_a_number_that_goes_up_and_down_is_no_counter() -> None:
    found = Given()
    for number in range(60):
        found.follow(number * 37 % 101)
        found.add(0, number * 37 % 101, number * 37 % 101 + 1)
    assert not found.is_counter
    assert found.events(in_turn=False) == (60, 0, 0)


def test_once_one_side_is_full_nothing_is_added_to_the_others_so_that_the_proportion_stays() -> None:
    found = given([(number, -1) for number in range(2000)])
    found.add(1, 1, 2)
    assert found.values() == (512, 0, 0)


def test_what_other_sessions_showed_is_added_once() -> None:
    found = given([("k1", "k2")])
    found.merge(given([("k1", "k2"), ("k5", "k6")]))
    assert found.values() == (2, 0, 0)
    assert found.renamed.keys() & given([("k5", "k6")]).renamed.keys()
