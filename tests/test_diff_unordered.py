"""Alignment of lists whose order means nothing."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from diff.lists import Alignment
from diff.unordered import align_unordered


def aligned(left: str, right: str, *, named: bool = False) -> Alignment:
    """Align two words whose letters are alike where they differ in case only."""
    return align_unordered(left, right, lambda i, j: 1.0 if left[i].lower() == right[j].lower() else 0.0, named=named)


def test_another_order_is_nothing() -> None:
    assert aligned("abcab", "bbaca") == Alignment((), [], [])


def test_a_lost_and_a_new_element_are_named_where_they_stand() -> None:
    assert aligned("abc", "ca") == Alignment((), [1], [])
    assert aligned("abb", "bax") == Alignment((), [2], [2])


def test_what_is_left_is_paired_with_what_it_is_most_alike() -> None:
    assert aligned("abcd", "dxBa") == Alignment(((1, 2),), [2], [1])


def test_elements_of_one_name_may_differ_for_the_rest() -> None:
    assert aligned("abc", "cA", named=True) == Alignment(((0, 1), (2, 0)), [1], [])


def test_many_that_are_left_are_paired_in_their_order_where_they_are_alike() -> None:
    left, right = "".join(map(chr, range(97, 123))), "".join(map(chr, range(65, 91)))
    assert aligned(left, right) == Alignment(tuple((index, index) for index in range(26)), [], [])
    assert aligned(left, right[::-1]) == Alignment((), list(range(26)), list(range(26)))


@given(st.text("abcAB", max_size=8), st.text("abcAB", max_size=8))
def test_every_element_is_accounted_for_once(left: str, right: str) -> None:
    alignment = aligned(left, right)
    assert not alignment.moved
    pairs = list(alignment.changed)
    equal_left = [left[i] for i in range(len(left)) if i not in alignment.missing and i not in {i for i, _ in pairs}]
    equal_right = [right[j] for j in range(len(right)) if j not in alignment.extra and j not in {j for _, j in pairs}]
    assert sorted(equal_left) == sorted(equal_right)
