"""JSON in a row, as one document has it, is read text by text; what is one document stays one."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replay.json_leaves import is_row, json_leaf_at, json_leaves
from replay.json_splice import splice_row

ROWS = st.lists(
    st.dictionaries(st.text(max_size=5), st.text(max_size=9), min_size=1, max_size=3), min_size=2, max_size=5
)


@pytest.mark.parametrize(
    ("kind", "body", "row"),
    [
        ("application/x-ndjson", b'{"a": 1}', True),
        ("application/jsonl", b"", True),
        ("application/json", b'{"a": 1}\n', False),
        ("application/json", b'{"a": 1}\n{"a": 2}', True),
        ("application/json", b"\n[1]\n[2]\n", True),
        ("application/json", b'{\n"a": {}\n}', False),
        ("application/json", b"[\n[1],\n[2]\n]", False),
        ("application/json", b'{"a"}\n{"a"}', False),
        ("", b'\x1e{"a":\n1}\n', True),
        ("", b"\n\n", False),
    ],
)
def test_a_row_is_told_from_one_document(kind: str, body: bytes, row: bool) -> None:
    assert is_row(kind, body) is row


def test_a_row_ends_where_a_text_is_no_json() -> None:
    body = b'{"a": "x"}\n\n{"a": "y"}\n{"a": "cut'
    assert [(place.path, value) for place, value in json_leaves(body)] == [((0, "a"), "x"), ((1, "a"), "y")]


@given(ROWS, st.sampled_from(["\n", "\r\n", "\n\n"]), st.data())
def test_one_value_of_a_row_is_replaced_and_nothing_else(
    rows: list[dict[str, str]], between: str, data: st.DataObject
) -> None:
    body = between.join(json.dumps(row) for row in rows).encode()
    number = data.draw(st.integers(0, len(rows) - 1))
    key = data.draw(st.sampled_from(sorted(rows[number])))
    changed = splice_row(body, {(number, key): "new"})
    expected = [{**row, key: "new"} if n == number else row for n, row in enumerate(rows)]
    assert changed.decode() == between.join(json.dumps(row) for row in expected)
    leaves = {place.path: value for place, value in json_leaves(changed, "application/x-ndjson")}
    assert leaves == {(n, k): value for n, row in enumerate(expected) for k, value in row.items()}


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("application/json", b'{"a": [{"id": 17}, "x", true, null, 1.5], "": "y"}'),
        ("application/x-ndjson", b'{"a": 1}\n\n{"a": [2, "x"]}\n"last"\n'),
        ("application/json-seq", b'\x1e{"a": 1}\n\x1e[2, 3]\n'),
        ("application/json", b'"alone"'),
    ],
)
def test_each_leaf_can_be_asked_for_by_its_path(kind: str, body: bytes) -> None:
    leaves = dict(json_leaves(body, kind))
    assert leaves
    assert {place: json_leaf_at(body, kind, place.path) for place in leaves} == leaves


@pytest.mark.parametrize(
    ("kind", "body", "path"),
    [
        ("application/json", b'{"a": [1]}', ("a", 1)),
        ("application/json", b'{"a": [1]}', ("a", "0")),
        ("application/json", b'{"a": [1]}', ("a",)),
        ("application/json", b"{not json", ("a",)),
        ("application/x-ndjson", b'{"a": 1}\n{"a": 2}\n', (2, "a")),
        ("application/x-ndjson", b'{"a": 1}\n{"a": 2}\n', ()),
        ("application/x-ndjson", b'{"a": 1}\n{not json\n', (1, "a")),
    ],
)
def test_a_path_that_is_not_there_has_no_leaf(kind: str, body: bytes, path: tuple[str | int, ...]) -> None:
    assert json_leaf_at(body, kind, path) is None
