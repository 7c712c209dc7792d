"""Reading one JSON text, ordinary and odd."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from diff.body.json_parser import Facts, looks_like_json, parse_json
from diff.body.reading import Unreadable
from diff.body.tree import Repeating
from diff.compare import CompareOptions


def parse(text: bytes, *, deep: bool = False) -> Any:
    return parse_json(text, CompareOptions(), Facts(), "left", deep=deep)


def test_every_way_of_parsing_gives_the_same_value() -> None:
    text = b'{"a":[1,-2.5,1e3,true,false,null,"\\u00e9\\n",{}],"b":[],"k":1,"k":{"x":[[]]}}'
    shallow, deep = parse(text), parse(text, deep=True)
    assert shallow == deep
    assert shallow["a"] == [1, -2.5, 1000.0, True, False, None, "é\n", {}]
    assert isinstance(deep, Repeating)
    assert deep.earlier == {"k": [1]}


def test_numbers_beyond_a_double_stay_exact() -> None:
    value = parse(b"[1e400, 123456789012345678901234567890, 1e99999999999999999999]")
    assert value == [Decimal("1e400"), 123456789012345678901234567890, "1e99999999999999999999"]


@pytest.mark.parametrize("deep", [False, True])
@pytest.mark.parametrize(
    "text",
    ["", "[", "[1,]", "{,}", '{"a"}', "[01]", "[1 2]", "tru", "'a'", '["\x01"]', "[1]]", '{"a":1,}', "[-]", "{1:2}"],
)
def test_what_is_not_json_is_refused_with_the_place(text: str, deep: bool) -> None:
    with pytest.raises(Unreadable, match="not valid JSON"):
        parse(text.encode(), deep=deep)


def test_json_is_recognised_by_its_first_character() -> None:
    assert looks_like_json(b" \n{")
    assert looks_like_json(b"\xef\xbb\xbf[")
    assert not looks_like_json(b"<html>")
    assert not looks_like_json(b"")
