"""The walk over two decoded values."""

from __future__ import annotations

import random
from decimal import Decimal
from typing import Any

import pytest

from diff.body.tree import Repeating, canonical, compare_values, type_name
from diff.collector import Collector, TooManyDifferences
from diff.difference import MISSING, Difference, Kind
from diff.options import CompareOptions


def compare(left: Any, right: Any, options: CompareOptions | None = None, **known: bool) -> list[Difference]:
    collector = Collector(1000)
    compare_values(left, right, collector, options or CompareOptions(), **known)
    return collector.differences


def body(path: tuple[str | int, ...], kind: Kind, left: Any = MISSING, right: Any = MISSING) -> Difference:
    return Difference("body", path, kind, left, right)


def test_only_the_smallest_differing_part_is_named() -> None:
    left = {"a": {"b": [{"c": 1, "d": 2}]}, "e": "same"}
    right = {"e": "same", "a": {"b": [{"c": 1, "d": 3}]}}
    assert compare(left, right) == [body(("a", "b", 0, "d"), "value", 2, 3)]


def test_null_and_absent_are_not_the_same() -> None:
    assert compare({"k": None}, {}) == [body(("k",), "missing", None)]
    assert compare({}, {"k": None}) == [body(("k",), "extra", MISSING, None)]


@pytest.mark.parametrize(
    ("left", "right"),
    [(None, 0), (0, ""), ("", []), ([], {}), (True, 1), (False, 0), (True, 1.0), ("1", 1), (None, False)],
)
def test_another_json_type_is_a_difference_of_type(left: Any, right: Any) -> None:
    assert compare([left], [right]) == [body((0,), "type", left, right)]
    assert compare({"k": left}, {"k": right}, faithful=True) == [body(("k",), "type", left, right)]
    assert compare([5, left], [5, right], faithful=True) == [body((1,), "type", left, right)]


def test_true_is_not_1_even_between_elements_that_python_calls_equal() -> None:
    assert compare([1, "x", 1, 3], [True, "y", 1, 3], faithful=True) == [
        body((0,), "type", 1, True),
        body((1,), "value", "x", "y"),
    ]
    assert compare([{"k": 1}, "x"], [{"k": True}, "x"], faithful=True) == [body((0, "k"), "type", 1, True)]


def test_numbers_are_compared_by_value_unless_they_are_to_be_strict() -> None:
    assert compare([1, {"k": 100}], [1.0, {"k": 1e2}]) == []
    assert compare([1, {"k": 100}], [1.0, {"k": 1e2}], faithful=True, trusting=True) == []
    strict = CompareOptions(strict_numbers=True)
    assert compare([1, 2], [1.0, 2], strict) == [body((0,), "type", 1, 1.0)]
    assert compare([1, 2], [1.0, 2], strict, faithful=True) == [body((0,), "type", 1, 1.0)]


def test_large_integers_are_exact_and_do_not_equal_the_nearest_double() -> None:
    assert compare([2**53], [2**53 + 1]) == [body((0,), "value", 2**53, 2**53 + 1)]
    assert compare([2**53 + 1], [float(2**53)]) == [body((0,), "value", 2**53 + 1, float(2**53))]


def test_nan_equals_nan() -> None:
    nan = float("nan")
    assert compare({"k": nan, "l": [nan]}, {"k": float("nan"), "l": [float("nan")]}) == []
    assert compare([nan], [1.0])[0].kind == "value"


def test_one_element_inserted_at_the_head_of_a_thousand_is_one_difference() -> None:
    plain = [{"n": index // 2, "text": "x"} for index in range(1000)]
    assert compare(plain, [{"n": -1, "text": "new"}, *plain], faithful=True) == [
        body((0,), "extra", MISSING, {"n": -1, "text": "new"})
    ]


def test_a_removed_element_is_named_by_its_index_on_the_left() -> None:
    assert compare(["a", "b", "c"], ["a", "c"]) == [body((1,), "missing", "b")]


def test_a_permutation_is_one_difference_of_order_at_the_list() -> None:
    left, right = {"l": [{"k": 3}, {"k": 1}, {"k": 2}]}, {"l": [{"k": 1}, {"k": 2}, {"k": 3}]}
    assert compare(left, right) == [body(("l",), "order", left["l"], right["l"])]
    assert compare(left, right, CompareOptions(unordered=frozenset({"$['l']"}))) == []


def test_elements_that_have_names_are_compared_with_their_namesakes() -> None:
    left = [{"id": 1, "v": "a"}, {"id": 2, "v": "b"}, {"id": 3, "v": "c"}]
    right = [{"id": 3, "v": "c"}, {"id": 1, "v": "A"}, {"id": 2, "v": "b"}]
    assert compare(left, right) == [body((), "order", left, right), body((0, "v"), "value", "a", "A")]


def test_a_learned_key_names_elements_where_nothing_else_would() -> None:
    left = [{"sku": 1.5, "v": 1}, {"sku": 2.5, "v": 1}]
    right = [{"sku": 2.5, "v": 2}, {"sku": 1.5, "v": 3}]
    learned = compare(left, right, CompareOptions(list_keys={"$": "sku"}))
    assert learned == [
        body((), "order", left, right),
        body((0, "v"), "value", 1, 3),
        body((1, "v"), "value", 1, 2),
    ]


def test_a_change_in_every_row_is_found_in_every_row_beside_an_insertion() -> None:
    left = [{"id": n, "price": n} for n in range(50)]
    right = [{"id": 99, "price": "0"}, *({"id": n, "price": str(n)} for n in range(50))]
    found = compare(left, right)
    assert [(d.path, d.kind) for d in found] == [*(((n, "price"), "type") for n in range(50)), ((0,), "extra")]


def test_similar_nested_rows_without_names_keep_their_partners() -> None:
    left = [{"p": {"a": 1, "b": 2, "c": 3}}, {"p": {"a": 7, "b": 8, "c": 9}}]
    right = [{"p": {"x": 0, "y": 0, "z": 0}}, {"p": {"a": 1, "b": 2, "c": 4}}, {"p": {"a": 7, "b": 8, "c": 10}}]
    assert [(d.path, d.kind) for d in compare(left, right)] == [
        ((0, "p", "c"), "value"),
        ((1, "p", "c"), "value"),
        ((0,), "extra"),
    ]


def test_a_list_that_takes_too_much_work_is_compared_by_position_and_says_so() -> None:
    collector = Collector(5000)
    left, right = random.Random(1).choices("ab", k=3000), random.Random(2).choices("ab", k=3010)
    compare_values(left, right, collector, CompareOptions(align_work_max=0))
    assert len(collector.limits) == 1
    assert collector.limits[0].endswith("elements was compared by position")
    assert collector.differences[0] == body((), "length", 3000, 3010)


def test_the_bound_on_differences_stops_the_walk_and_says_so() -> None:
    collector = Collector(5)
    with pytest.raises(TooManyDifferences):
        compare_values({str(n): n for n in range(9)}, {}, collector, CompareOptions())
    assert len(collector.differences) == 5
    assert collector.limits == ["more than 5 differences; the rest are not listed"]


def test_an_earlier_value_of_a_repeated_key_is_a_difference_of_its_own() -> None:
    twice, once = Repeating([("k", 1), ("k", 2)]), {"k": 2}
    assert compare(twice, once) == [body(("k",), "missing", 1)]
    assert compare(once, twice) == [body(("k",), "extra", MISSING, 1)]
    assert compare(twice, Repeating([("k", 1), ("k", 2)])) == []
    assert compare([twice], [Repeating([("k", 3), ("k", 2)])]) == [body((0, "k"), "value", 1, 3)]


def test_keys_that_are_not_text_are_named_by_their_repr() -> None:
    assert compare({1: "a", b"k": 2}, {1: "b", b"k": 2}) == [body(("1",), "value", "a", "b")]


def test_canonical_bytes_are_equal_exactly_where_values_are() -> None:
    assert canonical({"a": 1, "b": [1.0, True]}) == canonical({"b": [1, True], "a": 1.0})
    apart = [
        1,
        1.5,
        True,
        "1",
        None,
        [],
        {},
        [[]],
        [1],
        {"1": 1},
        {1: 1},
        b"1",
        "",
        Decimal("1e400"),
        "1E+400",
        "\ud800",
    ]
    assert len({canonical(value) for value in apart}) == len(apart)
    assert canonical(1, strict_numbers=True) != canonical(1.0, strict_numbers=True)
    assert canonical(["a", "b"]) != canonical(["a,b"])


def test_types_have_the_names_of_json() -> None:
    values = [None, True, 1, 1.5, Decimal(1), "s", {}, Repeating([]), [], b""]
    assert [type_name(value) for value in values] == [
        *("null", "boolean", "number", "number", "number", "string", "object", "object", "array", "bytes")
    ]
