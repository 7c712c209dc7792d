"""Secrets in MessagePack and CBOR are replaced by name and by form, and equal ones stay equal."""

from __future__ import annotations

from typing import Any

import msgpack
import pytest

from capture.exchange import Exchange, Request, Response, Times
from capture.pseudonym import Pseudonyms
from capture.redact import Redactor
from capture.settings import RedactConfig
from tests.support.cbor import cbor

TOKEN = "Zq8xW3vK7mP2Zq8xW3vK7mP2"
JWT = (
    "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiI5OTg4Nzc2NiIsIm4iOiJKb2huIERvZSJ9.SflKxwRJSMeKKF2QT4fwpMeJf36POk6y"
)
PACKED = [
    pytest.param("application/msgpack", msgpack.packb, id="msgpack"),
    pytest.param("application/cbor", cbor, id="cbor"),
]


def redacted(kind: str, body: bytes, **rules: Any) -> Exchange:
    headers = (("Content-Type", kind),)
    request = Request("POST", "/login", "HTTP/1.1", (("Authorization", f"Bearer {TOKEN}"), *headers), body, len(body))
    response = Response(200, "OK", "HTTP/1.1", headers, body, len(body))
    record = Exchange("1", "s", "relay", 1.0, request, response, Times(1))
    return Redactor(RedactConfig(**rules), Pseudonyms(b"k" * 32)).redact(record)


def pseudonym() -> str:
    """What the token becomes in a header."""
    return redacted("application/json", b"{}").request.headers[0][1].removeprefix("Bearer ")


@pytest.mark.parametrize(("kind", "pack"), PACKED)
def test_what_has_the_name_of_a_secret_is_replaced_and_every_other_byte_stays(kind: str, pack: Any) -> None:
    document = {"access_token": TOKEN, "id": 17, "pin": 4711, "list": [1.5, None, "plain"], "total_tokens": 150}
    record = redacted(kind, pack(document))
    assert record.response is not None
    for message, side in ((record.request, "request"), (record.response, "response")):
        assert TOKEN.encode() not in (message.body or b"")
        assert f"{side}.json:$['access_token']" in record.redacted
    expected = pack({**document, "access_token": pseudonym()})
    assert redacted(kind, pack(document), keep=("json:$.pin",)).request.body == expected


@pytest.mark.parametrize(("kind", "pack"), PACKED)
def test_what_has_the_form_of_a_secret_is_replaced_wherever_it_stands(kind: str, pack: Any) -> None:
    body = (
        redacted(kind, pack({"note": f"see {JWT}", JWT: 1, "inner": f'{{"password": "{TOKEN}"}}'})).request.body or b""
    )
    assert JWT.encode() not in body
    assert TOKEN.encode() not in body


@pytest.mark.parametrize(("kind", "pack"), PACKED)
def test_what_stands_in_a_secret_and_what_a_rule_names_are_replaced(kind: str, pack: Any) -> None:
    document = {"password": {"of": TOKEN}, "mine": "Ab3dEf6hIj9", "ids": [b"\x00\x01" * 8]}
    body = redacted(kind, pack(document), fields=("$.mine",)).request.body or b""
    assert TOKEN.encode() not in body
    assert b"Ab3dEf6hIj9" not in body
    assert b"\x00\x01" * 8 in body


@pytest.mark.parametrize(("kind", "pack"), PACKED)
def test_a_secret_of_bytes_stays_bytes_of_the_same_length(kind: str, pack: Any) -> None:
    before = pack({"secret": bytes(range(200, 232))})
    after = redacted(kind, before).request.body or b""
    assert len(after) == len(before)
    assert bytes(range(200, 232)) not in after


@pytest.mark.parametrize(("kind", "pack"), PACKED)
def test_a_broken_body_is_searched_by_form(kind: str, pack: Any) -> None:
    body = redacted(kind, pack({"note": JWT, "more": "x"})[:-1]).request.body or b""
    assert JWT.encode() not in body


def test_strict_mode_keeps_no_such_body() -> None:
    assert redacted("application/cbor", cbor({"a": 1}), mode="strict").request.body is None
