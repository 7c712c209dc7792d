"""The items of an array in a long JSON text: whatever pieces it is read in, whatever one of them is."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capture.log.importers import json_array
from capture.log.importers.json_array import BrokenText, items_at

PATH = ("log", "entries")
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=15,
)


def pieces(text: str, length: int) -> Callable[[int], str]:
    """Reads `length` characters at a time, however many are asked for."""
    parts = iter([text[at : at + length] for at in range(0, len(text), length)])
    return lambda _asked: next(parts, "")


def read(text: str, length: int = 1 << 20) -> list[Any]:
    return list(items_at(PATH, pieces(text, length)))


def told(items: list[Any]) -> list[Any]:
    return [str(item) if isinstance(item, ValueError) else item for item in items]


@given(st.lists(VALUES, max_size=5), VALUES, st.integers(1, 40), st.sampled_from([None, 1]))
def test_the_items_are_those_of_the_standard_library_whatever_pieces_the_text_comes_in(
    values: list[Any], other: Any, length: int, indent: int | None
) -> None:
    outer = {"before": other, "log": {"pages": other, "entries": values, "after": other}}
    assert read(json.dumps(outer, indent=indent), length) == values
    assert read(json.dumps(outer, ensure_ascii=False), length) == values


@pytest.mark.parametrize("length", [1, 3, 1000])
def test_an_item_that_cannot_be_read_is_an_error_in_its_place_and_the_others_are_given(length: int) -> None:
    deep = "[" * 50_000 + "]" * 50_000 if length > 3 else "[undefined]"
    text = f'{{"log":{{"entries":[1, {{"a": undefined, "b": "]}}\\""}}, "x", {deep}, nonsense, {"9" * 5000}, [2]]}}}}'
    found = read(text, length)
    assert [item for item in found if not isinstance(item, ValueError)] == [1, "x", [2]]
    assert [number for number, item in enumerate(found) if isinstance(item, ValueError)] == [1, 3, 4, 5]
    if length > 3:
        assert told(found)[3] == "it is nested too deeply"


@pytest.mark.parametrize("length", [1, 7, 1000])
def test_a_text_that_breaks_off_gives_what_came_before_and_says_where_it_ends(length: int) -> None:
    text = '{"log": {"x": [1, "]"], "entries": [{"a": 1}, {"b": "\\u00e9\\\\"}, 17]}}'
    whole = [{"a": 1}, {"b": "\xe9\\"}, 17]
    for end in range(len(text) - 2):
        found: list[Any] = []
        with pytest.raises(BrokenText) as error:
            found.extend(items_at(PATH, pieces(text[:end], length)))
        assert error.value.at <= end
        assert found == whole[: len(found)]


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", "5", '{"log": 5}', '{"log": {}}', '{"log": {"entries": {}}}', '{"log" 1}', "{1: 2}"]
)
def test_a_text_without_that_array_is_refused(text: str) -> None:
    with pytest.raises(BrokenText):
        read(text)


def test_an_item_beyond_all_bounds_is_walked_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_array, "ITEM_CHARACTERS_MAX", 2000)
    monkeypatch.setattr(json_array, "_PIECE_CHARACTERS", 100)
    held: list[int] = []
    text = json.dumps({"log": {"entries": [1, {"text": 'x"]}\\' * 20_000}, 2]}})
    at = 0

    def asked(length: int) -> str:
        nonlocal at
        held.append(length)
        at += length
        return text[at - length : at]

    assert told(list(items_at(PATH, asked))) == [1, "it is longer than 0 Mi characters", 2]
    assert max(held) <= 4000
