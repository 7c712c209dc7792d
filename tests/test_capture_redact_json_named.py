"""Where only names tell secrets, their values are replaced as the scanner does it, or the scanner is asked."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capture.pseudonym import Pseudonyms
from capture.redact.found import Found
from capture.redact.json_named import redact_named
from capture.redact.json_text import redact_json
from capture.redact.rules import Rules
from capture.settings import RedactConfig

KEYS = st.sampled_from(["id", "token", "items", "pin", "total_tokens", "user", "password2", "é", "a b"])
SCALARS = (
    st.none() | st.booleans() | st.integers(-999, 9999) | st.sampled_from(["", "x", "hunter2", "abcdef123456", "é1"])
)
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4))


def named(body: bytes, rules: RedactConfig | None = None, encoding: str = "utf-8") -> tuple[bytes | None, Found]:
    checked = Rules(rules or RedactConfig())
    assert checked.clean is not None
    found = Found(checked, Pseudonyms(b"key"))
    searched = checked.clean.searched(body)
    assert searched is not None
    return redact_named(body, searched, found, encoding), found


@given(VALUES, st.sampled_from([None, 1]), st.booleans())
def test_it_writes_what_the_scanner_writes_or_leaves_it_to_the_scanner(
    value: Any, indent: int | None, ascii_only: bool
) -> None:
    body = json.dumps(value, indent=indent, ensure_ascii=ascii_only).encode()
    if b"\\u" in body:
        return
    made, found = named(body)
    exact = Found(Rules(RedactConfig()), Pseudonyms(b"key"))
    written = redact_json(body.decode(), exact).encode()
    if made is not None:
        assert made == written
        assert found.redacted() == exact.redacted()
        assert found.sought == exact.sought


def test_values_are_replaced_where_they_stand_and_listed_by_their_paths() -> None:
    body = b'{ "token":  "abcdef12", "items":[{"pin": 1234},{"pin":null}], "id":"token" }'
    made, found = named(body)
    assert made is not None
    assert b"abcdef12" not in made
    assert b"1234" not in made
    assert len(made) == len(body)
    assert found.redacted() == ("request.json:$['token']", "request.json:$['items'][0]['pin']")


def test_a_body_without_secret_names_is_the_same_object() -> None:
    for body in (b'{"id":1}', b"[]", b"7", b'{"id":"token"}'):
        assert named(body)[0] is body


@pytest.mark.parametrize(
    "body",
    [
        b'{"token":{"a":"hunter2"}}',
        b'{"token":["hunter2"]}',
        b'{"token":"a","token":"hunter2"}',
        b'{"items":[{"token":"a","token":"hunter2"}]}',
        b'{"token":"a\\nhunter2"}',
        b'{"pass\\nword":"hunter2"}',
        b'{"token":"hunter2"',
        b'{"card":{"number":1}}',
        b'{"name":"password","value":"hunter2"}',
        b'{"a":' * 70 + b'{"token":"hunter2"}' + b"}" * 70,
        b"[" * 100_000 + b'{"token":"hunter2"}',
    ],
)
def test_what_cannot_be_told_from_the_names_is_left_to_the_scanner(body: bytes) -> None:
    assert named(body)[0] is None


def test_rules_of_the_user_that_name_paths_are_left_to_the_scanner() -> None:
    body = b'{"token":"hunter2","id":"abcdef12"}'
    assert named(body, RedactConfig(keep=("json:$.id",)))[0] is None
    assert named(body, RedactConfig(fields=("json:$.id",)))[0] is None
    made = named(body, RedactConfig(fields=("id",)))[0]
    assert made is not None
    assert b"abcdef12" not in made


def test_letters_in_another_encoding_than_utf_8_are_left_to_the_scanner() -> None:
    assert named('{"token":"hünter2"}'.encode(), encoding="iso8859-1")[0] is None
    assert named(b'{"token":"hunter2"}', encoding="iso8859-1")[0] is not None
