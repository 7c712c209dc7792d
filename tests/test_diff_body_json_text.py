"""JSON bodies, ordinary and odd."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from diff.body.json_parser import Facts, parse_json
from diff.body.reading import Unreadable
from diff.body.tree import Nested, compare_values
from diff.collector import Collector
from diff.compare import CompareOptions, Comparison, compare_bodies
from diff.difference import Difference, generalise, swapped
from diff.difference import Path as BodyPath
from tests.support.json_values import at, json_values, places, replaced

JSON = "application/json"


def compare(left: bytes, right: bytes, **options: Any) -> Comparison:
    return compare_bodies(left, right, JSON, JSON, CompareOptions(**options))


def encoded(value: Any) -> bytes:
    return json.dumps(value).encode()


def pointer(path: BodyPath) -> str:
    return "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in path)


# In these two an element has moved in a list: said as a moved element, not as a change at every position it passed.
MOVED = {
    "jsondiffpatch/arrays/6 nested with movement": [("$[2]", "extra"), ("$[7]", "missing")],
    "jsondiffpatch/arrays/8 nested change with item moved above": [
        ("$", "order"),
        ("$[*]['inner']['property']", "value"),
    ],
}


def test_the_collected_pairs_are_judged_as_their_authors_say(corpora: Path) -> None:
    pairs = [json.loads(line) for line in (corpora / "json" / "pairs.jsonl").read_text().splitlines()]
    assert len(pairs) == 114
    moved = {}
    for pair in pairs:
        left, right = encoded(pair["a"]), encoded(pair["b"])
        found = compare(left, right)
        assert (found.verdict == "equal") == pair["equal"], pair["id"]
        strict = compare(left, right, strict_numbers=True)
        assert (strict.verdict == "equal") == pair["equal_number_form_strict"], pair["id"]
        if pair["equal_ignoring_array_order"] and not pair["equal"]:
            assert {d.kind for d in found.differences} == {"order"}, pair["id"]
        if pair["exact"] and sorted(pointer(d.path) for d in found.differences) != sorted(
            change["path"] for change in pair["changes"]
        ):
            moved[pair["id"]] = found.differences
    assert moved.keys() == MOVED.keys()
    assert [d.path for d in moved["jsondiffpatch/arrays/6 nested with movement"]] == [(7,), (2,)]
    inner = moved["jsondiffpatch/arrays/8 nested change with item moved above"]
    assert [(d.path, d.kind) for d in inner] == [((), "order"), ((2, "inner", "property"), "value")]


def test_the_parsing_suite_crashes_nothing_and_what_must_be_accepted_is(corpora: Path) -> None:
    lines = [json.loads(line) for line in (corpora / "json" / "json-test-suite.jsonl").read_text().splitlines()]
    assert len(lines) == 70
    for line in lines:
        text = base64.b64decode(line["input_base64"])
        for other in (b'{"k":[1]}', text + b" ", b""):
            compare(text, other)
            compare(other, text)
        try:
            parse_json(text, CompareOptions(), Facts(), "left")
            accepted = True
        except Unreadable:
            accepted = False
        if line["expect"] != "either":
            assert accepted == (line["expect"] == "accept") or "NaN" in str(text) or "Infinity" in str(text), line[
                "name"
            ]


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ('{"a": 1, "b": [1, 2]}', '{\n  "b": [\n1,2 ],\t"a":1}'),
        ('{"a": 1.0}', '{"a": 1}'),
        ('["\\u00e9\\/"]', '["é/"]'),
        ("[1e2, -0]", "[100, 0]"),
        ("[1e30, 1.0E+22]", "[1000000000000000000000000000000, 10000000000000000000000]"),
        ('{"a":{"x":1,"y":2}}', '{"a":{"y":2,"x":1}}'),
        ("\ufeff[1]", "[1]"),
        ("[NaN, 1e400]", "[NaN , 1e400]"),
        ('{"k":1,"k":2}', '{ "k":1, "k":2 }'),
        ('["\\ud800"]', '[ "\\ud800" ]'),
        ("[" * 9999 + "]" * 9999, "[" * 9999 + " 1".replace("1", "") + "]" * 9999),
    ],
)
def test_another_spelling_of_the_same_value_is_equal(left: str, right: str) -> None:
    assert compare(left.encode(), right.encode()).verdict == "equal"
    assert compare(right.encode(), left.encode()).verdict == "equal"


@pytest.mark.parametrize(
    ("left", "right", "path", "kind"),
    [
        ('{"k":1,"k":2}', '{"k":2}', ("k",), "missing"),
        ('{"k":2}', '{"k":1,"k":2}', ("k",), "extra"),
        ('{"k":1,"k":2}', '{"k":2,"k":1}', ("k",), "value"),
        ('{"k":1,"\\u003a":0,"k":2}', '{"k":2,"\\u003a":0}', ("k",), "missing"),
        ("[NaN]", "[null]", (0,), "type"),
        ("[Infinity]", "[-Infinity]", (0,), "value"),
        ("[1e400]", "[1e401]", (0,), "value"),
        ('["\\ud800"]', '["\\ud801"]', (0,), "value"),
        ("[%s1]" % ("1" * 5000), "[%s2]" % ("1" * 5000), (0,), "value"),
        ("[18446744073709551616]", "[18446744073709551617]", (0,), "value"),
        ("[9007199254740993]", "[9007199254740992.0]", (0,), "value"),
        ("[1000000000000000000000000000001]", "[1e30]", (0,), "value"),
        ("[true]", "[1]", (0,), "type"),
    ],
)
def test_what_other_parsers_drop_or_refuse_is_a_difference_at_its_place(
    left: str, right: str, path: BodyPath, kind: str
) -> None:
    found = compare(left.encode(), right.encode())
    assert {d.path for d in found.differences} == {path}
    assert kind in {d.kind for d in found.differences}


def test_depth_is_compared_to_the_bound_and_below_it_as_text() -> None:
    left, right = b'{"a":' * 9999 + b"1" + b"}" * 9999, b'{"a":' * 9999 + b"2" + b"}" * 9999
    found = compare(left, right)
    assert [d.path for d in found.differences] == [("a",) * 200]
    assert found.notes == ("nested deeper than 200; what lies below is compared as text (left and right)",)
    assert isinstance(found.differences[0].left, Nested)


def test_between_the_bound_and_what_recursion_can_do_depth_is_no_matter() -> None:
    for depth in (150, 300, 600, 900):
        left, right = b"[" * depth + b"1" + b"]" * depth, b"[" * depth + b"2" + b"]" * depth
        found = compare(left, right)
        assert len(found.differences) == 1
        assert found.differences[0].path in ((0,) * depth, (0,) * 200)


def test_brackets_that_never_close_are_compared_as_text() -> None:
    found = compare(b"[" * 100_000, b"[" * 100_000 + b"]")
    assert found.verdict == "different"
    assert found.notes == ("not valid JSON at character 100000: it ends inside an object or array; compared as text",)


def test_bytes_that_are_not_utf_8_keep_their_place() -> None:
    found = compare(b'{"a":"\xff","b":1}', b'{"a":"\xfe","b":1}')
    assert [d.path for d in found.differences] == [("a",)]
    assert found.notes == ("not valid UTF-8 (left and right)",)


def test_a_body_that_is_json_on_one_side_only_is_one_difference_of_type() -> None:
    found = compare(b'{"a":1,\n"b":2}', b'{"a":1,\n"b"')
    assert [(d.path, d.kind, d.right) for d in found.differences] == [((), "type", '{"a":1,\n"b"')]
    assert found.notes == ("the right body is unreadable: not valid JSON at character 11: Expecting ':' delimiter",)


def test_two_bodies_that_are_not_json_are_compared_as_text() -> None:
    found = compare(b'{"a":1,\n"b"', b'{"a":2,\n"b"')
    assert [(d.path, d.kind) for d in found.differences] == [((0,), "value")]
    assert found.notes == ("not valid JSON at character 11: Expecting ':' delimiter; compared as text",)


def test_json_that_is_one_text_a_line_is_compared_record_by_record() -> None:
    found = compare(b'{"a":1}\n{"a":2}\n', b'{"a":1}\n{"a":3}\n')
    assert [(d.path, d.kind) for d in found.differences] == [((1, "a"), "value")]
    assert found.notes == ("not one JSON text but one a line; compared as ndjson",)


def mirrored_paths(differences: tuple[Difference, ...]) -> list[str]:
    """Without the index in a list, which is the left's where elements have moved against each other."""
    return sorted(repr((generalise(d.path), d.kind, d.left, d.right)) for d in differences)


def test_true_for_1_is_found_beside_other_differences_and_where_it_cancels_out() -> None:
    left, right = b'{"a":true,"b":1,"c":2,"d":[1,true,5]}', b'{"a":1,"b":true,"c":3,"d":[true,1,5]}'
    assert [(d.path, d.kind) for d in compare(left, right).differences] == [
        (("a",), "type"),
        (("b",), "type"),
        (("c",), "value"),
        (("d",), "order"),
    ]
    assert compare(b"[true,1]", b"[true,1.0]").verdict == "equal"
    assert compare(b'{"a":true,"b":0}', b'{"b":0.0,"a":true}').verdict == "equal"
    assert len(compare(b'{"a":true,"b":0}', b'{"b":false,"a":true}').differences) == 1


@given(json_values(), json_values())
@example([], [None, None, False])
def test_swapping_the_sides_swaps_the_differences(left: Any, right: Any) -> None:
    there = compare(encoded(left), encoded(right))
    back = compare(encoded(right), encoded(left))
    assert mirrored_paths(tuple(map(swapped, back.differences))) == mirrored_paths(there.differences)


@given(json_values())
def test_a_value_equals_itself_in_any_spelling(value: Any) -> None:
    left = json.dumps(value).encode()
    assert compare(left, left).verdict == "equal"
    assert compare(left, json.dumps(value, indent=3, sort_keys=True, ensure_ascii=False).encode()).verdict == "equal"


@given(json_values(), json_values(4), st.data())
def test_one_replaced_part_is_found_at_its_exact_place_or_within(value: Any, part: Any, data: st.DataObject) -> None:
    path = data.draw(st.sampled_from(places(value)))
    assume(compare(encoded(at(value, path)), encoded(part)).verdict == "different")
    found = compare(encoded(value), encoded(replaced(value, path, part))).differences
    assert found
    assert all(difference.path[: len(path)] == path for difference in found), (path, found)


@given(json_values(), st.data())
def test_one_replaced_scalar_is_one_difference(value: Any, data: st.DataObject) -> None:
    scalars = [path for path in places(value) if not isinstance(at(value, path), dict | list)]
    assume(scalars)
    path = data.draw(st.sampled_from(scalars))
    found = compare(encoded(value), encoded(replaced(value, path, "another"))).differences
    assume(at(value, path) != "another")
    assert [difference.path for difference in found] == [path]


@given(json_values(), st.data())
def test_one_added_or_removed_part_is_one_difference(value: Any, data: st.DataObject) -> None:
    containers = [path for path in places(value) if isinstance(at(value, path), dict | list) and at(value, path)]
    assume(containers)
    path = data.draw(st.sampled_from(containers))
    container = at(value, path)
    step = data.draw(st.sampled_from(list(container) if isinstance(container, dict) else range(len(container))))
    less = replaced(value, path, type(container)(container))
    del (less if not path else at(less, path))[step]
    found = compare(encoded(value), encoded(less)).differences
    assert [(d.kind, d.path[:-1], d.left) for d in found] == [("missing", path, container[step])]
    back = compare(encoded(less), encoded(value)).differences
    assert [(d.kind, d.path[:-1], d.right) for d in back] == [("extra", path, container[step])]


@given(st.binary(max_size=60), st.binary(max_size=60))
def test_garbage_raises_nothing_and_is_judged_alike_from_both_sides(left: bytes, right: bytes) -> None:
    verdict = compare(left, right).verdict
    assert verdict == compare(right, left).verdict
    assert verdict == "equal" if left == right else verdict in ("equal", "different")


@given(json_values(), json_values())
@example({"a": 1, "b": True}, {"b": 1, "a": True})
@example({"a": 5, "b": [5, True]}, {"a": 6, "b": [5, 1]})
@example([True, {"n": 1.0}], [True, {"n": 1}])
@example({"a": "1", "b": 1}, {"a": "1", "b": 2})
@example([None, True], [False, False, False])
def test_the_fast_way_finds_what_the_walk_that_trusts_nothing_finds(left: Any, right: Any) -> None:
    slow = Collector(10_000)
    compare_values(left, right, slow, CompareOptions())
    for separators in (None, (",", ":")):
        fast = compare(*(json.dumps(value, separators=separators).encode() for value in (left, right)))
        assert [(d.path, d.kind) for d in fast.differences] == [(d.path, d.kind) for d in slow.differences]


@pytest.mark.parametrize(
    ("left", "right", "found"),
    [
        # One changed value, beside a key that is repeated on one side or on both.
        (b'{"a":1,"b":2}', b'{"a":1,"a":1,"b":3}', [("a",), ("b",)]),
        (b'{"a":1,"a":1,"b":2}', b'{"a":1,"b":3}', [("a",), ("b",)]),
        (b'{"a":1,"a":1,"b":2}', b'{"a":1,"a":1,"b":3}', [("b",)]),
        # The old value stands in more places than one.
        (b'{"a":5,"b":5,"c":"5"}', b'{"a":6,"b":5,"c":"5"}', [("a",)]),
        (b'{"a":5,"b":5,"t":true}', b'{"a":6,"b":5,"t":1}', [("a",), ("t",)]),
        (b'{"5":5,"t":true}', b'{"5":6,"t":1}', [("5",), ("t",)]),
    ],
)
def test_a_change_beside_what_a_fast_parser_does_not_see_is_found_with_it(
    left: bytes, right: bytes, found: list[BodyPath]
) -> None:
    assert sorted(d.path for d in compare(left, right).differences) == found
