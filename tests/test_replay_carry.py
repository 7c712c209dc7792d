"""Replacing values in a request: at their place alone, everything else byte for byte as it was."""

from __future__ import annotations

import gzip

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capture.exchange import Request
from replay.carry import carried_values, replace_values
from replay.place import Place
from tests.support.rude import get


def replaced(request: Request, kind: str, path: tuple[str | int, ...], old: str, new: str) -> Request:
    place = Place(kind, path)
    assert (place, old) in carried_values(request)
    return replace_values(request, {place: (old, new)})


@pytest.mark.parametrize(
    ("target", "kind", "path", "old", "new", "expected"),
    [
        ("/a/b%2Fc/d?x=1", "path", (1,), "b/c", "n/w", "/a/n%2Fw/d?x=1"),
        ("/a%2fb/7/%7e?x=%7E&&y", "path", (1,), "7", "12", "/a%2fb/12/%7e?x=%7E&&y"),
        ("http://h/a/7?x", "path", (1,), "7", "12", "http://h/a/12?x"),
        ("/s?q=a+b&q=c%20d&r=%7E", "query", ("q", 1), "c d", "e&f", "/s?q=a+b&q=e%26f&r=%7E"),
    ],
)
def test_a_target_changes_in_one_place(
    target: str, kind: str, path: tuple[str | int, ...], old: str, new: str, expected: str
) -> None:
    assert replaced(get(target), kind, path, old, new).target == expected


def test_a_header_keeps_its_scheme_and_spelling() -> None:
    request = get("/", ("AUTHORIZATION", "bearer  old"), ("X", "old"))
    changed = replaced(request, "header", ("authorization", 0), "old", "new")
    assert changed.headers[1:] == (("AUTHORIZATION", "bearer  new"), ("X", "old"))


def test_a_cookie_changes_and_its_neighbours_do_not() -> None:
    request = get("/", ("Cookie", "a=old; sid=old;b=old"))
    assert replaced(request, "cookie", ("sid",), "old", "new").headers[1] == ("Cookie", "a=old; sid=new;b=old")


def test_a_value_from_a_build_cannot_begin_a_new_header_line() -> None:
    changed = replaced(get("/", ("X-T", "old")), "header", ("x-t", 0), "old", "a\r\nEvil: 1")
    assert changed.headers[1] == ("X-T", "a  Evil: 1")


JSON = ("Content-Type", "application/json")


@pytest.mark.parametrize(
    ("body", "path", "old", "new", "expected"),
    [
        (b'{ "t" : "old",\n "u": 1.50 }', ("t",), "old", "new", b'{ "t" : "new",\n "u": 1.50 }'),
        (b'{"t": "old", "u": "old"}', ("u",), "old", "new", b'{"t": "old", "u": "new"}'),
        (b'{"id": 7, "n": 7}', ("id",), "7", "12", b'{"id": 12, "n": 7}'),
        (b'{"id": 7}', ("id",), "7", "x", b'{"id": "x"}'),
        (b'["a", ["old"]]', (1, 0), "old", 'q"\\', b'["a", ["q\\"\\\\"]]'),
    ],
)
def test_a_json_body_changes_in_one_place(
    body: bytes, path: tuple[str | int, ...], old: str, new: str, expected: bytes
) -> None:
    request = get("/", JSON, ("Content-Length", str(len(body))), method="POST", body=body)
    changed = replaced(request, "json", path, old, new)
    assert changed.body == expected
    assert changed.headers[2] == ("Content-Length", str(len(expected)))
    assert changed.body_bytes == len(expected)


def test_forms_and_parts_and_compressed_bodies_change_in_one_place() -> None:
    form = get("/", ("Content-Type", "application/x-www-form-urlencoded"), method="POST", body=b"a=1&t=old&t=x+y")
    assert replaced(form, "form", ("t", 0), "old", "n w").body == b"a=1&t=n+w&t=x+y"
    parts = b'--B\r\nContent-Disposition: form-data; name="t"\r\n\r\nold\r\n--B\r\nX: y\r\n\r\nold\r\n--B--\r\n'
    multipart = get("/", ("Content-Type", "multipart/form-data; boundary=B"), method="POST", body=parts)
    assert replaced(multipart, "part", ("t", 0), "old", "longer").body == parts.replace(b"old", b"longer", 1)
    packed = gzip.compress(b'{"t":"old"}')
    request = get("/", JSON, ("Content-Encoding", "gzip"), method="POST", body=packed)
    assert gzip.decompress(replaced(request, "json", ("t",), "old", "new").body or b"") == b'{"t":"new"}'


def test_two_values_that_swap_are_replaced_in_one_pass() -> None:
    request = get("/", JSON, method="POST", body=b'{"a":"one","b":"two"}')
    changed = replace_values(request, {Place("json", ("a",)): ("one", "two"), Place("json", ("b",)): ("two", "one")})
    assert changed.body == b'{"a":"two","b":"one"}'


@given(
    target=st.text(st.sampled_from("/ab1%2F?&=+~."), max_size=30).map(lambda text: f"/{text}"),
    body=st.binary(max_size=40),
    kind=st.sampled_from(
        ["application/json", "application/x-www-form-urlencoded", "multipart/form-data; boundary=B", "text/plain", ""]
    ),
)
def test_replacing_every_value_by_itself_changes_no_meaning_and_never_fails(
    target: str, body: bytes, kind: str
) -> None:
    request = get(target, ("Content-Type", kind), ("Cookie", "a=b; c"), ("X-A", "v"), method="POST", body=body)
    carried = carried_values(request)
    same = replace_values(request, {place: (value, value) for place, value in carried})
    assert carried_values(same) == carried
    assert [name for name, _ in same.headers] == [name for name, _ in request.headers]
