"""Connections of which something was not seen: gaps, a beginning that was missed, an end that came too early."""

from __future__ import annotations

import pytest

from capture.observe.connection import ConnectionObserver
from capture.observe.events import Opaque
from tests.support.dialogue import Step, exchanges, observe, only, opaque
from tests.support.http1_bytes import CHUNKED_OK, GET, OK, POST


@pytest.mark.parametrize(
    ("steps", "end", "reason"),
    [
        ([("c", POST[:-1])], "close", "request_cut"),
        ([("c", POST[:-1]), ("C", b""), ("S", b"")], "close", "request_cut"),
        ([("c", GET)], "close", "no_response"),
        ([("c", GET), ("S", b"")], "close", "no_response"),
        ([("c", GET), ("s", OK[:9])], "close", "response_cut"),
        ([("c", GET), ("s", OK[:9]), ("S", b"")], "close", "response_cut"),
        ([("c", GET), ("s", OK[:-1]), ("S", b"")], "close", "response_cut"),
        ([("c", GET), ("s", OK[:-1])], "abort", "reset"),
        ([("c", GET)], "abort", "reset"),
        ([("c", POST[:-1])], "abort", "reset"),
    ],
)
def test_a_connection_that_ends_too_early_says_how(steps: list[Step], end: str, reason: str) -> None:
    assert only(observe(steps, end=end)).incomplete_reason == reason


def test_a_gap_inside_a_body_is_passed_over_and_the_next_exchange_survives() -> None:
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n"
    observer = ConnectionObserver(lambda request, at_ns: 1)
    observer.client_bytes(GET, 1)
    out = observer.server_bytes(answer + b"012", 2)
    out += observer.gap("server", 4, 3)
    out += observer.server_bytes(b"789", 4)
    out += observer.client_bytes(GET, 5)
    out += observer.server_bytes(OK, 6)
    first, second = exchanges(out)
    assert (first.incomplete_reason, first.response and first.response.body_bytes) == ("gap", 6)
    assert second.complete


def test_after_a_gap_in_a_head_reading_goes_on_at_the_next_sure_start() -> None:
    observer = ConnectionObserver(lambda request, at_ns: 1)
    observer.client_bytes(GET[:9], 1)
    out = observer.gap("client", 4, 2)
    out += observer.client_bytes(b"st: a\r\n\r\n", 3)
    out += observer.server_bytes(OK, 4)
    out += observer.server_bytes(OK, 5)
    out += observer.client_bytes(POST, 6)
    out += observer.server_bytes(b"what may have held the answer", 7)
    out += observer.client_bytes(b"DELETE /d HT", 8)
    out += observer.client_bytes(b"TP/1.1\r\n\r\n", 9)
    out += observer.server_bytes(b"HTTP/1.", 10)
    out += observer.server_bytes(b"1 204 None\r\n\r\n", 11)
    assert [(exchange.request.method, exchange.incomplete_reason) for exchange in exchanges(out)] == [
        ("POST", "gap"),
        ("DELETE", None),
    ]


def test_what_the_server_said_in_the_middle_of_a_request_may_be_lost_and_the_answer_is_still_its_own() -> None:
    """As an interim answer that the client waited for."""
    observer = ConnectionObserver(lambda request, at_ns: 1)
    out = observer.client_bytes(POST[:-2], 1)
    out += observer.gap("server", 25, 2)
    out += observer.client_bytes(POST[-2:], 3)
    out += observer.server_bytes(OK, 4)
    out += observer.client_bytes(GET, 5)
    out += observer.server_bytes(OK, 6)
    assert [(e.request.method, e.incomplete_reason) for e in exchanges(out)] == [("POST", None), ("GET", None)]


def test_an_answer_that_was_lost_in_the_middle_of_its_request_is_a_gap_and_the_request_is_whole() -> None:
    for behind in (b"", POST):
        observer = ConnectionObserver(lambda request, at_ns: 1)
        out = observer.client_bytes(POST[:-2], 1)
        out += observer.gap("server", 100, 2)
        out += observer.client_bytes(POST[-2:], 3)
        if behind:
            out += observer.gap("server", 100, 4)
            out += observer.client_bytes(behind, 5)
            out += observer.server_bytes(OK, 6)
        out += observer.close(7)
        first, *rest = exchanges(out)
        assert (first.incomplete_reason, first.request.body) == ("gap", POST.rpartition(b"\r\n")[2])
        assert [exchange.complete for exchange in rest] == [True] * bool(behind)
        assert len(out) == 1 + bool(behind)


def test_after_a_gap_among_pipelined_requests_nothing_can_be_paired_for_sure() -> None:
    observer = ConnectionObserver(lambda request, at_ns: 1)
    out = observer.client_bytes(GET + POST, 1)
    out += observer.gap("server", 100, 2)
    out += observer.client_bytes(GET, 3)
    out += observer.server_bytes(OK, 4)
    assert [exchange.incomplete_reason for exchange in exchanges(out)] == ["gap", "gap"]
    assert opaque(out) == ["gap"]


def test_a_connection_joined_in_the_middle_passes_over_the_answer_whose_question_was_not_seen() -> None:
    observer = ConnectionObserver(lambda request, at_ns: 1)
    out = observer.gap("client", 0, 1)
    out += observer.server_bytes(OK, 2)
    out += observer.client_bytes(GET, 3)
    out += observer.server_bytes(OK, 4)
    assert len(out) == 1
    assert only(out).complete


def test_an_answer_to_what_a_gap_has_ended_is_passed_over() -> None:
    observer = ConnectionObserver(lambda request, at_ns: 1)
    out = observer.client_bytes(GET, 1)
    out += observer.gap("client", 0, 2)
    out += observer.server_bytes(OK, 3)
    assert [exchange.incomplete_reason for exchange in exchanges(out)] == ["gap"]
    assert len(out) == 1


def test_tls_that_is_joined_in_the_middle_is_opaque() -> None:
    observer = ConnectionObserver(lambda request, at_ns: 1)
    observer.gap("server", 0, 1)
    assert observer.server_bytes(b"\x17\x03\x03\x00\x10", 2) == [Opaque("tls")]


PART = CHUNKED_OK + b"3\r\nabc\r\n"


@pytest.mark.parametrize(
    ("steps", "end", "left_ns"),
    [
        ([("c", GET), ("s", PART)], "left", 1003),  # a reset by the client
        ([("c", GET), ("s", PART), ("C", b"")], "abort", 1003),  # it ended, and was reset for what still came
        ([("c", GET), ("s", PART), ("C", b""), ("S", b"")], "close", 1003),  # the server noticed that it had ended
        ([("c", GET), ("s", PART)], "close", 1003),  # the capture ended
        ([("c", GET)], "left", 1002),  # a long poll that was given up
        ([("c", GET), ("s", PART)], "abort", None),  # a reset by the server
        ([("c", GET), ("s", PART), ("S", b"")], "close", None),  # the server broke off
        ([("c", GET), ("s", PART), ("S", b""), ("C", b"")], "close", None),
        ([("c", GET), ("S", b"")], "close", None),
        ([("c", GET), ("C", b""), ("s", OK)], "close", None),  # half closed, and answered
        ([("c", GET), ("s", OK)], "left", None),
    ],
)
def test_when_a_client_left_before_the_answer_had_ended_is_known(
    steps: list[Step], end: str, left_ns: int | None
) -> None:
    exchange = only(observe(steps, end=end))
    assert exchange.times.left == left_ns
    assert exchange.complete == (exchange.times.response_end is not None)
