"""Other values in a JSON text: at their place alone, everything else byte for byte as it was."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replay.json_splice import splice_json


@pytest.mark.parametrize(
    ("text", "path", "new", "expected"),
    [
        ('{ "a" : 17 ,\n "b": 17 }', ("b",), "9", '{ "a" : 17 ,\n "b": 9 }'),
        ('{"a": {"a": ["x", "x"]}}', ("a", "a", 1), "y", '{"a": {"a": ["x", "y"]}}'),
        ('[1, [2, {"k": 3}], 4]', (1, 1, "k"), "33", '[1, [2, {"k": 33}], 4]'),
        ('{"a": 1, "a": 2}', ("a",), "9", '{"a": 1, "a": 9}'),
        ('{"a,}": "x", "b\\"": "y"}', ('b"',), "z", '{"a,}": "x", "b\\"": "z"}'),
        ('{"n": 1.50, "id": 7}', ("id",), "A7", '{"n": 1.50, "id": "A7"}'),
        ('{"id": "7"}', ("id",), "8", '{"id": "8"}'),
        ("17", (), "18", "18"),
        ('{"a": 1}', ("b",), "9", '{"a": 1}'),
        ('{"a": [}', ("a", 0), "9", '{"a": [}'),
    ],
)
def test_one_value_changes_and_nothing_else(text: str, path: tuple[str | int, ...], new: str, expected: str) -> None:
    assert splice_json(text, {path: new}) == expected


_TREES = st.recursive(
    st.integers(-99, 99) | st.text('ab,:{}[]"\\ é', max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab", max_size=2), inner, max_size=3),
    max_leaves=12,
)


def _leaves(tree: object, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    if isinstance(tree, dict):
        return [leaf for key, value in tree.items() for leaf in _leaves(value, (*path, key))]
    if isinstance(tree, list):
        return [leaf for index, value in enumerate(tree) for leaf in _leaves(value, (*path, index))]
    return [path]


@given(_TREES, st.data())
def test_every_leaf_is_found_and_only_it_changes(tree: object, data: st.DataObject) -> None:
    leaves = _leaves(tree)
    if not leaves:
        return
    path = data.draw(st.sampled_from(leaves))
    expected = json.loads(json.dumps(tree))
    if path:
        holder = expected
        for step in path[:-1]:
            holder = holder[step]
        holder[path[-1]] = "changed"
    else:
        expected = "changed"
    assert json.loads(splice_json(json.dumps(tree, indent=1), {path: "changed"})) == expected


@given(st.text('{}[],:"\\ 1a', max_size=30))
def test_what_is_not_json_never_fails(text: str) -> None:
    assert isinstance(splice_json(text, {("a",): "9", (0,): "8"}), str)
