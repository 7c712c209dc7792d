"""What a build says of its own address is no difference; what it says of another one is."""

from __future__ import annotations

import gzip

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capture.exchange import Exchange, Headers, Request, Response, Times
from diff.address import Address, address_of_recorded, address_of_url, at_home, compare_at_home
from replay.outcome import Outcome

HOME, OWN = Address("127.0.0.1", "8001"), Address("127.0.0.1", "8002")


def answered(body: bytes = b"", headers: Headers = (), trailers: Headers = ()) -> Outcome:
    response = Response(200, "OK", "HTTP/1.1", headers, body, len(body), trailers=trailers)
    return Outcome("candidate", "candidate", 1, 1, 1, 2, response=response)


def body_at_home(body: bytes, own: Address = OWN, home: Address = HOME) -> bytes | None:
    moved = at_home(answered(body), own, home, 1 << 20)
    assert moved.response is not None
    return moved.response.body


@pytest.mark.parametrize(
    ("url", "host", "address"),
    [
        ("http://10.0.0.5:8000/base", None, Address("10.0.0.5", "8000")),
        ("http://Shop.Test:80", None, Address("shop.test")),
        ("https://shop.test:443", None, Address("shop.test")),
        ("https://shop.test:80", None, Address("shop.test", "80")),
        ("http://[::1]:8000", None, Address("[::1]", "8000")),
        ("http://127.0.0.1:8000", "shop.test", Address("shop.test")),
        ("http://127.0.0.1:8000", "shop.test:81", Address("shop.test", "81")),
    ],
)
def test_the_address_of_a_build_is_what_host_tells_it(url: str, host: str | None, address: Address) -> None:
    assert address_of_url(url, host) == address


def test_a_build_behind_a_unix_socket_has_no_address() -> None:
    assert address_of_url("unix:/run/app.sock") is None


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (b'{"next": "http://127.0.0.1:8002/page/2"}', b'{"next": "http://127.0.0.1:8001/page/2"}'),
        (b"http%3A%2F%2F127.0.0.1%3A8002%2F", b"http%3A%2F%2F127.0.0.1%3A8001%2F"),
        (b"username-127-0-0-1-8002=x", b"username-127-0-0-1-8001=x"),
        (b"sid_127_0_0_1_8002", b"sid_127_0_0_1_8001"),
        (b"localhost:8002 is up", b"localhost:8001 is up"),
        (b"127.0.0.1:80021", b"127.0.0.1:80021"),
        (b"1127.0.0.1:8002", b"1127.0.0.1:8002"),
        (b"127-0-0-1:8002", b"127-0-0-1:8002"),
        (b"port 8002", b"port 8002"),
        (b"127.0.0.1:8001", b"127.0.0.1:8001"),
    ],
)
def test_its_own_address_is_found_in_the_spellings_that_services_make_of_it(said: bytes, expected: bytes) -> None:
    assert body_at_home(said) == expected


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (b"<a href='http://candidate/x'>candidate</a>", b"<a href='http://current/x'>candidate</a>"),
        (b"//candidate", b"//current"),
        (b"http://candidate.example/", b"http://candidate.example/"),
        (b"the candidate won", b"the candidate won"),
    ],
)
def test_a_name_of_one_word_is_an_address_only_in_a_url(said: bytes, expected: bytes) -> None:
    assert body_at_home(said, Address("candidate"), Address("current")) == expected


def test_names_with_dots_and_without_a_port_are_found_whole() -> None:
    own, home = Address("my-app.next.test"), Address("my-app.test", "8080")
    assert body_at_home(b"https://my-app.next.test/ my-app-next-test", own, home) == (
        b"https://my-app.test:8080/ my-app-next-test"
    )
    assert body_at_home(b"my-app.next.test.", own, Address("my-app.test")) == b"my-app.test."
    assert body_at_home(b"x.my-app.next.test my-app.next.test2", own, home) == b"x.my-app.next.test my-app.next.test2"


def test_header_fields_and_trailers_are_looked_at_too() -> None:
    outcome = answered(headers=(("Location", "http://127.0.0.1:8002/x"),), trailers=(("X-At", "127.0.0.1:8002"),))
    moved = at_home(outcome, OWN, HOME, 1 << 20)
    assert moved.response is not None
    assert moved.response.headers == (("Location", "http://127.0.0.1:8001/x"),)
    assert moved.response.trailers == (("X-At", "127.0.0.1:8001"),)


def test_a_compressed_body_is_read_and_compressed_again() -> None:
    body = gzip.compress(b'{"self": "http://127.0.0.1:8002/"}')
    moved = at_home(answered(body, (("Content-Encoding", "gzip"),)), OWN, HOME, 1 << 20)
    assert moved.response is not None
    assert gzip.decompress(moved.response.body or b"") == b'{"self": "http://127.0.0.1:8001/"}'


@given(st.binary(max_size=60))
def test_an_answer_that_says_nothing_of_it_is_the_very_same(body: bytes) -> None:
    outcome = answered(body.replace(b"8002", b""))
    assert at_home(outcome, OWN, HOME, 1 << 20) is outcome
    assert at_home(outcome, None, HOME, 1 << 20) is outcome


def test_links_to_itself_are_equal_and_a_link_to_elsewhere_is_a_difference() -> None:
    current = answered(b'{"self": "http://127.0.0.1:8001/a"}')
    assert compare_at_home(current, answered(b'{"self": "http://127.0.0.1:8002/a"}'), OWN, HOME).differences == ()
    elsewhere = compare_at_home(current, answered(b'{"self": "http://127.0.0.1:9999/a"}'), OWN, HOME)
    assert [(one.path, one.kind) for one in elsewhere.differences] == [(("self",), "value")]
    other_path = compare_at_home(current, answered(b'{"self": "http://127.0.0.1:8002/b"}'), OWN, HOME)
    assert [(one.left, one.right) for one in other_path.differences] == [
        ("http://127.0.0.1:8001/a", "http://127.0.0.1:8001/b")
    ]


def test_the_recorded_answer_was_given_at_the_address_of_its_request() -> None:
    request = Request("GET", "/", "HTTP/1.1", (("hOST", "Shop.Example:8443"),))
    exchange = Exchange("1", "s", "relay", 1.0, request, None, Times(1))
    assert address_of_recorded(exchange) == Address("shop.example", "8443")
