"""Alignment of lists: one insertion is one, a removal is one, a lost order is one."""

from __future__ import annotations

import itertools
import random

from hypothesis import given
from hypothesis import strategies as st

from diff.lists import Alignment, _greedy, align, align_by_name, find_name_field, in_step, mirrored


def same_letter(left: str, right: str) -> Alignment:
    """Align two words whose letters are alike where they differ in case only."""
    return align(left, right, lambda i, j: 1.0 if left[i].lower() == right[j].lower() else 0.0, 10_000)


def test_equal_lists_need_nothing() -> None:
    assert same_letter("abc", "abc") == Alignment()


def test_an_insertion_anywhere_is_one_extra() -> None:
    assert same_letter("abcd", "xabcd") == Alignment(extra=(0,))
    assert same_letter("abcd", "abxcd") == Alignment(extra=(2,))
    assert same_letter("abcd", "abcdx") == Alignment(extra=(4,))


def test_a_removal_anywhere_is_one_missing() -> None:
    assert same_letter("xabcd", "abcd") == Alignment(missing=(0,))
    assert same_letter("abxcd", "abcd") == Alignment(missing=(2,))


def test_a_permutation_has_moved_and_nothing_else() -> None:
    assert same_letter("abcdef", "fedcba") == Alignment(moved=True)
    assert same_letter("abcdef", "fabcde") == Alignment(moved=True)
    assert same_letter("abab", "baba") == Alignment(moved=True)


def test_a_changed_element_is_a_pair() -> None:
    assert same_letter("abcde", "abXde") == Alignment(changed=((2, 2),))


def test_a_change_beside_an_insertion_keeps_its_partner() -> None:
    assert same_letter("abcd", "azBcd") == Alignment(changed=((1, 2),), extra=(1,))


def test_a_move_beside_a_change_is_both() -> None:
    assert same_letter("abcdefgh", "habcdeFg") == Alignment(changed=((5, 6),), moved=True)


def test_lists_of_one_length_are_compared_in_place_where_that_says_as_little() -> None:
    assert same_letter("abcd", "fbag") == Alignment(changed=((0, 0), (2, 2), (3, 3)))


def test_nothing_in_common_and_nothing_alike_is_missing_and_extra() -> None:
    assert same_letter("abc", "xy") == Alignment(missing=(0, 1, 2), extra=(0, 1))


def test_beyond_the_bound_lists_are_paired_by_position() -> None:
    left, right = "".join(random.Random(1).choices("ab", k=3000)), "".join(random.Random(2).choices("ab", k=3010))
    assert align(left, right, lambda _i, _j: 0.0, 10_000) == Alignment(
        missing=range(3000, 3000), extra=range(3000, 3010), by_position=True
    )
    assert list(Alignment(by_position=True).pairs(2, 3)) == [(0, 0), (1, 1)]


def test_few_differences_in_long_lists_of_few_distinct_elements_are_found() -> None:
    left = "ab" * 5000
    right = "b" + left[:4000] + left[4001:] + "a"
    alignment = align(left, right, lambda _i, _j: 0.0, 10_000)
    assert len(alignment.missing) + len(alignment.extra) + len(alignment.changed) <= 3
    assert not alignment.by_position


@given(st.text("ab", max_size=12), st.text("ab", max_size=12))
def test_no_longer_common_subsequence_exists(left: str, right: str) -> None:
    longest = [[0] * (len(right) + 1) for _ in range(len(left) + 1)]
    for i, j in itertools.product(range(len(left)), range(len(right))):
        same = longest[i][j] + 1 if left[i] == right[j] else 0
        longest[i + 1][j + 1] = max(same, longest[i][j + 1], longest[i + 1][j])
    found = _greedy(left, right, 10**6, 10**6)
    assert found is not None
    pairs = sorted(found[0])
    assert len(pairs) == longest[-1][-1]
    assert all(left[i] == right[j] for i, j in pairs)
    assert all(one[0] < two[0] and one[1] < two[1] for one, two in itertools.pairwise(pairs))


def test_a_thousand_unique_elements_need_no_table() -> None:
    left = [str(n) for n in range(1000)]
    assert align(left, ["x", *left], lambda _i, _j: 0.0, 10_000) == Alignment(extra=(0,))
    shuffled = random.Random(7).sample(left, 1000)
    assert align(left, shuffled, lambda _i, _j: 0.0, 10_000) == Alignment(moved=True)


WORDS = st.text("abcAB", max_size=9)


@given(WORDS, WORDS)
def test_every_element_is_accounted_for_once(left: str, right: str) -> None:
    alignment = same_letter(left, right)
    in_pairs = {i for i, _ in alignment.changed}, {j for _, j in alignment.changed}
    assert len(in_pairs[0]) == len(in_pairs[1]) == len(alignment.changed)
    assert not in_pairs[0] & set(alignment.missing)
    assert not in_pairs[1] & set(alignment.extra)
    kept_left = [left[i] for i in range(len(left)) if i not in in_pairs[0] and i not in alignment.missing]
    kept_right = [right[j] for j in range(len(right)) if j not in in_pairs[1] and j not in alignment.extra]
    assert sorted(kept_left) == sorted(kept_right)
    assert alignment.moved == (kept_left != kept_right)
    assert (alignment == Alignment()) == (left == right)


@given(WORDS, WORDS)
def test_mirroring_twice_changes_nothing(left: str, right: str) -> None:
    alignment = same_letter(left, right)
    assert mirrored(mirrored(alignment)) == alignment


def named(left: str, right: str, alike: float = 0.0) -> Alignment:
    return align_by_name(left, right, lambda _i, _j: alike)


def test_names_pair_elements_wherever_they_stand() -> None:
    assert named("abc", "xabc") == Alignment(changed=((0, 1), (1, 2), (2, 3)), extra=(0,))
    assert named("abc", "cab") == Alignment(changed=((0, 1), (1, 2), (2, 0)), moved=True)


def test_a_changed_name_pairs_with_what_stands_in_its_place_where_the_rest_is_alike() -> None:
    assert named("abc", "axc", alike=1.0) == Alignment(changed=((0, 0), (1, 1), (2, 2)))
    assert named("abc", "axc", alike=0.2) == Alignment(changed=((0, 0), (2, 2)), missing=(1,), extra=(1,))


def rows(*names: object, field: str = "id") -> list[dict[str, object]]:
    return [{field: name, "shared": 1} for name in names]


def test_a_field_that_is_unique_and_found_again_names_the_elements() -> None:
    assert find_name_field(rows(1, 2, 3), rows(0, 1, 2, 3)) == "id"
    assert find_name_field(rows("a", "b", field="label"), rows("b", "a", field="label")) == "label"


def test_an_identifier_is_preferred_to_other_unique_fields() -> None:
    both = [{"aaa": "x", "id": 1, "rank": 1}, {"aaa": "y", "id": 2, "rank": 2}]
    assert find_name_field(both, both) == "id"
    by_text = [{"rank": 1, "title": "x"}, {"rank": 2, "title": "y"}]
    assert find_name_field(by_text, by_text) == "title"


def test_what_repeats_changes_everywhere_or_is_not_in_every_element_names_nothing() -> None:
    assert find_name_field(rows(1, 1), rows(1, 2)) is None
    assert find_name_field(rows("u1", "u2", "u3"), rows("u4", "u5", "u6")) is None
    assert find_name_field([{"id": 1}, {"x": 2}], [{"id": 1}, {"id": 2}]) is None
    assert find_name_field([{"id": None}, {"id": 1.5}], [{"id": None}, {"id": 1.5}]) is None
    assert find_name_field([{"id": 1}, 2], [{"id": 1}, 2]) is None
    assert find_name_field([], rows(1)) is None
    assert find_name_field([1, 2], [1, 2]) is None


def test_lists_in_step_are_paired_by_place_and_the_rest_is_missing_or_extra() -> None:
    assert in_step(2, 2) == Alignment(((0, 0), (1, 1)))
    assert in_step(3, 1) == mirrored(in_step(1, 3)) == Alignment(((0, 0),), (1, 2))


def test_a_field_that_is_no_identifier_names_nothing_where_one_value_alone_is_found_again() -> None:
    stars = ([{"by": "x", "stars": 5}, {"by": "y", "stars": 3}], [{"by": "p", "stars": 7}, {"by": "q", "stars": 3}])
    assert find_name_field(*stars) is None
    titles = ([{"title": "a"}, {"title": "b"}, {"title": "c"}], [{"title": "b"}, {"title": "d"}, {"title": "a"}])
    assert find_name_field(*titles) == "title"
    assert find_name_field([{"id": 1}, {"id": 2}], [{"id": 2}, {"id": 3}]) == "id"
