from __future__ import annotations

from diff.standing import Standing

PLACE = "$['orders'][*]['number']"


def told(standing: Standing, *marks: int | None, request: int = 1) -> list[bool]:
    """Whether each answer shows what was told before; a mark stands for the values that differ, None for none."""
    return [bool(standing.observe(request, {} if mark is None else {PLACE: mark})) for mark in marks]


def test_what_came_after_an_equal_answer_and_stays_is_told_once() -> None:
    assert told(Standing(), None, 7, 7, 7) == [False, False, True, True]


def test_what_differs_from_the_first_answer_on_counts_each_time() -> None:
    assert told(Standing(), 7, 7, 7) == [False, False, False]


def test_what_comes_and_goes_counts_each_time_it_comes() -> None:
    assert told(Standing(), None, 7, None, 7, None, 7) == [False] * 6


def test_other_values_are_another_difference() -> None:
    assert told(Standing(), None, 7, 8, 8) == [False, False, False, True]


def test_requests_are_kept_apart_and_only_the_place_that_stands_is_told() -> None:
    standing = Standing()
    assert told(standing, None, 7) == [False, False]
    assert told(standing, 7, 7, request=2) == [False, False]
    assert standing.observe(1, {PLACE: 7, "$['total']": 9}) == {PLACE}
