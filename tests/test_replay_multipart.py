"""Parts of multipart bodies are read as they stand, and a changed one is written with nothing else changed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capture.exchange import Request, Response, header
from replay.carry import carried_values, replace_values
from replay.multipart import DEPTH_MAX, addressed, put_part, read_request, read_response, split_parts, write_request
from replay.place import Place, in_part
from replay.supplies import value_answered
from replay.supply import supplied_values
from tests.support.batches import message_part, multipart
from tests.support.rude import get

MIXED = "multipart/mixed; boundary=B"
JSON = ("Content-Type", "application/json")
TOKEN = "tok9f8e7d6c5b4a"
OWN = ("Authorization", f"Bearer {TOKEN}")
INNER = "multipart/mixed; boundary=set_1"
CHANGE_SET = multipart(
    "set_1",
    message_part(("POST Orders HTTP/1.1", (JSON, ("Content-Length", "16")), b'{"csrf":"aaaa1"}'), ("Content-ID", "1")),
    message_part(("PATCH /v1/Orders(17)?t=1 HTTP/1.1", (JSON, OWN), b'{"note": "x"}')),
)
BATCH = multipart(
    "B",
    message_part(("GET /Customers/c-100200300?expand=orders", (OWN,), b"")),
    ((("Content-Type", INNER), ("Content-Length", str(len(CHANGE_SET)))), CHANGE_SET),
    ((("Content-Type", "application/json"),), b'{"meta": {"title": "tt"}}'),
)


def asked(body: bytes, kind: str = MIXED) -> Request:
    return get("/$batch", ("Content-Type", kind), ("Content-Length", str(len(body))), method="POST", body=body)


def answered(body: bytes, kind: str = MIXED) -> Response:
    return Response(200, "OK", "HTTP/1.1", (("Content-Type", kind),), body, len(body))


def test_each_part_has_its_fields_and_its_content() -> None:
    parts = split_parts(MIXED, b"preamble\r\n" + BATCH + b"epilogue\r\n\r\nmore")
    assert [part.is_message for part in parts] == [True, False, False]
    assert header(parts[1].headers, "content-type") == INNER
    assert split_parts('multipart/mixed; boundary="B"; x=y', BATCH)[0].headers[0] == (
        "Content-Type",
        "application/http",
    )
    assert split_parts("multipart/mixed", BATCH) == []


def test_a_part_without_fields_or_without_content_is_one() -> None:
    named = b'--B\r\nContent-Disposition: form-data; name="n"\r\n\r\nv\r\n'
    body = b"--B\r\n\r\nplain\r\n--B\r\nA: b\r\n\r\n\r\n" + named + b"--B--\r\n"
    parts = split_parts(MIXED, body)
    assert [(part.name, part.headers, body[part.start : part.end]) for part in parts] == [
        (None, (), b"plain"),
        (None, (("A", "b"),), b""),
        ("n", (("Content-Disposition", 'form-data; name="n"'),), b"v"),
    ]


def test_a_boundary_that_another_one_begins_with_is_told_from_it() -> None:
    inner = multipart("B_1", message_part(("GET /a HTTP/1.1", (), b"")))
    body = multipart("B", ((("Content-Type", "multipart/mixed; boundary=B_1"),), inner), ((), b"x"))
    assert [body[part.start : part.end] for part in split_parts(MIXED, body)] == [inner, b"x"]


def test_a_file_and_a_long_field_have_no_name() -> None:
    body = multipart(
        "B",
        ((("Content-Disposition", 'form-data; name="f"; filename="a.txt"'),), b"x"),
        ((("Content-Disposition", 'form-data; name="long"'),), b"x" * 9000),
        ((("content-disposition", 'form-data; NAME="ü"'.encode().decode("latin-1")),), b"x"),
    )
    assert [part.name for part in split_parts(MIXED, body)] == [None, None, "Ã¼"]


@given(st.binary(max_size=300), st.sampled_from([b"--B", b"\r\n--B\r\n", b"\r\n\r\n", b"--B--", b"\r\n"]))
def test_any_bytes_give_parts_within_the_body(garbage: bytes, mark: bytes) -> None:
    body = mark + garbage + mark + garbage + mark
    for part in split_parts(MIXED, body):
        assert 0 <= part.head <= len(body)
        assert part.start <= part.end <= len(body)


@pytest.mark.parametrize(
    "content", [b"", b"nonsense", b"GET", b"GET / FTP/1.1\r\n\r\n", b"HTTP/1.1 2\r\n\r\n", b"\r\n\r\n"]
)
def test_what_is_no_message_is_none(content: bytes) -> None:
    assert read_request(content) is None or content == b"HTTP/1.1 2\r\n\r\n"
    assert read_response(content) is None


def test_a_request_is_written_again_with_what_changed_and_nothing_else() -> None:
    content = b"POST  x HTTP/1.1\r\n\r\n"
    assert read_request(content) is None
    content = b"POST a/1?b=2 HTTP/1.1\r\nX-Id:\t t1 \r\nBroken\r\nContent-Length: 3\r\nX-Id: t2\r\n\r\nabc\r\n\r\n"
    old = read_request(content)
    assert old is not None
    assert (old.target, old.body) == ("/a/1?b=2", b"abc")
    assert write_request(content, old, old) == content
    new = Request("POST", "/a/22?b=3", "HTTP/1.1", (("X-Id", "u1"), ("Content-Length", "4"), ("X-Id", "u2")), b"abcd")
    assert write_request(content, old, new) == (
        b"POST a/22?b=3 HTTP/1.1\r\nX-Id:\t u1 \r\nBroken\r\nContent-Length: 4\r\nX-Id: u2\r\n\r\nabcd\r\n\r\n"
    )


def test_the_length_that_a_part_says_of_itself_fits_again() -> None:
    body = multipart("B", ((("Content-Length", "3"), ("X", "1")), b"abc"))
    part = split_parts(MIXED, body)[0]
    assert put_part(body, part, b"abcde") == multipart("B", ((("Content-Length", "5"), ("X", "1")), b"abcde"))


def test_a_request_carries_what_its_parts_carry() -> None:
    assert {place.text(): value for place, value in carried_values(asked(BATCH)) if place.kind == "multipart"} == {
        "multipart:0:path:0": "Customers",
        "multipart:0:path:1": "c-100200300",
        "multipart:0:query:expand:0": "orders",
        "multipart:0:header:authorization:0": TOKEN,
        "multipart:1:multipart:0:path:0": "Orders",
        "multipart:1:multipart:0:json:csrf": "aaaa1",
        "multipart:1:multipart:1:path:0": "v1",
        "multipart:1:multipart:1:path:1": "Orders(17)",
        "multipart:1:multipart:1:query:t:0": "1",
        "multipart:1:multipart:1:header:authorization:0": TOKEN,
        "multipart:1:multipart:1:json:note": "x",
        "multipart:2:json:meta:title": "tt",
    }


def test_values_are_put_into_the_parts_and_every_length_fits() -> None:
    request = asked(BATCH)
    new = "longer-than-it-was"
    order = Place("path", (1,), ("at", 7))
    changed = replace_values(
        request,
        {
            in_part(0, Place("path", (1,))): ("c-100200300", new),
            in_part(0, Place("header", ("authorization", 0))): (TOKEN, new),
            in_part(1, in_part(0, Place("json", ("csrf",)))): ("aaaa1", new),
            in_part(1, in_part(1, order)): ("17", "1800"),
            in_part(2, Place("json", ("meta", "title"))): ("tt", new),
        },
    )
    expected = BATCH.replace(b"c-100200300", new.encode()).replace(b'"tt"', f'"{new}"'.encode())
    expected = expected.replace(b"Orders(17)", b"Orders(1800)").replace(b"aaaa1", new.encode())
    expected = expected.replace(b"Content-Length: 16", b"Content-Length: 29")
    expected = expected.replace(TOKEN.encode(), new.encode(), 1)
    length = len(CHANGE_SET) + 13 + 2
    expected = expected.replace(f"Content-Length: {len(CHANGE_SET)}".encode(), f"Content-Length: {length}".encode())
    assert changed.body == expected
    assert header(changed.headers, "content-length") == str(len(expected))


def test_an_answer_supplies_what_its_parts_supply() -> None:
    inner = multipart(
        "C",
        message_part(("HTTP/1.1 201 Created", (("Location", "/Orders(18)"), JSON), b'{"id": 18}')),
    )
    body = multipart(
        "B",
        message_part(("HTTP/1.1 200 OK", (JSON, ("Set-Cookie", "sid=s1")), b'{"token": "%b"}' % TOKEN.encode())),
        ((("Content-Type", "multipart/mixed; boundary=C"),), inner),
        ((("Content-Type", "application/json"), ("Content-ID", "<x>")), b'{"at": "/a/b9"}'),
        ((("Content-Disposition", 'form-data; name="key"'),), b"k-123456"),
        ((("Content-Type", "application/http"),), b"nothing"),
    )
    found = {place.text(): value for place, value in supplied_values(answered(body)).items()}
    assert found == {
        "multipart:0:cookie:sid": "s1",
        "multipart:0:json:token": TOKEN,
        "multipart:1:multipart:0:header:location:0": "/Orders(18)",
        "multipart:1:multipart:0:header:location:0/path/0": "Orders(18)",
        "multipart:1:multipart:0:json:id": "18",
        "multipart:2:json:at": "/a/b9",
        "multipart:2:json:at/path/0": "a",
        "multipart:2:json:at/path/1": "b9",
        "part:key": "k-123456",
    }
    place = in_part(0, Place("json", ("token",)))
    assert value_answered(answered(body), place, "other-value-1") == TOKEN


def test_a_place_in_a_batch_belongs_to_the_request_in_that_part() -> None:
    request = asked(BATCH)
    inside = Place("json", ("id",))
    assert addressed(request, inside) == ("POST", "/$batch")
    assert addressed(request, in_part(0, inside)) == ("GET", "/Customers/c-100200300?expand=orders")
    assert addressed(request, in_part(1, in_part(1, inside))) == ("PATCH", "/v1/Orders(17)?t=1")
    assert addressed(request, in_part(2, inside)) == ("POST", "/$batch")
    assert addressed(request, in_part(9, inside)) == ("POST", "/$batch")


def test_parts_within_parts_are_looked_into_to_a_bound() -> None:
    body, kind = b'{"id": 1}', "application/json"
    for depth in range(DEPTH_MAX + 2):
        body = multipart(f"B{depth}", ((("Content-Type", kind),), body))
        kind = f"multipart/mixed; boundary=B{depth}"
    assert [item for item in carried_values(asked(body, kind)) if item[0].kind == "multipart"] == []
    assert supplied_values(answered(body, kind)) == {}
