"""What stands inside a value is found, and replaced without touching the rest."""

from __future__ import annotations

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replay.inside import parts_inside, put_inside

TOKEN = "tok_9f8e7d6c5b4a"
UUID = "550e8400-e29b-41d4-a716-446655440000"


def b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def url64(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def jwt(claims: dict[str, object], alg: str = "HS256", signature: str = "c2ln") -> str:
    return f"{url64(json.dumps({'alg': alg}))}.{url64(json.dumps(claims))}.{signature}"


@pytest.mark.parametrize(
    ("value", "old", "new", "expected"),
    [
        (f"Basic {b64(f'key:{TOKEN}')}", TOKEN, "other", f"Basic {b64('key:other')}"),
        (f"Basic {b64(f'{TOKEN}:a:b')}", TOKEN, "me", f"Basic {b64('me:a:b')}"),
        (f"user:{TOKEN}", TOKEN, "x", "user:x"),
        (f"urn:uuid:{UUID}", UUID, "x", "urn:uuid:x"),
        (f"{TOKEN}.txt", TOKEN, "x", "x.txt"),
        (f'{{ card(id: "{TOKEN}") {{ title }} }}', TOKEN, "x", '{ card(id: "x") { title } }'),
        (f"/carts/{TOKEN}/items?from={TOKEN}", TOKEN, "x", "/carts/x/items?from=x"),
        ("https://h/orders/17?a=1", "17", "18", "https://h/orders/18?a=1"),
        (b64(f'{{"after": 7, "t": "{TOKEN}"}}'), TOKEN, "x", b64('{"after": 7, "t": "x"}')),
        (url64('{"after":42,"nonce":"??>"}'), "42", "43", url64('{"after":43,"nonce":"??>"}')),
        (b64(f"cursor:{TOKEN}"), TOKEN, "x", b64("cursor:x")),
        (b64("ThingNode:17"), "17", "1842", b64("ThingNode:1842")),
        ("order:1712", "1712", "5", "order:5"),
        (b64('anna:["anna", []].s1g.nature'), '["anna", []].s1g.nature', '["x"].y', b64('anna:["x"].y')),
        ("of order:17, by user:3", "3", "44", "of order:17, by user:44"),
        (f'{{"id": 17, "n": 17, "t":"{TOKEN}"}}', TOKEN, "x", '{"id": 17, "n": 17, "t":"x"}'),
        (jwt({"sid": TOKEN}, "none", ""), TOKEN, "x", jwt({"sid": "x"}, "none", "")),
    ],
)
def test_a_part_is_found_and_replaced(value: str, old: str, new: str, expected: str) -> None:
    parts = [(inner, text, new) for inner, text, _ in parts_inside(value) if text == old]
    assert parts
    assert put_inside(value, parts) == expected


def test_claims_of_a_signed_token_are_found_and_cannot_be_replaced() -> None:
    value = jwt({"sub": TOKEN, "of": {"cart": 17}})
    assert list(parts_inside(value)) == [(("signed", "sub"), TOKEN, "sub"), (("signed", "of", "cart"), "17", "cart")]
    assert put_inside(value, [(("signed", "sub"), TOKEN, "x")]) is None


def test_parts_of_addresses_and_objects_are_named() -> None:
    named = {text: name for _, text, name in parts_inside("/orders/17?cart=99") if name}
    assert named == {"17": "orders", "99": "cart"}
    assert ("id", "17") in {(name, text) for _, text, name in parts_inside('{"order": {"id": 17}}')}


def test_a_number_behind_a_name_is_of_that_name_and_a_port_or_a_time_is_no_such_number() -> None:
    named = [(name, text) for _, text, name in parts_inside(f"{b64('OrderNode:17')}") if name]
    assert named == [("Order", "17")]
    for value in ("http://host:8080/", "10:30:00 today", "at host.name:8080", "seconds:30:00", "order:17.5 of it"):
        assert [text for _, text, name in parts_inside(value) if name and text.isdigit()] == []


def test_several_parts_of_one_value_are_replaced_at_once() -> None:
    value = f"{TOKEN}:{UUID}"
    changes = [(inner, text, f"<{len(text)}>") for inner, text, _ in parts_inside(value) if text in (TOKEN, UUID)]
    assert put_inside(value, changes) == "<16>:<36>"


def test_of_a_part_and_one_inside_it_the_wider_one_is_replaced() -> None:
    value = f"of {TOKEN}.{UUID}, and {UUID}"
    wide, narrow, other = (f"{TOKEN}.{UUID}", UUID, UUID)
    changes = [
        (("at", 3), wide, "W"),
        (("at", 3 + len(TOKEN) + 1), narrow, "N"),
        (("at", value.rindex(UUID)), other, "O"),
    ]
    for turned in (changes, changes[::-1]):
        assert put_inside(value, turned) == "of W, and O"


@given(st.text(max_size=60) | st.binary(max_size=40).map(lambda data: base64.b64encode(data).decode()))
def test_putting_back_what_is_there_changes_nothing_that_counts(value: str) -> None:
    for inner, text, _ in parts_inside(value):
        again = put_inside(value, [(inner, text, text)])
        assert again is not None or inner[0] == "signed"
        if again is not None and inner[0] == "at":
            assert again == value


def test_what_stands_at_a_character_is_found_there_whatever_else_changes_its_length() -> None:
    value = '{"x": "short", "y": "of tokenBBBB2222"}'
    changes = [(("json", "x"), "short", "much longer than before"), (("at", 24), "tokenBBBB2222", "other")]
    assert put_inside(value, changes) == '{"x": "much longer than before", "y": "of other"}'
