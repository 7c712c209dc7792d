"""The HTTP/1 observer: literal dialogues, one for each rule of framing, and properties over any split of the bytes."""

from __future__ import annotations

import pytest
import xxhash

from capture.observe.connection import ConnectionObserver
from capture.observe.events import Finished
from capture.observe.requests import PIPELINE_MAX
from tests.support.dialogue import exchanges, observe, only, opaque
from tests.support.http1_bytes import CHUNKED_OK, CHUNKED_POST, GET, OK, POST


def test_a_get_and_its_answer_are_one_exchange() -> None:
    (finished,) = observe([("c", GET), ("s", OK)])
    assert isinstance(finished, Finished)
    exchange = finished.exchange
    assert exchange.complete
    assert (exchange.request.method, exchange.request.target, exchange.request.version) == ("GET", "/", "HTTP/1.1")
    assert exchange.request.headers == (("Host", "a"),)
    assert exchange.response is not None
    assert (exchange.response.status, exchange.response.reason, exchange.response.body) == (200, "OK", b"hi")
    assert exchange.times == type(exchange.times)(1001, 1001, 1002, 1002)
    assert (exchange.connection, exchange.server, exchange.source, exchange.kept_with) == (7, "h:1", "relay", 1.0)


def test_times_are_those_of_the_first_and_last_byte_of_each_message() -> None:
    steps = [("c", POST[:5]), ("c", POST[5:-1]), ("c", POST[-1:]), ("s", OK[:1]), ("s", OK[1:-1]), ("s", OK[-1:])]
    assert only(observe(steps)).times == type(only(observe(steps)).times)(1001, 1003, 1004, 1006)


def test_header_order_case_repetition_and_high_bytes_are_kept() -> None:
    head = b"GET / HTTP/1.1\r\nHOST:a\r\nx-A: 1\r\nX-a:\t 2 \t\r\nX-B: \xc3\xa9\xff\r\nX-Empty:\r\n\r\n"
    headers = only(observe([("c", head), ("s", OK)])).request.headers
    assert headers == (("HOST", "a"), ("x-A", "1"), ("X-a", "2"), ("X-B", "\xc3\xa9\xff"), ("X-Empty", ""))


@pytest.mark.parametrize(
    ("request_bytes", "response_bytes", "body"),
    [
        (GET, b"HTTP/1.1 204 No Content\r\nContent-Length: 9\r\n\r\n", b""),
        (GET, b"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", b""),
        (b"HEAD / HTTP/1.1\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", b""),
        (b"HEAD / HTTP/1.1\r\n\r\n", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b""),
        (GET, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", b""),
        (GET, b"HTTP/1.1 200\r\nContent-Length: 1\r\n\r\n1", b"1"),
        (GET, b"HTTP/1.0 200 \r\ncontent-length: 1\r\n\r\n1", b"1"),
        (GET, b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n1", b"1"),
        (GET, b"HTTP/1.1 200 OK\r\nContent-Length: 1, 1\r\n\r\n1", b"1"),
        (GET, CHUNKED_OK + b"3\r\nabc\r\n0\r\n\r\n", b"abc"),
        (GET, CHUNKED_OK + b'3;a=b;c="d;e"\r\nabc\r\nA ; x\r\n0123456789\r\n000\r\n\r\n', b"abc0123456789"),
        (GET, CHUNKED_OK + b"3  \r\nabc\r\n0\t\r\n\r\n", b"abc"),
        (GET, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: ,CHUNKED ,\r\n\r\n1\r\na\r\n0\r\n\r\n", b"a"),
        (GET, b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\nLink: x\r\n\r\n" + OK, b"hi"),
        (GET, b"\r\n\r\n" + OK + b"\r\n", b"hi"),
    ],
)
def test_the_end_of_a_response_is_found(request_bytes: bytes, response_bytes: bytes, body: bytes) -> None:
    events = observe([("c", request_bytes), ("s", response_bytes), ("c", GET), ("s", OK)])
    first, second = exchanges(events)
    assert (first.complete, second.complete, opaque(events)) == (True, True, [])
    assert first.response is not None
    assert (first.response.body, first.response.body_bytes) == (body, len(body))
    assert second.response is not None
    assert second.response.body == b"hi"


def test_trailers_are_kept_on_both_sides() -> None:
    events = observe(
        [
            ("c", CHUNKED_POST + b"1\r\na\r\n0\r\nX-Sum: 1\r\n\r\n"),
            ("s", CHUNKED_OK + b"1\r\nb\r\n0\r\nX-One:  2\r\nX-Two: 3\r\n\r\n"),
            ("c", GET),
            ("s", OK),
        ]
    )
    exchange = exchanges(events)[0]
    assert exchange.request.trailers == (("X-Sum", "1"),)
    assert exchange.response is not None
    assert exchange.response.trailers == (("X-One", "2"), ("X-Two", "3"))
    assert all(exchange.complete for exchange in exchanges(events))


def test_a_body_without_length_ends_with_the_connection() -> None:
    answer = b"HTTP/1.0 200 OK\r\n\r\nsome"
    whole = only(observe([("c", GET), ("s", answer), ("s", b" bytes"), ("S", b"")]))
    assert (whole.complete, whole.response and whole.response.body) == (True, b"some bytes")
    cut = only(observe([("c", GET), ("s", answer)], end="abort"))
    assert (cut.incomplete_reason, cut.response and cut.response.body) == ("reset", b"some")


def test_pipelined_requests_pair_in_order() -> None:
    steps = [("c", GET + POST + b"DELETE /d HTTP/1.1\r\n\r\n"), ("s", OK + OK.replace(b"hi", b"ho") + OK)]
    got = [(exchange.request.method, exchange.response and exchange.response.body) for exchange in
           exchanges(observe(steps))]  # fmt: skip
    assert got == [("GET", b"hi"), ("POST", b"ho"), ("DELETE", b"hi")]


def test_a_response_before_the_request_has_ended_is_right() -> None:
    first, second = exchanges(observe([("c", POST[:-1]), ("s", OK), ("c", POST[-1:] + GET), ("s", OK)]))
    assert (first.complete, first.request.body, first.times.request_end) == (True, b"abc", 1003)
    assert (first.times.response_end, second.complete) == (1002, True)


def test_an_early_answer_after_which_the_client_stops_is_a_cut_request() -> None:
    exchange = only(observe([("c", POST[:-1]), ("s", OK), ("S", b""), ("C", b"")]))
    assert (exchange.incomplete_reason, exchange.request.body, exchange.request.body_bytes) == ("request_cut", b"ab", 2)
    assert exchange.response is not None


def test_101_ends_http_and_the_rest_is_opaque() -> None:
    ask = b"GET /ws HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
    events = observe(
        [("c", ask), ("s", b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n\x81\x02hi"), ("c", b"\x81")]
    )
    assert (only(events).complete, opaque(events)) == (True, ["upgrade"])
    response = only(events).response
    assert response is not None
    assert (response.status, response.body) == (101, b"")


def test_an_upgrade_that_is_refused_leaves_http() -> None:
    ask = b"GET /ws HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"
    events = observe([("c", ask), ("s", OK), ("c", GET), ("s", OK)])
    assert ([exchange.complete for exchange in exchanges(events)], opaque(events)) == ([True, True], [])


def test_connect_makes_a_tunnel() -> None:
    ask = b"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n"
    events = observe([("c", ask + GET), ("s", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n\x16\x03\x01")])
    assert (only(events).complete, only(events).request.target, opaque(events)) == (True, "a:443", ["connect"])


def test_behind_a_refused_connect_http_goes_on() -> None:
    ask = b"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n"
    refused = b"HTTP/1.1 407 No\r\nContent-Length: 0\r\n\r\n"
    events = observe([("c", ask), ("c", GET[:9]), ("s", refused), ("c", GET[9:]), ("s", OK)])
    assert [exchange.request.method for exchange in exchanges(events) if exchange.complete] == ["CONNECT", "GET"]


def test_a_transfer_coding_besides_chunked_is_followed_and_noted() -> None:
    answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n1\r\nz\r\n0\r\n\r\n"
    first, second = exchanges(observe([("c", GET), ("s", answer), ("c", GET), ("s", OK)]))
    assert (first.incomplete_reason, second.complete) == ("response_transfer_coding", True)
    until_close = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nzz"
    coded = only(observe([("c", GET), ("s", until_close), ("S", b"")]))
    assert (coded.incomplete_reason, coded.response and coded.response.body) == ("response_transfer_coding", b"zz")


def test_a_half_closed_client_still_gets_its_answer() -> None:
    assert only(observe([("c", GET), ("C", b""), ("s", OK), ("S", b"")])).complete


def test_a_long_body_is_cut_and_its_length_kept() -> None:
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123456789"
    chunked = CHUNKED_OK + b"5\r\n01234\r\n5\r\n56789\r\n0\r\n\r\n"
    for data in (answer, chunked):
        for steps in ([("s", data)], [("s", data[n : n + 1]) for n in range(len(data))]):
            response = only(observe([("c", POST), *steps], body_bytes_max=2)).response
            assert response is not None
            assert (response.body, response.body_bytes, response.truncated) == (b"01", 10, True)
    request = only(observe([("c", POST), ("s", OK)], body_bytes_max=2)).request
    assert (request.body, request.body_bytes, request.truncated) == (b"ab", 3, True)


def test_too_deep_a_pipeline_is_given_up_and_what_was_read_is_still_paired() -> None:
    events = observe([("c", GET * (PIPELINE_MAX + 5)), ("s", OK * PIPELINE_MAX)])
    assert len([exchange for exchange in exchanges(events) if exchange.complete]) == PIPELINE_MAX
    assert opaque(events) == ["pipeline_too_deep"]


def test_what_is_not_sampled_is_followed_without_being_kept() -> None:
    decisions = iter([None, "token", None, None])
    observer = ConnectionObserver(lambda request, at_ns: next(decisions))
    out = observer.client_bytes(POST + GET + POST[:-1], 1)
    out += observer.server_bytes(OK + OK + OK, 2)
    out += observer.client_bytes(POST[-1:] + GET, 3)
    out += observer.server_bytes(CHUNKED_OK + b"1\r\na\r\n0\r\n\r\n", 4)
    out += observer.close(5)
    assert [event.token for event in out if isinstance(event, Finished)] == ["token"]
    assert len(out) == 1


@pytest.mark.parametrize("piece", [1, 3, 1000])
def test_a_body_beyond_the_cap_is_known_by_its_digest_however_it_was_cut(piece: int) -> None:
    whole = bytes(range(250))
    expected = f"xxh3-128:{xxhash.xxh3_128(whole).hexdigest()}"
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nc8\r\n%b\r\n32\r\n%b\r\n0\r\n\r\n"
    counted = b"HTTP/1.1 200 OK\r\nContent-Length: 250\r\n\r\n%b"
    ask = b"POST / HTTP/1.1\r\nContent-Length: 250\r\n\r\n" + whole
    for answer in (chunked % (whole[:200], whole[200:]), counted % whole):
        steps = [("c", ask[start : start + piece]) for start in range(0, len(ask), piece)]
        steps += [("s", answer[start : start + piece]) for start in range(0, len(answer), piece)]
        exchange = only(observe(steps, body_bytes_max=20))
        assert exchange.notes == (f"request body digest: {expected}", f"response body digest: {expected}")
        assert exchange.response is not None
        assert (exchange.response.body, exchange.response.body_bytes) == (whole[:20], 250)
    assert only(observe([("c", ask), ("s", counted % whole)], body_bytes_max=250)).notes == ()


def test_a_body_that_was_not_seen_whole_has_no_digest() -> None:
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 250\r\n\r\n" + bytes(100)
    exchange = only(observe([("c", GET), ("s", answer)], body_bytes_max=20))
    assert (exchange.incomplete_reason, exchange.notes) == ("response_cut", ())
