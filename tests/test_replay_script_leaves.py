"""Values in scripts: what is given to a name is found, whatever stands around it, and nothing is ever run or raised."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replay.script_leaves import ScriptLeaf, script_leaves


@pytest.mark.parametrize(
    ("text", "leaves"),
    [
        ('window["cfg"] = {"a": [7, {"b": "x"}]};', [("cfg", 0, ("a", 0), "7"), ("cfg", 0, ("a", 1, "b"), "x")]),
        ("let token='a\\'b\\u0041', n = 12, f = 1.5;", [("token", 0, None, "a'bA"), ("n", 0, None, "12")]),
        ('id: "one", id: "two"', [("id", 0, None, "one"), ("id", 1, None, "two")]),
        ('x = {id: 5, "name": "n"}', [("id", 0, None, "5"), ("name", 0, None, "n")]),
        ("""JSON.parse('{"a": 1}')""", [("parse", 0, None, '{"a": 1}')]),
        ('push([1,"a"]);push([2])', [("push", 0, (0,), "1"), ("push", 0, (1,), "a"), ("push", 1, (0,), "2")]),
        ('a = "unterminated', []),
        ("if (a == b) { return c }", []),
    ],
)
def test_what_a_name_is_given_is_found(
    text: str, leaves: list[tuple[str, int, tuple[str | int, ...] | None, str]]
) -> None:
    assert list(script_leaves(text)) == [ScriptLeaf(*leaf) for leaf in leaves]


@given(st.text(alphabet="ab={}[]:\"'\\(,1 \n", max_size=200))
def test_any_text_is_read_to_its_end(text: str) -> None:
    for leaf in script_leaves(text):
        assert leaf.name.strip("ab1") == ""


@given(st.dictionaries(st.text(max_size=8), st.text(max_size=20) | st.integers(0, 10**12), max_size=5))
def test_json_that_a_script_assigns_is_read_as_json(document: dict[str, str | int]) -> None:
    text = f"var before = f(1); window.state = {json.dumps(document)}; after({{}})"
    found = {leaf.path: leaf.value for leaf in script_leaves(text) if leaf.name == "state"}
    assert found == {(key,): str(value) for key, value in document.items()}
