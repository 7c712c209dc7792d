"""A learned structure covers just the names that were learned, however the bodies vary."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from capture.redact.shapes import Shapes


def learned(*values: object) -> Shapes:
    shapes = Shapes()
    for value in values:
        for _ in range(50):
            shapes.learn(json.dumps(value).encode())
    return shapes


def names_of(value: object) -> set[str]:
    if isinstance(value, dict):
        return set(value).union(*map(names_of, value.values())) if value else set()
    return set().union(*map(names_of, value)) if isinstance(value, list) else set()


def test_a_body_of_other_values_in_the_same_structure_fits() -> None:
    shapes = learned({"page": 1, "items": [{"id": "a", "tags": ["x"]}]})
    assert shapes.of(b'{"page":null,"items":[]}') is not None
    assert shapes.of(b'{"page":2.5,"items":[{"id":7,"tags":null},{"tags":[]}]}') is not None


def test_a_name_that_was_not_learned_in_its_place_does_not_fit() -> None:
    shapes = learned({"page": 1, "items": [{"id": "a"}]})
    assert shapes.of(b'{"page":1,"items":[{"id":"a","token":"b"}]}') is None
    assert shapes.of(b'{"page":1,"token":"b"}') is None
    assert shapes.of(b'{"page":{"token":1}}') is None
    assert shapes.of(b'{"page":1,"page":1,"pag\\u0065":1,"t\\u006fken":"x"}') is None
    assert shapes.of(b'{"page":1,"items":[') is None


def test_a_structure_is_learned_after_three_bodies_and_grows_with_those_that_do_not_fit() -> None:
    shapes = Shapes()
    body, other = b'{"page":1,"total":2}', b'{"page":1,"next":{"href":"x"}}'
    for n in range(3):
        assert (shapes.of(body) is not None) is (n > 2)
        shapes.learn(body)
    assert shapes.of(body) is not None
    for _ in range(3):
        assert shapes.of(other) is None
        shapes.learn(other)
    assert shapes.of(other) is not None
    assert shapes.of(body) is not None


def test_objects_with_ever_new_names_and_deep_ones_are_not_learned_without_end() -> None:
    shapes = Shapes()
    for n in range(2000):
        shapes.learn(json.dumps({"page": {f"user{m}": 1 for m in range(n, n + 20)}}).encode())
    assert shapes.of(b'{"page":{"user1999":1}}') is None
    deep: Any = {"page": 1}
    for _ in range(40):
        deep = {"page": deep}
    assert learned(deep).of(json.dumps(deep).encode()) is None


def test_a_name_that_no_type_can_have_is_left_unlearned() -> None:
    assert learned({'a"b': 1}).of(b'{"a\\"b":1}') is None


def test_only_so_many_structures_are_remembered() -> None:
    shapes = learned(*({f"first{n}": 1} for n in range(70)))
    assert shapes.of(b'{"first69":1}') is not None
    assert shapes.of(b'{"first0":1}') is None


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=4),
)


@given(VALUES, VALUES)
def test_what_fits_has_no_name_that_was_not_learned(first: object, second: object) -> None:
    shapes = learned(first)
    if shapes.of(json.dumps(second).encode()) is not None:
        assert names_of(second) <= names_of(first)
