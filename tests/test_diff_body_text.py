"""Text bodies, line by line."""

from __future__ import annotations

import pytest

from diff.body.text import decode_text, split_lines
from diff.compare import compare_bodies
from diff.difference import MISSING
from tests.support.bodies import compare, found

PLAIN = "text/plain; charset=utf-8"


def test_a_single_line_differs_at_the_root() -> None:
    assert found("one", "two", PLAIN) == [((), "value", "one", "two")]


def test_lines_are_aligned() -> None:
    assert found("a\nb\nc\n", "a\nx\nb\nc\n", PLAIN) == [((1,), "extra", MISSING, "x")]
    assert found("a\nb\nc\n", "a\nc\n", PLAIN) == [((1,), "missing", "b", MISSING)]
    assert found("a\nb\nc", "a\nB\nc", PLAIN) == [((1,), "value", "b", "B")]
    assert found("a\nb\nc", "c\na\nb", PLAIN) == [((), "order", ["a", "b", "c"], ["c", "a", "b"])]


def test_line_ends_alone_are_one_difference_with_a_note() -> None:
    comparison = compare("a\r\nb\r\n", "a\nb\n", PLAIN)
    assert [(d.path, d.kind) for d in comparison.differences] == [((), "value")]
    assert comparison.notes == ("only the line ends differ",)


def test_the_same_text_in_two_charsets_is_equal() -> None:
    left, right = "grün".encode("latin-1"), "grün".encode()
    assert compare_bodies(left, right, "text/plain; charset=iso-8859-1", PLAIN).verdict == "equal"


@pytest.mark.parametrize(
    ("body", "charset", "text", "problem"),
    [
        (b"\xef\xbb\xbfa", "latin-1", "a", None),
        ("aé".encode("utf-16"), None, "aé", None),
        (b"\xff", None, "ÿ", "not valid utf-8; read as ISO 8859-1"),
        (b"\xc3\xa9", "klingon", "é", "charset 'klingon' is not known; read as UTF-8"),
        (b"\xff", "klingon", "ÿ", "charset 'klingon' is not known; read as UTF-8, read as ISO 8859-1"),
        (b"x", "base64", "x", "charset 'base64' is not known; read as UTF-8"),
        (b"x", "punycode", "x", "charset 'punycode' is not known; read as UTF-8"),
        (b"\x80", "ascii", "\x80", "not valid ascii; read as ISO 8859-1"),
        (b"x", "a\0b", "x", "charset 'a\\x00b' is not known; read as UTF-8"),
    ],
)
def test_a_body_is_decoded_and_what_was_wrong_is_said(
    body: bytes, charset: str | None, text: str, problem: str | None
) -> None:
    assert decode_text(body, charset) == (text, problem)


def test_lines_end_with_any_line_end() -> None:
    assert split_lines("a\r\nb\rc\n\nd") == ["a", "b", "c", "", "d"]
    assert split_lines("a\n") == ["a"]
    assert split_lines("") == []
    assert split_lines("a\x0bb\u2028c") == ["a\x0bb\u2028c"]
