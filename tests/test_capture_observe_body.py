"""Bodies by each framing: what belongs to them, what is kept, and what a gap leaves."""

from __future__ import annotations

import pytest

from capture.observe.body import ChunkedBody, CloseBody, LengthBody
from capture.observe.head import Fault


def test_a_counted_body_takes_what_is_its_own() -> None:
    body = LengthBody(10, 5)
    assert (body.feed(b"..abcdefg", 2), body.done, bytes(body.kept)) == (7, True, b"abcde")


def test_nothing_is_kept_beyond_the_cap_and_all_of_it_is_counted() -> None:
    for cap, kept in ((3, b"abc"), (0, b""), (-1, b"")):
        body = CloseBody(cap)
        assert (body.feed(b"abcd", 0), body.feed(b"ef", 0)) == (4, 2)
        assert (bytes(body.kept), body.length, body.done) == (kept, 6, False)


def test_a_chunked_body_stops_behind_its_trailers() -> None:
    data = b"2\r\nab\r\n3\r\ncde\r\n0\r\nT: 1\r\n\r\nGET"
    body = ChunkedBody(10)
    assert (body.feed(data, 0), bytes(body.kept), body.trailers) == (len(data) - 3, b"abcde", (("T", "1"),))
    with pytest.raises(Fault, match="bad_chunk_size"):
        ChunkedBody(10).feed(b"x\r\n", 0)


def test_bytes_missing_inside_are_passed_over() -> None:
    counted = LengthBody(10, 6)
    counted.feed(b"ab", 0)
    assert (counted.skip(3), counted.feed(b"fG", 0), bytes(counted.kept)) == (True, 1, b"abf")
    assert (counted.done, counted.lost, counted.length) == (True, True, 3)
    chunked = ChunkedBody(10)
    chunked.feed(b"6\r\nab", 0)
    assert (chunked.skip(4), chunked.feed(b"\r\n0\r\n\r\n", 0), chunked.done) == (True, 7, True)
    assert CloseBody(10).skip(1000)


def test_where_more_is_missing_than_that_the_place_is_lost() -> None:
    assert not LengthBody(10, 6).skip(7)
    chunked = ChunkedBody(10)
    chunked.feed(b"6\r\nab", 0)
    assert not chunked.skip(5)
    assert not ChunkedBody(10).skip(1)
