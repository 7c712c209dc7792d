"""Forms: urlencoded and multipart."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from diff.body.form import Part, parse_form, parse_multipart
from diff.body.reading import Unreadable
from diff.compare import compare_bodies
from diff.difference import MISSING
from tests.support.bodies import compare, found

FORM = "application/x-www-form-urlencoded"


def test_the_order_of_names_and_the_spelling_of_escapes_do_not_matter() -> None:
    assert found("a=1&b=x+y", "b=x%20y&a=%31", FORM) == []


def test_a_field_that_changed_is_missing_or_extra() -> None:
    assert found("a=1&b=2&c=", "a=9&c=&d=4", FORM) == [
        (("a",), "value", "1", "9"),
        (("b",), "missing", "2", MISSING),
        (("d",), "extra", MISSING, "4"),
    ]


def test_values_of_one_name_keep_their_order() -> None:
    assert found("a=1&a=2", "a=2&a=1", FORM) == [(("a",), "order", ["1", "2"], ["2", "1"])]
    assert found("a=1", "a=1&a=2", FORM) == [(("a", 1), "extra", MISSING, "2")]


def test_bytes_that_are_not_utf_8_are_still_told_apart() -> None:
    assert found("a=%ff", "a=%fe", FORM) == [(("a",), "value", "\udcff", "\udcfe")]


def test_a_form_of_too_many_fields_is_refused() -> None:
    with pytest.raises(Unreadable, match="more than 100000 fields"):
        parse_form(b"a&" * 100_001)


def multipart(boundary: str, *parts: str) -> str:
    return "".join(f"--{boundary}\r\n{part}\r\n" for part in parts) + f"--{boundary}--\r\n"


FIELD_A = 'Content-Disposition: form-data; name="a"\r\n\r\n1'
FIELD_B = 'content-disposition: form-data; name=b; filename="b.json"\r\nContent-Type: application/json\r\n\r\n{"x": 1}'


def test_parts_are_read_with_their_headers() -> None:
    assert parse_multipart(multipart("B", FIELD_A, FIELD_B).encode(), "B") == [
        Part("a", (("Content-Disposition", 'form-data; name="a"'),), b"1"),
        Part(
            "b",
            (("content-disposition", 'form-data; name=b; filename="b.json"'), ("Content-Type", "application/json")),
            b'{"x": 1}',
        ),
    ]


def test_preamble_epilogue_bare_line_feeds_and_parts_without_headers_are_allowed() -> None:
    body = b"preamble\n--B  \n\nplain\n--Bnot a boundary\n--B\nX: 1\n\n\n--B--\nepilogue\n--B\n"
    assert parse_multipart(body, "B") == [Part(None, (), b"plain\n--Bnot a boundary"), Part(None, (("X", "1"),), b"")]


@pytest.mark.parametrize(
    ("body", "boundary", "reason"),
    [
        (b"--B\r\n\r\nx\r\n", "B", "ends before its last boundary"),
        (b"nothing", "B", "its boundary never stands"),
        (b"--B--", "", "without a boundary"),
        (b"--B\r\n" * 10_001, "B", "10000 parts or more"),
    ],
)
def test_a_multipart_body_that_cannot_be_read_says_why(body: bytes, boundary: str, reason: str) -> None:
    with pytest.raises(Unreadable, match=reason):
        parse_multipart(body, boundary)


def test_the_boundary_itself_is_not_compared() -> None:
    left, right = multipart("one", FIELD_A, FIELD_B).encode(), multipart("two", FIELD_A, FIELD_B).encode()
    types = "multipart/form-data; boundary=one", "multipart/form-data; boundary=two"
    assert compare_bodies(left, right, *types).verdict == "equal"


def test_a_form_part_is_found_by_name_and_compared_by_its_own_kind() -> None:
    left = multipart("B", FIELD_A, FIELD_B)
    right = multipart("B", FIELD_B.replace('{"x": 1}', '{"x": 2}'), FIELD_A)
    assert found(left, right, "multipart/form-data; boundary=B") == [(("b", "x"), "value", 1, 2)]


def test_a_part_that_is_missing_repeats_or_has_another_header() -> None:
    kind = "multipart/form-data; boundary=B"
    lost = found(multipart("B", FIELD_A, FIELD_B), multipart("B", FIELD_A), kind)
    assert [(path, what) for path, what, _, _ in lost] == [(("b",), "missing")]
    again = found(multipart("B", FIELD_A), multipart("B", FIELD_A, FIELD_A), kind)
    assert [(path, what) for path, what, _, _ in again] == [(("a", 1), "extra")]
    relabelled = found(multipart("B", FIELD_B), multipart("B", FIELD_B.replace("b.json", "c.json")), kind)
    assert [(path, what) for path, what, _, _ in relabelled] == [(("b", "@header", "content-disposition"), "value")]


def test_parts_without_names_are_compared_by_position_and_multipart_may_hold_multipart() -> None:
    inner = multipart("I", "\r\nx").removesuffix("\r\n")
    left = multipart("B", f"Content-Type: multipart/mixed; boundary=I\r\n\r\n{inner}", "\r\nplain")
    assert found(left, left.replace("\r\nx\r\n", "\r\ny\r\n"), "multipart/mixed; boundary=B") == [
        ((0, 0), "value", "x", "y")
    ]


def test_multipart_within_multipart_without_end_is_compared_as_bytes() -> None:
    def nested(text: str) -> str:
        body = text
        for level in range(30):
            body = multipart(f"B{level}", f"Content-Type: multipart/mixed; boundary=B{level - 1}\r\n\r\n{body}")
        return body

    comparison = compare(nested("x"), nested("y"), "multipart/mixed; boundary=B29")
    assert len(comparison.differences) == 1
    assert "multipart bodies within each other more than 4 deep; compared as binary" in comparison.notes


def test_a_multipart_body_that_is_cut_off_is_one_difference_of_type() -> None:
    whole = multipart("B", FIELD_A, FIELD_B)
    assert [(path, kind) for path, kind, _, _ in found(whole, whole[:-20], "multipart/form-data; boundary=B")] == [
        ((), "type")
    ]


@given(st.binary(max_size=80))
def test_garbage_is_read_or_refused(garbage: bytes) -> None:
    for parse in (parse_form, lambda body: parse_multipart(b"--B\r\n" + body + b"\r\n--B--", "B")):
        try:
            parse(garbage)
        except Unreadable:
            pass
