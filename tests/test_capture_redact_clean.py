"""A JSON body that is passed over unread is one in which the scanner would have changed nothing."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capture.pseudonym import Pseudonyms
from capture.redact.body import redact_body
from capture.redact.clean import CleanJson
from capture.redact.found import Found
from capture.redact.json_text import redact_json
from capture.redact.names import Names
from capture.redact.rules import Rules
from capture.settings import RedactConfig

RULES = Rules(RedactConfig())
USERS_RULES = Rules(RedactConfig(fields=["nickname", "ab", "json:$.deep.place"], headers=["X-Customer"]))
PSEUDONYMS = Pseudonyms(b"key")
NAMES = st.sampled_from(
    ["id", "name", "text", "content", "value", "note", "card", "number", "token", "pass word", "p\nin", "user", "cards",
     "total_tokens", "key", "nickname", "a b", "deep", "place", "", "é", 'q"q', "back\\slash"]
)  # fmt: skip
WORDS = (
    "password", "Authorization", "passwordé", "nickname", "note", "12", "https", "2026-11-27T12", ":", ": ", "=", " = ",
    "--", " ", "hunter2", "4111111111111111", "joe@x.com", "/", "//", "\n", "\t", '"', "'", "\\", "{", "[", "}", "ab",
    "card[number]", "X-Customer", "Bearer abcdefgh1", "é",
)  # fmt: skip
STRINGS = st.lists(st.sampled_from(WORDS), max_size=5).map("".join)
SCALARS = st.none() | st.booleans() | st.integers(-(10**20), 10**20) | st.floats(allow_nan=False) | STRINGS
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=4))


def found(rules: Rules) -> Found:
    made = Found(rules, PSEUDONYMS)
    made.json_reader = redact_json
    return made


def dumped(value: Any, spaced: bool, ascii_only: bool, slashes: bool) -> bytes:
    text = json.dumps(value, indent=1 if spaced else None, ensure_ascii=ascii_only)
    return (text.replace("/", "\\/") if slashes else text).encode()


@given(VALUES, st.booleans(), st.booleans(), st.booleans(), st.sampled_from([RULES, USERS_RULES]))
def test_the_quick_way_and_the_scanner_write_the_same_bytes(
    value: object, spaced: bool, ascii_only: bool, slashes: bool, rules: Rules
) -> None:
    body = dumped(value, spaced, ascii_only, slashes)
    quick, exact = found(rules), found(rules)
    made = redact_body(body, "application/json", quick)
    assert made == redact_json(body.decode(), exact).encode()
    assert quick.redacted() == exact.redacted()


@pytest.mark.parametrize(
    ("body", "secret"),
    [
        (b'{"note":"password: hunter2"}', b"hunter2"),
        (b'{"note":"password = hunter2"}', b"hunter2"),
        (b'{"note":"see a:b --password hunter2"}', b"hunter2"),
        (b'{"token":"abcdef12","note":"password: hunter2"}', b"hunter2"),
        (b'{"name":"password","text":"hunter2abc"}', b"hunter2abc"),
        (b'{"id":"Authorization","content":"hunter2abc"}', b"hunter2abc"),
        (b'{"x":"DE893704 00440532013000 a"}', b"00440532013000"),
        (b'{"next":"https:\\/\\/h\\/?token=hunter2"}', b"hunter2"),
        ('{"note":"passwordé: hunter2"}'.encode(), b"hunter2"),
    ],
)
def test_what_hides_in_a_string_of_a_harmless_name_is_replaced(body: bytes, secret: bytes) -> None:
    for _ in range(10):
        made = redact_body(body, "application/json", found(RULES))
        assert made is not None
        assert secret not in made


@pytest.mark.parametrize(
    "body",
    [
        b'{"at":"2026-11-27T12:30:00Z","link":"https://shop.example/a?page=2&size=10"}',
        b'{"html":"one\\ntwo\\tthree","path":"\\/a\\/b"}',
        b'{"id":"c7263b6b-d878-4bb1-938d-6f0816b23442","text":"fine"}',
        b'{"total_items" : 3}',
    ],
)
def test_what_is_usual_in_bodies_is_clean(body: bytes) -> None:
    clean = CleanJson(Names())
    text = clean.searched(body)
    assert text is not None
    assert clean.named(text) == (None if b'" :' in body else frozenset())


@pytest.mark.parametrize("body", [b'{"a":"\\u0070"}', b'{"a":"\\"b\\""}', b'{"a":"\\\\n"}', b'{"a":"joe@example.com"}'])
def test_escapes_that_can_hide_something_and_forms_of_secrets_are_not_clean(body: bytes) -> None:
    assert CleanJson(Names()).searched(body) is None


@pytest.mark.parametrize("body", [b"{'token':'abc'}", b'{token:"abc"}', b'{"a":1', b'{"card":{"number":1}}'])
def test_of_what_is_no_json_or_has_a_secret_by_its_place_no_names_are_told(body: bytes) -> None:
    assert CleanJson(Names()).named(body) is None


def test_the_names_of_secrets_that_stand_in_a_body_are_told_before_and_after_its_structure_is_known() -> None:
    clean = CleanJson(Names())
    for _ in range(10):
        assert clean.named(b'{"id":1,"access_token":"x","user":{"pin":2}}') == {"access_token", "pin"}
        assert clean.named(b'{"id":2,"user":{"pin":3}}') == {"pin"}
        assert clean.named(b'{"id":2,"user":{"name":"x"}}') == frozenset()
