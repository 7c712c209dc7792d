from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from diff.difference import Difference
from diff.examples import Examples
from diff.odd import Change, GroupKey, Seen, seen_of

KEY = GroupKey("GET /", "$['a']")
NOW_NS = 1_790_000_000 * 10**9


def changed(left: object, right: object) -> Seen:
    return seen_of(Difference("body", ("a",), "value", left, right), NOW_NS)


def test_a_rare_change_has_examples_beside_any_number_of_others() -> None:
    examples = Examples(2)
    for number in range(100):
        examples.keep(KEY, f"noise-{number}", [changed(number, number + 1)], apart=False)
    examples.keep(KEY, "rare", [changed(1, "x")], apart=True)
    assert [one.exchange for one in examples.chosen(KEY, [changed(2, "y").change])] == ["rare"]


def test_of_one_change_the_pairs_in_which_the_candidate_stood_apart_come_first() -> None:
    examples = Examples(2)
    for number in range(4):
        examples.keep(KEY, f"noise-{number}", [changed(1, 2)], apart=False)
        examples.keep(KEY, f"own-{number}", [changed(1, 2)], apart=True)
    chosen = [one.exchange for one in examples.chosen(KEY, [changed(1, 2).change])]
    assert chosen == ["own-0", "own-1", "noise-0", "noise-1"]
    assert [one.exchange for one in examples.chosen(KEY, [Change("value", "int, varying", "int, repeating")])] == [
        "own-0",
        "own-1",
    ]


def test_every_change_of_one_pair_is_kept_once() -> None:
    examples = Examples(5)
    examples.keep(KEY, "x", [changed(1, 2), changed(3, 4), changed(1, "a")], apart=True)
    assert [(one.left, one.right) for one in examples.of(KEY)] == [(1, 2), (1, "a")]


@given(st.lists(st.tuples(st.integers(0, 30), st.booleans()), max_size=200))
def test_what_is_kept_of_a_place_is_bounded_and_no_change_loses_its_only_example(
    told: list[tuple[int, bool]],
) -> None:
    examples = Examples(3)
    before: set[Change] = set()
    for number, (kind, apart) in enumerate(told):
        seen = Seen("$['a']", Change("value", f"class {kind}", "text"), Difference("body", ("a",), "value", 1, "x"))
        examples.keep(KEY, f"x-{number}", [seen], apart=apart)
        now = {one.change for one in examples.of(KEY)}
        assert before <= now
        before = now
    assert len(examples.of(KEY)) <= 12


def test_merged_examples_are_those_of_both() -> None:
    mine, theirs = Examples(2), Examples(2)
    other = GroupKey("GET /", "(other paths)")
    mine.keep(KEY, "mine", [changed(1, 2)], apart=True)
    for number in range(3):
        theirs.keep(other, f"theirs-{number}", [changed(1, 2)], apart=True)
    mine.merge(KEY, theirs, other)
    assert [one.exchange for one in mine.of(KEY)] == ["mine", "theirs-0"]


def test_of_two_long_texts_the_piece_is_shown_at_which_they_part() -> None:
    examples = Examples(2)
    examples.keep(KEY, "a", [changed("x" * 5000 + "old" + "y" * 500, "x" * 5000 + "new!" + "y" * 500)], apart=True)
    examples.keep(KEY, "b", [changed("z" * 300, "z" * 300 + "!")], apart=True)
    far, longer = examples.of(KEY)
    assert far.left == "…" + "x" * 20 + "old" + "y" * 176 + "…"
    assert far.right == "…" + "x" * 20 + "new!" + "y" * 175 + "…"
    assert (longer.left, longer.right) == ("…" + "z" * 20, "…" + "z" * 20 + "!")
    near = Examples(2)
    near.keep(KEY, "c", [changed("a" + "x" * 300, "b" + "x" * 300)], apart=True)
    assert near.of(KEY)[0].left == "a" + "x" * 199 + "…"


def test_of_two_long_lists_the_elements_are_shown_at_which_they_part() -> None:
    examples = Examples(1)
    left, right = list(range(20)), [*range(10), 11, 10, *range(12, 20)]
    examples.keep(KEY, "x", [changed(left, right)], apart=True)
    (example,) = examples.of(KEY)
    assert example.left == ["…", 10, 11, 12, "… of 20 elements"]
    assert example.right == ["…", 11, 10, 12, "… of 20 elements"]


def test_where_long_lists_of_objects_part_objects_are_shown_in_short() -> None:
    examples = Examples(1)
    rows = [{"id": number, "name": "x", "price": 1} for number in range(9)]
    examples.keep(KEY, "x", [changed(rows, rows[::-1])], apart=True)
    (example,) = examples.of(KEY)
    assert example.left == [*({"id": number, "…": "3 members"} for number in range(3)), "… of 9 elements"]
    examples.keep(GroupKey("GET /", "$['b']"), "y", [changed(rows, None)], apart=True)
    assert examples.of(GroupKey("GET /", "$['b']"))[0].left == "[9 elements]"
