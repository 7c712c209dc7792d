"""Two outcomes, compared from the loudest difference to the quietest."""

from __future__ import annotations

import gzip
from typing import Any

import brotli
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from capture.exchange import Headers, Response
from diff.compare import CompareOptions, Comparison, compare_bodies, compare_outcomes
from diff.difference import MISSING, Difference
from replay.outcome import FAILURE_KINDS, Failure, FailureKind, Outcome

NOW_NS = 1_700_000_000 * 10**9
JSON: Headers = (("Content-Type", "application/json"),)


def answered(body: bytes | None = b"", headers: Headers = (), status: int = 200, **rest: Any) -> Outcome:
    response = Response(status, "OK", "HTTP/1.1", headers, body, **rest)
    return Outcome("build", "current", NOW_NS, NOW_NS, NOW_NS, NOW_NS, response=response)


def failed(kind: FailureKind, detail: str = "") -> Outcome:
    return Outcome("build", "candidate", NOW_NS, NOW_NS, None, NOW_NS, failure=Failure(kind, "connect", detail))


def found(current: Outcome, candidate: Outcome) -> list[tuple[str, Any, str]]:
    return [(d.place, d.path, d.kind) for d in compare_outcomes(current, candidate).differences]


def test_the_same_answer_twice_is_equal() -> None:
    headers: Headers = (("Date", "now"), ("Set-Cookie", "a=1"), *JSON)
    assert compare_outcomes(answered(b"{}", headers), answered(b"{}", headers)) == Comparison()
    assert compare_outcomes(answered(b"{}", headers), answered(b"{}", headers)).verdict == "equal"


@pytest.mark.parametrize("kind", FAILURE_KINDS)
def test_an_answer_against_a_failure_is_the_one_difference(kind: FailureKind) -> None:
    there = compare_outcomes(answered(b"x", status=500), failed(kind, "no route"))
    assert there.differences == (Difference("outcome", (), "type", "answered", kind),)
    assert there.notes == (f"{kind} at connect: no route",)
    back = compare_outcomes(failed(kind), answered(b"x"))
    assert back.differences == (Difference("outcome", (), "type", kind, "answered"),)


def test_two_failures_of_one_kind_are_equal_and_noted() -> None:
    assert compare_outcomes(failed("refused", "x"), failed("refused", "y")) == Comparison(
        notes=("both failed: refused",)
    )


def test_two_failures_of_different_kinds_differ() -> None:
    assert compare_outcomes(failed("refused"), failed("timeout")).differences == (
        Difference("outcome", (), "value", "refused", "timeout"),
    )


def test_a_status_of_another_class_is_the_one_difference() -> None:
    comparison = compare_outcomes(answered(b"{}", JSON), answered(b"oops", (("X", "1"),), status=503))
    assert comparison.differences == (Difference("status", (), "value", 200, 503),)
    assert comparison.notes == ("the statuses are of different classes: headers and bodies are not compared",)


def test_with_statuses_of_one_class_the_rest_is_compared_too() -> None:
    assert found(answered(b'{"a":1}', JSON), answered(b'{"a":2}', JSON, status=201)) == [
        ("status", (), "value"),
        ("body", ("a",), "value"),
    ]


def test_the_reason_phrase_and_the_version_say_nothing() -> None:
    other = Response(200, "Fine", "HTTP/1.0", (), b"")
    assert found(answered(), Outcome("b", "candidate", NOW_NS, NOW_NS, NOW_NS, NOW_NS, response=other)) == []


def test_differences_come_in_a_stable_order() -> None:
    current = answered(b'{"a":1}', (*JSON, ("X", "1"), ("Set-Cookie", "c=1")), trailers=(("t", "1"),))
    candidate = answered(b'{"a":2}', (*JSON, ("X", "2"), ("Set-Cookie", "c=2")), 202, trailers=(("t", "2"),))
    assert [d.place for d in compare_outcomes(current, candidate).differences] == [
        *("status", "header", "cookie", "trailer", "body")
    ]


def test_a_header_cookie_or_trailer_that_only_one_side_has_is_missing_or_extra() -> None:
    current = answered(b"", (("Set-Cookie", "sid=1; Secure"), ("ETag", '"1"')))
    candidate = answered(b"", (("Set-Cookie", "sid=1"),), trailers=(("grpc-status", "0"),))
    assert found(current, candidate) == [
        ("header", ("etag",), "missing"),
        ("cookie", ("sid", "Secure"), "missing"),
        ("trailer", ("grpc-status",), "extra"),
    ]


def test_an_encoding_that_changed_is_a_difference_of_the_header_and_none_of_the_body() -> None:
    body = b'{"a": [1, 2, 3]}'
    current = answered(gzip.compress(body), (*JSON, ("Content-Encoding", "gzip"), ("Content-Length", "36")))
    candidate = answered(brotli.compress(body), (*JSON, ("content-encoding", "br"), ("Content-Length", "20")))
    assert found(current, candidate) == [("header", ("content-encoding",), "value")]
    assert found(current, answered(body, JSON)) == [("header", ("content-encoding",), "missing")]


def test_a_difference_within_encoded_bodies_has_its_exact_place() -> None:
    coded: Headers = (*JSON, ("Content-Encoding", "gzip"))
    current, candidate = (answered(gzip.compress(b'{"a": %d}' % n), coded) for n in (1, 2))
    assert compare_outcomes(current, candidate).differences == (Difference("body", ("a",), "value", 1, 2),)


def test_a_broken_encoding_falls_back_to_the_bytes_as_sent_and_says_so() -> None:
    coded: Headers = (*JSON, ("Content-Encoding", "gzip"))
    comparison = compare_outcomes(answered(gzip.compress(b'{"a":1}'), coded), answered(b"\x00junk", coded))
    assert comparison.differences != ()
    assert comparison.notes[0] == "gzip: broken stream (incorrect header check); compared as sent (right)"


def test_a_bomb_is_a_limit_and_never_equal() -> None:
    coded: Headers = (("Content-Encoding", "gzip"),)
    current = answered(gzip.compress(bytes(20 << 20)), coded)
    candidate = answered(gzip.compress(bytes(20 << 20) + b"!"), coded)
    comparison = compare_outcomes(current, candidate)
    assert comparison.verdict == "inconclusive"
    assert comparison.limits == (
        "gzip: the content is longer than 8388608 bytes (left)",
        "gzip: the content is longer than 8388608 bytes (right)",
    )


def test_lengths_are_compared_where_both_bodies_are_empty() -> None:
    assert found(answered(b"", (("Content-Length", "5"),)), answered(b"", (("Content-Length", "6"),))) == [
        ("header", ("content-length",), "value")
    ]
    assert found(answered(b"x", (("Content-Length", "1"),)), answered(b"x", (("Content-Length", "9"),))) == []


def test_a_body_on_one_side_only() -> None:
    comparison = compare_outcomes(answered(b"{}", JSON), answered(b"", JSON))
    assert comparison.differences == (Difference("body", (), "missing", "{}", MISSING),)


def test_bodies_that_were_not_recorded_are_inconclusive() -> None:
    assert compare_outcomes(answered(None), answered(None)).verdict == "inconclusive"
    assert compare_outcomes(answered(b"x"), answered(None)).limits == ("the body of one side was not recorded",)


def test_bodies_kept_in_part_are_never_equal() -> None:
    cut = answered(b"abc", body_bytes=9, truncated=True)
    same = compare_outcomes(cut, answered(b"abc", body_bytes=9, truncated=True))
    assert (same.verdict, same.limits) == (
        "inconclusive",
        ("a body was kept only in part; the first 3 bytes were compared",),
    )
    longer = compare_outcomes(cut, answered(b"abc", body_bytes=10, truncated=True))
    assert longer.differences == (Difference("body", (), "length", 9, 10),)
    other = compare_outcomes(cut, answered(b"abd", body_bytes=9, truncated=True))
    assert [(d.path, d.kind) for d in other.differences] == [((), "value")]


def test_a_body_of_another_kind_is_one_difference_of_type() -> None:
    current, candidate = answered(b"{}", JSON), answered(b"<html>", (("Content-Type", "text/html"),))
    assert found(current, candidate) == [("header", ("content-type",), "value"), ("body", (), "type")]


def test_another_label_on_the_same_content_is_a_difference_of_the_header_alone() -> None:
    current = answered(b'{"a":1}', JSON)
    assert found(current, answered(b'{ "a":1}', (("Content-Type", "text/html"),))) == [
        ("header", ("content-type",), "value")
    ]


def test_more_differences_than_are_listed_are_a_limit() -> None:
    comparison = compare_bodies(
        b"[%s]" % b",".join(b"%d" % n for n in range(50)),
        b"[%s]" % b",".join(b"%d" % -n for n in range(50)),
        "application/json",
        "application/json",
        CompareOptions(differences_max=10),
    )
    assert len(comparison.differences) == 10
    assert comparison.limits == ("more than 10 differences; the rest are not listed",)


def test_a_body_beyond_the_bound_is_compared_as_bytes_and_says_so() -> None:
    left, right = b"[" + b"1," * 5000 + b"1]", b"[" + b"1," * 5000 + b"2]"
    comparison = compare_bodies(left, right, "application/json", None, CompareOptions(body_bytes_max=10_000))
    assert [(d.path, d.kind) for d in comparison.differences] == [((), "value")]
    assert comparison.limits == ("a body of 10003 bytes is longer than 10000; compared as bytes",)


def test_a_hundred_megabytes_are_compared_without_taking_them_apart() -> None:
    left = b'{"a":1}' + b" " * 100_000_000
    assert compare_bodies(left, left[:-1] + b"\n", "application/json").notes == (
        "compared as bytes; the first that differs is at offset 100000006",
    )


CONTENT_TYPES = [
    *("application/json", "application/x-ndjson", "text/event-stream", "text/html", "application/xml", "text/plain"),
    *("application/x-www-form-urlencoded", "multipart/form-data; boundary=b", "application/x-protobuf"),
    *("application/grpc", "application/msgpack", "image/png", "text/plain; charset=utf-16", "", "\x00;;=,"),
]
PIECES = st.sampled_from(
    [
        *(b"{", b"}", b"[", b"]", b'"', b":", b",", b"<a>", b"</a>", b"<", b"&x;", b"\n", b"\r\n", b"--b", b"--b--"),
        *(b"\xff", b"\x00", b"\x08\x01", b"\x82", b"data: ", b"=", b"a", b"1", b"\xc3\xa9", b"\x1f\x8b", b"<?xml ?>"),
        *(b"<!DOCTYPE a>", b"\x00\x00\x00\x00\x02", b"\n\x02\x08\x01"),
    ]
)
HOSTILE = st.one_of(st.binary(max_size=40), st.lists(PIECES, max_size=14).map(b"".join))


@given(HOSTILE, HOSTILE, st.sampled_from(CONTENT_TYPES), st.sampled_from(CONTENT_TYPES))
def test_no_body_of_any_kind_raises_and_exchanging_sides_keeps_the_verdict(
    left: bytes, right: bytes, left_type: str, right_type: str
) -> None:
    there = compare_bodies(left, right, left_type, right_type)
    back = compare_bodies(right, left, right_type, left_type)
    assert there.verdict == back.verdict
    assert len(there.differences) == len(back.differences)
    if left == right:
        assert there.verdict == "equal"


@given(HOSTILE, HOSTILE, st.sampled_from(["gzip", "br", "zstd", "deflate", "gzip, br", "nonsense"]))
def test_no_outcome_raises(left: bytes, right: bytes, coding: str) -> None:
    headers: Headers = (("Content-Encoding", coding), ("Content-Type", "application/json"))
    there = compare_outcomes(answered(left, headers), answered(right, headers))
    assert there.verdict == compare_outcomes(answered(right, headers), answered(left, headers)).verdict


@pytest.mark.parametrize(
    ("headers", "kept"),
    [
        ((("Connection", "keep-alive"), ("Keep-Alive", "timeout=5")), True),
        ((("connection", "Upgrade, Close"),), False),
        ((("Connection", "close"),), False),
    ],
)
def test_of_the_connection_it_counts_whether_it_is_closed_after_the_answer(headers: Headers, kept: bool) -> None:
    differences = compare_outcomes(answered(b"x", JSON), answered(b"x", (*headers, *JSON))).differences
    expected = () if kept else (Difference("header", ("connection",), "value", "keep-alive", "close"),)
    assert differences == expected


def test_a_kept_connection_that_was_dropped_under_the_request_is_told_beside_the_answer() -> None:
    current, candidate = answered(b"x", JSON), answered(b"y", JSON)
    dropped = msgspec.structs.replace(candidate, attempts=2)
    told = Difference("header", ("connection",), "value", "keep-alive", "dropped")
    assert compare_outcomes(current, msgspec.structs.replace(current, attempts=2)).differences == (told,)
    assert compare_outcomes(current, dropped).differences[0] == told
    assert compare_outcomes(dropped, dropped).differences == ()
