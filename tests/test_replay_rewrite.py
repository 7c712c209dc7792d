"""The documented changes to a recorded request, and that there are no others."""

from __future__ import annotations

import gzip

import msgspec
import pytest

from capture.exchange import Exchange, Headers, Request
from replay.rewrite import template
from tests.support.rude import exchange, get

TRACE = "00-11111111111111111111111111111111-2222222222222222-01"
MARKER = (("traceparent", TRACE), ("X-Understudy-Replay", "run/log-0"))


def sent(
    headers: Headers, method: str = "GET", body: bytes = b"", notes: tuple[str, ...] = (), version: str = "HTTP/1.1",
    authority: str | None = "build:1", injected: dict[str, str] | None = None, trailers: Headers = (),
) -> Request:  # fmt: skip
    recorded: Exchange = exchange(
        0, Request(method, "/a%2Fb/../x?q=%7E", version, headers, body, len(body), False, trailers), notes=notes
    )
    return template(recorded).for_build(authority, "run/log-0", TRACE, injected or {}, None)


def test_only_host_marker_and_trace_differ_in_an_ordinary_request() -> None:
    request = sent((("Accept", "*/*"), ("hOsT", "shop"), ("X-A", "1"), ("x-a", "2"), ("X-A", "1")))
    assert request.headers == (
        ("Accept", "*/*"),
        ("hOsT", "build:1"),
        ("X-A", "1"),
        ("x-a", "2"),
        ("X-A", "1"),
        *MARKER,
    )
    assert (request.method, request.target, request.version) == ("GET", "/a%2Fb/../x?q=%7E", "HTTP/1.1")


def test_the_recorded_host_can_be_kept() -> None:
    assert sent((("Host", "shop"),), authority=None).headers[0] == ("Host", "shop")


def test_a_request_without_host_gets_one() -> None:
    assert sent((("Accept", "a"),), version="HTTP/1.0").headers[:2] == (("Host", "build:1"), ("Accept", "a"))


def test_hop_by_hop_headers_are_left_out() -> None:
    headers = (
        ("Host", "h"),
        ("Connection", "Keep-Alive, X-Hop"),
        ("Keep-Alive", "timeout=5"),
        ("X-Hop", "1"),
        ("TE", "trailers"),
        ("Upgrade", "h2c"),
        ("Expect", "100-continue"),
        ("Accept", "*/*"),
    )
    assert sent(headers).headers == (("Host", "build:1"), ("Accept", "*/*"), *MARKER)


def test_connection_cannot_take_host_away() -> None:
    assert sent((("Host", "h"), ("Connection", "host"))).headers[0] == ("Host", "build:1")


def test_the_recorded_traceparent_is_replaced_where_it_stood() -> None:
    request = sent((("Host", "h"), ("TraceParent", "00-old-old-00"), ("A", "b")))
    assert request.headers == (
        ("Host", "build:1"),
        ("TraceParent", TRACE),
        ("A", "b"),
        ("X-Understudy-Replay", "run/log-0"),
    )


def test_a_body_keeps_its_length_header_in_its_place() -> None:
    request = sent((("Host", "h"), ("Content-LENGTH", "3"), ("A", "b")), "POST", b"abc")
    assert request.headers[:3] == (("Host", "build:1"), ("Content-LENGTH", "3"), ("A", "b"))


def test_a_wrong_length_is_made_right_and_a_second_one_left_out() -> None:
    request = sent((("Host", "h"), ("Content-Length", "9"), ("Content-Length", "9")), "POST", b"abc")
    assert request.headers[:2] == (("Host", "build:1"), ("Content-Length", "3"))
    assert [name for name, _ in request.headers].count("Content-Length") == 1


def test_a_body_without_framing_gets_a_length() -> None:
    assert ("Content-Length", "3") in sent((("Host", "h"),), "POST", b"abc", version="HTTP/2").headers


def test_chunked_stays_chunked_with_its_trailers_and_without_a_length() -> None:
    request = sent(
        (("Host", "h"), ("Transfer-Encoding", "gzip, chunked"), ("Content-Length", "3")),
        "POST",
        b"abc",
        trailers=(("X-T", "1"),),
    )
    assert request.headers == (("Host", "build:1"), ("Transfer-Encoding", "chunked"), *MARKER)
    assert request.trailers == (("X-T", "1"),)


@pytest.mark.parametrize(
    ("recorded", "still_coded", "kept"),
    [
        (["Chunked"], False, ["Chunked"]),
        (["gzip, chunked"], False, ["chunked"]),
        (["gzip, chunked"], True, ["gzip, chunked"]),
        (["gzip", "chunked"], True, ["gzip", "chunked"]),
        (["gzip"], True, ["chunked"]),
        (["chunked, gzip", ""], True, ["chunked"]),
    ],
)
def test_transfer_codings_stay_where_the_body_still_has_them_and_the_last_is_chunked(
    recorded: list[str], still_coded: bool, kept: list[str]
) -> None:
    headers = [("Transfer-Encoding", value) for value in recorded]
    captured = exchange(0, get("/", *headers, method="POST", body=b"abc"))
    if still_coded:
        captured = msgspec.structs.replace(captured, incomplete_reason="request_transfer_coding")
    request = template(captured).request
    assert [value for name, value in request.headers if name == "Transfer-Encoding"] == kept
    assert request.body == b"abc"


def test_a_body_that_redaction_decoded_is_encoded_again() -> None:
    headers = (("Host", "h"), ("Content-Encoding", "gzip"), ("Content-Length", "99"))
    request = sent(headers, "POST", b"plain text", notes=("request body decoded: gzip",))
    assert request.body is not None
    assert gzip.decompress(request.body) == b"plain text"
    assert request.headers[1:3] == (("Content-Encoding", "gzip"), ("Content-Length", str(len(request.body))))


def test_a_coding_that_cannot_be_made_again_is_not_claimed() -> None:
    headers = (("Host", "h"), ("Content-Encoding", "compress"), ("Content-Length", "10"))
    request = sent(headers, "POST", b"plain text", notes=("request body decoded: compress",))
    assert request.body == b"plain text"
    assert request.headers == (("Host", "build:1"), ("Content-Length", "10"), *MARKER)


def test_an_encoded_body_that_nobody_decoded_is_sent_as_it_was() -> None:
    headers = (("Host", "h"), ("Content-Encoding", "gzip"), ("Content-Length", "3"))
    assert sent(headers, "POST", b"\x1f\x8b\x00", notes=("response body decoded: gzip",)).body == b"\x1f\x8b\x00"


def test_injected_headers_take_the_place_of_recorded_ones_or_come_last() -> None:
    request = sent(
        (("Host", "h"), ("authorization", "old"), ("A", "b"), ("Authorization", "second")),
        injected={"Authorization": "Bearer new", "X-Env": "test"},
    )
    assert request.headers == (
        ("Host", "build:1"), ("authorization", "Bearer new"), ("A", "b"), *MARKER, ("X-Env", "test"),
    )  # fmt: skip


def test_http2_requests_become_http11_with_one_cookie_header() -> None:
    request = sent(
        ((":method", "GET"), (":authority", "shop"), ("cookie", "a=1"), ("accept", "*/*"), ("cookie", "b=2")),
        version="HTTP/2",
    )
    assert request.version == "HTTP/1.1"
    assert request.headers == (("Host", "build:1"), ("cookie", "a=1; b=2"), ("accept", "*/*"), *MARKER)
