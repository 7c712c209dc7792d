"""One rule says whether bytes are text."""

from __future__ import annotations

import pytest

from capture.packed.text import text_of


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a",
        "two words",
        "line\nline\r\n\tend",
        "ü€😀",
        "no\u00a0break",
        "zero\u200bwidth",
        "\u00a0first",
        "2026-11-27",
    ],
)
def test_words_of_any_script_are_text(text: str) -> None:
    assert text_of(text.encode()) == text


@pytest.mark.parametrize(
    "data",
    [
        b"\x00",
        b"\x08\x01",
        b"\n\x03abc",
        b"\tindented",
        b"ab\x00c",
        b"esc\x1b[0m",
        b"del\x7f",
        b"\xff\xfe",
        b"\xc3",
        b"\n " + b"x" * 32,
    ],
)
def test_what_has_control_characters_or_begins_with_a_tag_or_is_not_utf_8_is_none(data: bytes) -> None:
    assert text_of(data) is None
