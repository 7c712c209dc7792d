"""A glance says yes only where the readers find just that, whatever the bytes are."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from capture.observe.connection import ConnectionObserver
from capture.observe.glance import is_simple_request, is_whole_response
from capture.observe.head import Fault, parse_request

LINES = st.lists(
    st.sampled_from(
        [
            b"Host: x",
            b"a:",
            b"A : b",
            b" folded",
            b"X: \x01",
            b"X: \xff",
            b"X: a\nb",
            b"X: a\rb",
            b"no colon",
            b"",
            b"X:\t",
            b"Content-Length: 0",
            b"content-length:2",
            b"Content-Length: 2, 2",
            b"Content-Length: +2",
            b"Content-Length:",
            b"Content-Lengthy: 2",
            b"Transfer-Encoding: chunked",
            b"TRANSFER-encoding:x",
            b"Content-Length: 02",
            b"\xe9: x",
        ]
    ),
    max_size=4,
)


@given(
    st.sampled_from(
        [b"GET / HTTP/1.1", b"POST / HTTP/1.1", b"GET  / HTTP/1.1", b"GET / HTTP/2.0", b"GET /\xff HTTP/1.0"]
    ),
    LINES,
)
def test_a_simple_request_reads_well_and_has_no_body(first: bytes, lines: list[bytes]) -> None:
    data = b"\r\n".join([first, *lines, b"", b""])
    if is_simple_request(data):
        head = parse_request(data[:-2])
        assert (head.request.method, head.length, head.fault) == ("GET", 0, None)
    elif (
        first == b"GET / HTTP/1.1"
        and b"" not in lines
        and not any(b"ontent-" in line or b"-en" in line.lower() for line in lines)
    ):
        with pytest.raises(Fault):
            parse_request(data[:-2])


@given(
    st.sampled_from(
        [b"HTTP/1.1 200 OK", b"HTTP/1.0 404", b"HTTP/1.1 204 No", b"HTTP/1.1 101 S", b"HTTP/2 200 OK", b"HTTP/1.1 2000"]
    ),
    LINES,
    st.sampled_from([b"", b"h", b"hi", b"hiHTTP/1.1 200 OK\r\n\r\n"]),
)
@example(b"HTTP/1.1 200 OK", [b"Content-Length: 2"], b"hi")
def test_a_whole_response_leaves_the_readers_between_two_exchanges(
    first: bytes, lines: list[bytes], body: bytes
) -> None:
    data = b"\r\n".join([first, *lines, b"", body])
    observer = ConnectionObserver(lambda request, at_ns: None)
    assert observer.idle
    observer.pass_over(1)
    assert not observer.idle
    events = observer.server_bytes(data, 2)
    if is_whole_response(data):
        assert observer.idle
        assert events == []


def test_the_usual_request_and_response_are_seen_at_a_glance() -> None:
    assert is_simple_request(b"GET /a?b=c HTTP/1.1\r\nHost: x\r\nX-Empty:\r\n\r\n")
    assert is_whole_response(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nX: y\r\n\r\nhi")


@pytest.mark.parametrize("data", [b"", b"GET", b"GET / HTTP/1.1\r\n", b"GET / HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\n\r\n"])
def test_part_of_a_request_and_more_than_one_are_not_simple(data: bytes) -> None:
    assert not is_simple_request(data)
