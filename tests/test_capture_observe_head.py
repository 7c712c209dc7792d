"""Heads read strictly, and what is salvaged of those that cannot be."""

from __future__ import annotations

import pytest

from capture.exchange import Request
from capture.observe.head import (
    CHUNKED,
    UNTIL_CLOSE,
    Fault,
    RequestHead,
    ResponseHead,
    explain,
    find_head_end,
    frame_response,
    parse_fields,
    parse_request,
    parse_response,
    salvage,
)


def test_a_request_head_says_how_long_its_body_is() -> None:
    assert parse_request(b"GET /a?b HTTP/1.0\r\nA: b\r\n") == RequestHead(
        Request("GET", "/a?b", "HTTP/1.0", (("A", "b"),)), 0
    )
    assert parse_request(b"PUT * HTTP/1.1\r\ncontent-length:\t7 \r\n").length == 7
    assert parse_request(b"PUT * HTTP/1.1\r\nTRANSFER-ENCODING: Chunked\r\n").length == CHUNKED
    assert parse_request(b"PUT * HTTP/1.1\r\nTransfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n").coded


def test_a_response_head_without_framing_goes_on_until_the_end() -> None:
    head = parse_response(b"HTTP/1.1 404 Not Found \r\nServer: x\r\n")
    assert head == ResponseHead("HTTP/1.1", 404, "Not Found ", (("Server", "x"),), UNTIL_CLOSE)
    assert parse_response(b"HTTP/1.1 200\r\n").reason == ""
    assert parse_response(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n").coded is False


def test_a_faulty_framing_leaves_the_head_readable() -> None:
    head = parse_request(b"PUT / HTTP/1.1\r\nContent-Length: x\r\n")
    assert (head.request.method, head.request.headers, head.fault) == (
        "PUT",
        (("Content-Length", "x"),),
        "bad_content_length",
    )


@pytest.mark.parametrize(
    ("data", "end"), [(b"a\r\n\r\nb", 5), (b"a\n\nb", 3), (b"a\n\r\nb", 4), (b"a\r\n\r", -1), (b"\r\n", -1), (b"", -1)]
)
def test_the_end_of_a_head_is_its_first_empty_line(data: bytes, end: int) -> None:
    assert find_head_end(data) == end


def test_trailer_fields_are_read_like_header_fields() -> None:
    assert parse_fields(b"A: 1\r\nB:2\r\n") == (("A", "1"), ("B", "2"))
    with pytest.raises(Fault, match="space_before_colon"):
        parse_fields(b"A : 1\r\n")


def test_what_is_certain_of_a_malformed_head_is_salvaged() -> None:
    head = salvage(b"GET / HTTP/1.1\nA: 1\r\nB : 2\n C: 3\nno colon\nD: \0\nE:4")
    assert head is not None
    assert (head.request.target, head.request.headers) == ("/", (("A", "1"), ("E", "4")))
    assert salvage(b"no request\nA: 1") is None


def test_more_names_than_are_remembered_are_still_read() -> None:
    for number in range(3000):
        head = parse_request(b"GET / HTTP/1.1\r\nX-%d: y\r\nA: %d\r\n" % (number, number))
        assert head.request.headers == ((f"X-{number}", "y"), ("A", str(number)))


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 200 OK\r\nA: b\r\n",
        b"HTTP/1.1 200 OK\r\nA: b\r\nCONTENT-Length :5\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length:\t 5 \r\nB: c\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 05\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Lengthy: 5\r\n",
        b"HTTP/1.1 200\r\n",
        b"HTTP/1.1 2000 OK\r\n",
    ],
)
def test_framing_alone_is_read_as_in_the_whole_head(head: bytes) -> None:
    try:
        whole = parse_response(head)
    except Fault as fault:
        with pytest.raises(Fault, match=str(fault)):
            frame_response(head)
        return
    framed = frame_response(head)
    assert (framed.status, framed.length, framed.fault) == (whole.status, whole.length, whole.fault)


def test_a_fault_in_the_line_ends_is_named_before_others() -> None:
    assert explain(b"GET / HTTP/1.1\r\n f\r\nA: 1\n\r\n", Fault("obs_fold")) == "bare_lf"
    assert explain(b"GET / HTTP/1.1\r\nA: \r1\r\n\r\n", Fault("control_character")) == "bare_cr"
    assert explain(b"GET / HTTP/1.1\r\n f\r\n\r\n", Fault("obs_fold")) == "obs_fold"
