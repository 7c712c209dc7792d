"""What stands between two aligned elements is paired by likeness, plainly, and each element has one fate."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from diff.gap import gaps, most_alike, pair_gap


def paired(left: str, right: str) -> tuple[list[tuple[int, int]], list[int], list[int]]:
    """The whole of two words as one gap; letters are alike where they differ in case only."""
    changed: list[tuple[int, int]] = []
    missing: list[int] = []
    extra: list[int] = []
    indexes = list(range(len(left))), list(range(len(right)))
    pair_gap(*indexes, lambda i, j: float(left[i].lower() == right[j].lower()), changed, missing, extra)
    return sorted(changed), missing, extra


def test_as_many_on_both_sides_are_paired_by_place() -> None:
    assert paired("abc", "xyz") == ([(0, 0), (1, 1), (2, 2)], [], [])


def test_of_pairs_that_are_as_alike_those_count_that_stand_least_apart() -> None:
    assert paired("xB", "bbb") == ([(0, 0), (1, 1)], [], [2])
    assert paired("bbb", "xB") == ([(0, 0), (1, 1)], [2], [])
    assert paired("xyA", "aaaa") == ([(0, 0), (1, 1), (2, 2)], [], [3])


def test_what_stands_between_two_pairs_is_paired_where_it_is_as_many() -> None:
    assert paired("AxBC", "ayb") == ([(0, 0), (1, 1), (2, 2)], [3], [])


def test_nothing_alike_is_missing_and_extra() -> None:
    assert paired("abc", "xy") == ([], [0, 1, 2], [0, 1])


def test_a_gap_too_large_for_a_table_is_paired_by_place() -> None:
    assert most_alike(list(range(30)), list(range(31)), lambda _i, _j: 1.0, 0.5) == [(i, i) for i in range(30)]
    assert most_alike(list(range(30)), list(range(31)), lambda _i, _j: 0.1, 0.5) == []


def test_gaps_leave_out_what_is_accounted_for() -> None:
    assert gaps([(1, 2)], 4, 3, {2}, {0}) == [([0], [1]), ([3], [])]
    assert gaps([], 0, 0, set(), set()) == []


@given(st.text("abcAB", max_size=9), st.text("abcAB", max_size=9))
def test_every_element_has_one_fate_and_pairs_keep_their_order(left: str, right: str) -> None:
    changed, missing, extra = paired(left, right)
    assert sorted([i for i, _ in changed] + missing) == list(range(len(left)))
    assert sorted([j for _, j in changed] + extra) == list(range(len(right)))
    assert [j for _, j in changed] == sorted(j for _, j in changed)
