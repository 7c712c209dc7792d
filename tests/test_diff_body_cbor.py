"""CBOR bodies."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from diff.body.cbor import parse_cbor
from diff.body.reading import Unreadable
from diff.difference import MISSING
from tests.support.bodies import found
from tests.support.cbor import cbor, in_pieces, tagged

CBOR = "application/cbor"
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(1 << 64), (1 << 64) - 1)
    | st.floats(allow_nan=False)
    | st.text(max_size=40)
    | st.binary(max_size=40)
)
DOCUMENTS = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=6)
        | st.dictionaries(st.text(max_size=8) | st.integers(-(1 << 64), (1 << 64) - 1), inner)
    ),
    max_leaves=20,
)


@given(st.lists(DOCUMENTS, max_size=3))
def test_what_was_encoded_is_read_back(documents: list[Any]) -> None:
    assert repr(parse_cbor(b"".join(map(cbor, documents)))) == repr(documents)


@pytest.mark.parametrize(
    ("encoded", "value"),
    [
        ("f90000", 0.0),
        ("f93c00", 1.0),
        ("f97bff", 65504.0),
        ("fa47c35000", 100000.0),
        ("fb3ff199999999999a", 1.1),
        ("f97c00", math.inf),
        ("f4", False),
        ("f5", True),
        ("f6", None),
        ("f7", {"#simple": 23}),
        ("f8ff", {"#simple": 255}),
        ("c249010000000000000000", 18446744073709551616),
        ("c349010000000000000000", -18446744073709551617),
        ("c074323031332d30332d32315432303a30343a30305a", {"#tag 0": "2013-03-21T20:04:00Z"}),
        ("c11a514b67b0", {"#tag 1": 1363896240}),
        ("d82550000102030405060708090a0b0c0d0e0f", "00010203-0405-0607-0809-0a0b0c0d0e0f"),
        ("5f42010243030405ff", b"\x01\x02\x03\x04\x05"),
        ("9f018202039f0405ffff", [1, [2, 3], [4, 5]]),
        ("bf61610161629f0203ffff", {"a": 1, "b": [2, 3]}),
        ("a1820102f5", {"[1, 2]": True}),
    ],
)
def test_values_are_read_as_the_specification_shows_them(encoded: str, value: Any) -> None:
    assert parse_cbor(bytes.fromhex(encoded)) == [value]


def test_values_are_compared_as_json_is() -> None:
    assert found(cbor({"a": 1, "b": [1, 2.0]}), cbor({"b": [1, 2], "a": 1}), CBOR) == []
    assert found(cbor({"a": 1, "b": [1, 2]}), cbor({"a": True, "b": [1, 3]}), CBOR) == [
        (("a",), "type", 1, True),
        (("b", 1), "value", 2, 3),
    ]
    assert found(cbor([b"x"]), cbor(["x"]), "application/senml+cbor") == [((0,), "type", b"x", "x")]


def test_how_a_value_was_written_says_nothing_and_its_tag_does() -> None:
    assert found(in_pieces(4, b"\x18\x07", in_pieces(3, b"\x61a", b"\x61b")), cbor([7, "ab"]), CBOR) == []
    one, two = cbor({"at": 0})[:-1] + tagged(0, cbor("x")), cbor({"at": 0})[:-1] + tagged(0, cbor("y"))
    assert found(one, two, CBOR) == [(("at", "#tag 0"), "value", "x", "y")]


def test_a_repeated_key_is_a_fact() -> None:
    assert found(b"\xa2\x61a\x01\x61a\x02", cbor({"a": 2}), CBOR) == [(("a",), "missing", 1, MISSING)]


def test_several_values_in_a_row_are_a_list() -> None:
    assert found(cbor(1) + cbor(2), cbor(1) + cbor(3), "application/cbor-seq") == [((1,), "value", 2, 3)]
    assert found(cbor(1) + cbor(2), cbor(1), CBOR) == [((1,), "missing", 2, MISSING)]


@pytest.mark.parametrize(
    "body", [b"\x1c", b"\xff", b"\x82\x01", b"\x63ab", b"\x7f\x41a\xff", b"\xbf\x61a\xff", b"\x9b" + b"\xff" * 8]
)
def test_what_is_no_cbor_says_so_and_is_compared_as_bytes(body: bytes) -> None:
    with pytest.raises(Unreadable, match="not CBOR, or it ends within a value, after 1 whole ones"):
        parse_cbor(b"\x01" + body)


def test_what_is_nested_too_deep_is_refused() -> None:
    with pytest.raises(Unreadable, match="nested too deep"):
        parse_cbor(b"\x81" * 100_000 + b"\x01")


@given(st.binary(max_size=80))
def test_garbage_is_read_or_refused(data: bytes) -> None:
    try:
        parse_cbor(data)
    except Unreadable:
        pass


def test_an_integer_of_more_digits_than_python_writes_is_compared_and_shown_as_its_bytes() -> None:
    def big(tag: int, byte: bytes) -> bytes:
        return bytes((0xC0 + tag, 0x59)) + (3000).to_bytes(2, "big") + byte * 3000

    for tag in (2, 3):
        ours, theirs = parse_cbor(big(tag, b"\x01") + big(tag, b"\x02"))
        assert (ours, theirs) == ({f"#tag {tag}": b"\x01" * 3000}, {f"#tag {tag}": b"\x02" * 3000})
    [members] = parse_cbor(b"\xa1" + big(2, b"\x01") + b"\x05")  # as the key of a map, which is told by its repr
    assert list(members.values()) == [5]
    assert all(isinstance(key, str) for key in members)
