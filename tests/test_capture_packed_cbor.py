"""Heads of CBOR as RFC 8949 has them in its examples (appendix A), and written as wide as they were."""

from __future__ import annotations

import pytest

from capture.packed.cbor import CBOR
from capture.packed.items import Path, find_items, splice_items
from tests.support.cbor import cbor, in_pieces, tagged


@pytest.mark.parametrize(
    ("encoded", "expected"),
    [
        ("00", {(): "0"}),
        ("17", {(): "23"}),
        ("1818", {(): "24"}),
        ("1903e8", {(): "1000"}),
        ("1b000000e8d4a51000", {(): "1000000000000"}),
        ("1bffffffffffffffff", {(): "18446744073709551615"}),
        ("3bffffffffffffffff", {(): "-18446744073709551616"}),
        ("20", {(): "-1"}),
        ("3903e7", {(): "-1000"}),
        ("f93c00", {}),
        ("fb3ff199999999999a", {}),
        ("f818", {}),
        ("c074323031332d30332d32315432303a30343a30305a", {(): "2013-03-21T20:04:00Z"}),
        ("4401020304", {(): "01020304"}),
        ("60", {}),
        ("6449455446", {(): "IETF"}),
        ("62c3bc", {(): "ü"}),
        ("80", {}),
        ("8301820203820405", {(0,): "1", (1, 0): "2", (1, 1): "3", (2, 0): "4", (2, 1): "5"}),
        ("a201020304", {("1",): "2", ("3",): "4"}),
        ("a26161016162820203", {("a",): "1", ("b", 0): "2", ("b", 1): "3"}),
        ("5f42010243030405ff", {(): "0102030405"}),
        ("7f657374726561646d696e67ff", {(): "streaming"}),
        ("9fff", {}),
        ("9f018202039f0405ffff", {(0,): "1", (1, 0): "2", (1, 1): "3", (2, 0): "4", (2, 1): "5"}),
        ("bf61610161629f0203ffff", {("a",): "1", ("b", 0): "2", ("b", 1): "3"}),
        ("bf6346756ef563416d7421ff", {("Amt",): "-2"}),
        ("1c", {}),
        ("1f", {}),
        ("df00", {}),
        ("ff", {}),
        ("bf6161ff", {}),
        ("81ff", {}),
        ("7f4101ff", {}),
    ],
)
def test_values_are_read_as_the_specification_shows_them(encoded: str, expected: dict[Path, str]) -> None:
    assert {item.path: item.value for item in find_items(bytes.fromhex(encoded), CBOR)} == expected


@pytest.mark.parametrize(
    ("before", "new", "after"),
    [
        ("63616263", "x" * 24, "7818" + "78" * 24),
        ("7803616263", "x", "780178"),
        ("790003616263", "x" * 300, "79012c" + "78" * 300),
        ("17", "24", "1818"),
        ("1807", "9", "1809"),
        ("1b0000000000000007", "70000", "1b0000000000011170"),
        ("1818", "5", "05"),
        ("20", "-25", "3818"),
        ("390000", "5", "190005"),
        ("7f6161ff", "xyz", "6378797a"),
    ],
)
def test_a_head_stays_as_wide_as_it_was_written_beyond_need(before: str, new: str, after: str) -> None:
    assert splice_items(bytes.fromhex(before), CBOR, {(): new}).hex() == after


def test_what_is_around_a_value_in_an_open_list_stays() -> None:
    body = in_pieces(4, cbor("one"), tagged(32, cbor("http://a/1")), in_pieces(5, cbor("k"), cbor("two")))
    expected = in_pieces(4, cbor("one"), tagged(32, cbor("http://b/22")), in_pieces(5, cbor("k"), cbor("2")))
    assert splice_items(body, CBOR, {(1,): "http://b/22", (2, "k"): "2"}) == expected


def test_a_tagged_uuid_is_read_and_written_with_its_dashes() -> None:
    body = cbor({"id": 0})[:-1] + tagged(37, cbor(bytes(range(16))))
    assert [item.value for item in find_items(body, CBOR)] == ["00010203-0405-0607-0809-0a0b0c0d0e0f"]
    changed = splice_items(body, CBOR, {("id",): "ffffffff-0405-0607-0809-0a0b0c0d0e0f"})
    assert changed == cbor({"id": 0})[:-1] + tagged(37, cbor(b"\xff" * 4 + bytes(range(4, 16))))
