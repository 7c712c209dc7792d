"""The HTTP/2 observer, fed by python-hyper's h2 on both sides and by frames made by hand."""

from __future__ import annotations

from collections.abc import Callable

import h2.config
import h2.connection
import h2.errors
import hpack
import pytest
import xxhash
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    Frame,
    GoAwayFrame,
    HeadersFrame,
    PushPromiseFrame,
    RstStreamFrame,
    SettingsFrame,
)
from hypothesis import given
from hypothesis import strategies as st

from capture.observe.connection import ConnectionObserver
from capture.observe.http2 import FRAME_BYTES_MAX, PREFACE, STREAMS_MAX
from tests.support.dialogue import Step, exchanges, observe, only, opaque

ASK = [(":method", "GET"), (":scheme", "http"), (":authority", "shop:80"), (":path", "/a?b=c"), ("accept", "*/*")]
POST = [(":method", "POST"), *ASK[1:]]
ANSWER = [(":status", "200"), ("content-type", "text/plain")]


class Pair:
    """A client and a server, and the steps that an observer between them sees."""

    def __init__(self) -> None:
        self.client = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
        self.server = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
        self.steps: list[Step] = []
        self.client.initiate_connection()
        self.server.initiate_connection()
        self.pass_on()

    def pass_on(self) -> None:
        for _ in range(3):
            if data := self.client.data_to_send():
                self.steps.append(("c", data))
                self.server.receive_data(data)
            if data := self.server.data_to_send():
                self.steps.append(("s", data))
                self.client.receive_data(data)


def headers_frame(
    fields: list[tuple[str, str]], stream: int = 1, *, flags: tuple[str, ...] = ("END_HEADERS", "END_STREAM")
) -> bytes:
    frame = HeadersFrame(stream, hpack.Encoder().encode(fields))
    for flag in flags:
        frame.flags.add(flag)
    return frame.serialize()


def data_frame(data: bytes, stream: int = 1, *, end: bool = True, pad: int = 0) -> bytes:
    frame = DataFrame(stream, data)
    if pad:
        frame.flags.add("PADDED")
        frame.pad_length = pad
    if end:
        frame.flags.add("END_STREAM")
    return frame.serialize()


OPEN = PREFACE + SettingsFrame(0).serialize()


def test_a_stream_is_an_exchange() -> None:
    pair = Pair()
    pair.client.send_headers(1, POST)
    pair.client.send_data(1, b"question", end_stream=True)
    pair.pass_on()
    pair.server.send_headers(1, ANSWER)
    pair.server.send_data(1, b"answer", end_stream=True)
    pair.pass_on()
    events = observe(pair.steps)
    exchange = only(events)
    assert (exchange.complete, opaque(events)) == (True, [])
    request, response = exchange.request, exchange.response
    assert (request.method, request.target, request.version) == ("POST", "/a?b=c", "HTTP/2")
    assert request.headers == (("host", "shop:80"), (":scheme", "http"), ("accept", "*/*"))
    assert (request.body, request.body_bytes) == (b"question", 8)
    assert response is not None
    assert (response.status, response.reason, response.version) == (200, "", "HTTP/2")
    assert (response.headers, response.body) == ((("content-type", "text/plain"),), b"answer")


def test_streams_interleave_and_later_heads_use_the_dynamic_table() -> None:
    pair = Pair()
    for stream in (1, 3, 5):
        pair.client.send_headers(stream, [*ASK[:3], (":path", f"/{stream}"), ("x-long", "v" * 50)], end_stream=True)
    pair.pass_on()
    for stream in (5, 1, 3):
        pair.server.send_headers(stream, [*ANSWER, ("x-stream", str(stream))])
    for stream in (3, 5, 1):
        pair.server.send_data(stream, b"%d" % stream, end_stream=True)
    pair.pass_on()
    got = [(e.request.target, e.response and e.response.body, e.complete) for e in exchanges(observe(pair.steps))]
    assert got == [("/3", b"3", True), ("/5", b"5", True), ("/1", b"1", True)]


def test_a_grpc_call_has_its_status_in_the_trailers() -> None:
    pair = Pair()
    pair.client.send_headers(1, [*POST, ("content-type", "application/grpc"), ("te", "trailers")])
    pair.client.send_data(1, b"\0\0\0\0\x02hi", end_stream=True)
    pair.pass_on()
    pair.server.send_headers(1, [(":status", "200"), ("content-type", "application/grpc")])
    pair.server.send_data(1, b"\0\0\0\0\x02ho")
    pair.server.send_headers(1, [("grpc-status", "5"), ("grpc-message", "none")], end_stream=True)
    pair.pass_on()
    response = only(observe(pair.steps)).response
    assert response is not None
    assert (response.body, response.trailers) == (b"\0\0\0\0\x02ho", (("grpc-status", "5"), ("grpc-message", "none")))


def test_a_grpc_failure_without_a_body_is_whole() -> None:
    answer = [(":status", "200"), ("grpc-status", "12")]
    exchange = only(observe([("c", OPEN + headers_frame(POST)), ("s", headers_frame(answer))]))
    assert exchange.complete
    assert exchange.response is not None
    assert exchange.response.headers == (("grpc-status", "12"),)


def test_interim_responses_are_passed_over() -> None:
    early = headers_frame([(":status", "103"), ("link", "x")], flags=("END_HEADERS",))
    exchange = only(observe([("c", OPEN + headers_frame(ASK)), ("s", early + headers_frame(ANSWER))]))
    assert (exchange.complete, exchange.response and exchange.response.status) == (True, 200)


def test_a_header_block_may_go_on_in_continuations() -> None:
    block = hpack.Encoder().encode([*ASK, ("x", "y" * 100)])
    first = HeadersFrame(1, block[:10])
    first.flags.add("END_STREAM")
    last = ContinuationFrame(1, block[20:])
    last.flags.add("END_HEADERS")
    data = OPEN + first.serialize() + ContinuationFrame(1, block[10:20]).serialize() + last.serialize()
    exchange = only(observe([("c", data), ("s", headers_frame(ANSWER))]))
    assert exchange.complete
    assert exchange.request.headers[-1] == ("x", "y" * 100)


def test_padding_is_not_part_of_the_body() -> None:
    answer = headers_frame(ANSWER, flags=("END_HEADERS",)) + data_frame(b"abc", end=False, pad=9) + data_frame(b"d")
    response = only(observe([("c", OPEN + headers_frame(ASK)), ("s", answer)])).response
    assert response is not None
    assert (response.body, response.body_bytes) == (b"abcd", 4)


def test_a_long_body_is_cut_and_its_length_kept() -> None:
    answer = headers_frame(ANSWER, flags=("END_HEADERS",)) + data_frame(b"abc", end=False) + data_frame(b"def")
    exchange = only(observe([("c", OPEN + headers_frame(ASK)), ("s", answer)], body_bytes_max=4))
    response = exchange.response
    assert response is not None
    assert (response.body, response.body_bytes, response.truncated) == (b"abcd", 6, True)
    assert exchange.notes == (f"response body digest: xxh3-128:{xxhash.xxh3_128(b'abcdef').hexdigest()}",)


def test_a_reset_stream_is_incomplete_and_others_go_on() -> None:
    reset = RstStreamFrame(1, error_code=8).serialize()
    second = headers_frame(ASK, 3)
    events = observe([("c", OPEN + headers_frame(ASK) + reset + second), ("s", headers_frame(ANSWER, 3))])
    assert [e.incomplete_reason for e in exchanges(events)] == ["reset", None]


def test_an_answer_before_the_request_ended_and_a_reset_without_error_is_a_cut_request() -> None:
    ask = headers_frame(POST, flags=("END_HEADERS",)) + data_frame(b"ab", end=False)
    answer = headers_frame(ANSWER) + RstStreamFrame(1, error_code=0).serialize()
    exchange = only(observe([("c", OPEN + ask), ("s", answer)]))
    assert (exchange.incomplete_reason, exchange.request.body) == ("request_cut", b"ab")
    assert exchange.response is not None


def test_an_answer_before_the_request_ended_is_right() -> None:
    ask = headers_frame(POST, flags=("END_HEADERS",)) + data_frame(b"ab", end=False)
    exchange = only(observe([("c", OPEN + ask), ("s", headers_frame(ANSWER)), ("c", data_frame(b"c"))]))
    assert (exchange.complete, exchange.request.body) == (True, b"abc")


def test_goaway_ends_what_the_server_did_not_take() -> None:
    ask = OPEN + headers_frame(ASK, 1) + headers_frame(ASK, 3)
    away = GoAwayFrame(0, last_stream_id=1).serialize()
    events = observe([("c", ask), ("s", away + headers_frame(ANSWER, 1))])
    assert [e.incomplete_reason for e in exchanges(events)] == ["goaway", None]


def test_a_push_is_ignored_and_its_compression_followed() -> None:
    encoder = hpack.Encoder()
    push = PushPromiseFrame(1, 2, encoder.encode([*ASK, ("x-pushed", "1")]))
    push.flags.add("END_HEADERS")
    pushed = HeadersFrame(2, encoder.encode(ANSWER), flags=["END_HEADERS", "END_STREAM"])
    answer = HeadersFrame(1, encoder.encode([*ANSWER, ("x-pushed", "1")]), flags=["END_HEADERS", "END_STREAM"])
    data = push.serialize() + pushed.serialize() + answer.serialize()
    exchange = only(observe([("c", OPEN + headers_frame(ASK)), ("s", data)]))
    assert exchange.complete
    assert exchange.response is not None
    assert exchange.response.headers[-1] == ("x-pushed", "1")


def test_a_larger_compression_table_is_followed_once_it_was_allowed() -> None:
    allowed = SettingsFrame(0, settings={SettingsFrame.HEADER_TABLE_SIZE: 65536}).serialize()
    encoder = hpack.Encoder()
    encoder.header_table_size = 65536
    answer = HeadersFrame(1, encoder.encode(ANSWER), flags=["END_HEADERS", "END_STREAM"]).serialize()
    events = observe([("c", PREFACE + allowed + headers_frame(ASK)), ("s", answer)])
    assert (only(events).complete, opaque(events)) == (True, [])
    broken = observe([("c", OPEN + headers_frame(ASK)), ("s", answer)])
    assert (only(broken).incomplete_reason, opaque(broken)) == ("h2_bad_header_block", ["h2_bad_header_block"])


def test_connect_is_an_exchange_and_its_tunnel_is_not_read() -> None:
    ask = headers_frame([(":method", "CONNECT"), (":authority", "h:1")], flags=("END_HEADERS",))
    answer = headers_frame([(":status", "200")], flags=("END_HEADERS",)) + data_frame(b"tunnel", end=False)
    exchange = only(observe([("c", OPEN + ask), ("s", answer), ("c", data_frame(b"more"))]))
    assert (exchange.complete, exchange.request.target, exchange.request.body) == (True, "h:1", b"")


def test_a_server_may_send_its_settings_first() -> None:
    first = SettingsFrame(0, settings={3: 100}).serialize()
    for parts in ([first], [first[n : n + 1] for n in range(len(first))]):
        steps = [*(("s", part) for part in parts), ("c", OPEN + headers_frame(ASK)), ("s", headers_frame(ANSWER))]
        assert only(observe(steps)).complete


@pytest.mark.parametrize("place", range(1, len(OPEN)))
def test_a_server_may_send_its_settings_while_the_client_is_still_opening(place: int) -> None:
    settings = SettingsFrame(0, settings={3: 100}).serialize()
    for parts in ([settings], [settings[:4], settings[4:]]):
        steps = [("c", OPEN[:place]), *(("s", part) for part in parts), ("c", OPEN[place:] + headers_frame(ASK))]
        assert only(observe([*steps, ("s", headers_frame(ANSWER))])).complete


@pytest.mark.parametrize(
    ("ends", "reason"),
    [
        ([("C", b"")], "no_response"),
        ([("S", b"")], "no_response"),
        ([("s", headers_frame(ANSWER, flags=("END_HEADERS",))), ("S", b"")], "response_cut"),
    ],
)
def test_an_early_end_says_how(ends: list[Step], reason: str) -> None:
    assert only(observe([("c", OPEN + headers_frame(ASK)), *ends])).incomplete_reason == reason


def test_a_cut_request_and_a_reset_connection() -> None:
    ask = OPEN + headers_frame(POST, flags=("END_HEADERS",)) + data_frame(b"ab", end=False)
    assert only(observe([("c", ask)])).incomplete_reason == "request_cut"
    assert only(observe([("c", ask)], end="abort")).incomplete_reason == "reset"


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: (FRAME_BYTES_MAX + 1).to_bytes(3, "big") + b"\0\0\0\0\0\1", "frame_too_large"),
        (lambda: b"\0\0\1\0\x08\0\0\0\1\5", "bad_frame"),
        (lambda: b"\0\0\3\4\0\0\0\0\0abc", "bad_frame"),
        (lambda: b"\0\0\1\x09\4\0\0\0\1\x82", "bad_continuation"),
        (lambda: HeadersFrame(3, b"\x82").serialize() + data_frame(b"x", 3), "bad_continuation"),
        (lambda: HeadersFrame(3, b"\xff\xff\xff\xff\xff", flags=["END_HEADERS"]).serialize(), "bad_header_block"),
        (lambda: headers_frame([*ASK, ("x", "y" * 120_000)], 3), "header_block_too_large"),
        (lambda: b"".join(headers_frame(ASK, 3 + 2 * n) for n in range(STREAMS_MAX)), "too_many_streams"),
    ],
)
def test_what_breaks_the_connection_ends_every_stream(make: Callable[[], bytes], reason: str) -> None:
    events = observe([("c", OPEN + headers_frame(ASK) + make()), ("s", headers_frame(ANSWER))])
    assert {e.incomplete_reason for e in exchanges(events)} == {f"h2_{reason}"}
    assert opaque(events) == [f"h2_{reason}"]


def test_a_small_block_that_unpacks_to_a_large_one_is_refused() -> None:
    encoder = hpack.Encoder()
    bomb = encoder.encode([("x", "y" * 4000)]) + encoder.encode([("x", "y" * 4000)]) * 100
    frame = HeadersFrame(3, bomb, flags=["END_HEADERS"]).serialize()
    assert len(frame) < 5000
    assert opaque(observe([("c", OPEN + frame)])) == ["h2_bad_header_block"]


def test_a_request_without_a_method_is_recorded_as_malformed() -> None:
    exchange = only(observe([("c", OPEN + headers_frame([(":path", "/x")])), ("s", headers_frame(ANSWER))]))
    assert exchange.incomplete_reason == "request_bad_pseudo_headers"


def test_a_gap_makes_the_rest_opaque() -> None:
    observer = ConnectionObserver(lambda request, at_ns: 1)
    observer.client_bytes(OPEN + headers_frame(ASK), 1)
    out = observer.gap("server", 10, 2)
    assert (only(out).incomplete_reason, opaque(out)) == ("gap", ["gap"])


def test_bodies_of_all_streams_together_are_bounded() -> None:
    ask = OPEN + b"".join(headers_frame(POST, 1 + 2 * n, flags=("END_HEADERS",)) for n in range(20))
    ask += b"".join(data_frame(b"x" * 100, 1 + 2 * n) for n in range(20))
    got = exchanges(observe([("c", ask)], body_bytes_max=100))
    assert sum(len(e.request.body or b"") for e in got) == 800
    assert {e.request.body_bytes for e in got} == {100}


@given(st.data())
def test_any_split_of_the_bytes_gives_the_same(data: st.DataObject) -> None:
    pair = Pair()
    streams = [1 + 2 * n for n in range(data.draw(st.integers(1, 4)))]
    for stream in streams:
        pair.client.send_headers(stream, POST)
        pair.client.send_data(stream, data.draw(st.binary(max_size=40)), end_stream=True)
    pair.pass_on()
    for stream in data.draw(st.permutations(streams)):
        pair.server.send_headers(stream, ANSWER)
        pair.server.send_data(stream, data.draw(st.binary(max_size=40)), end_stream=data.draw(st.booleans()))
    pair.pass_on()
    whole = observe(pair.steps, tick_ns=0)
    assert len(exchanges(whole)) == len(streams)
    parts: list[Step] = []
    for side, chunk in pair.steps:
        size = data.draw(st.integers(1, 40))
        parts += [(side, chunk[start : start + size]) for start in range(0, len(chunk), size)]
    assert observe(parts, tick_ns=0) == whole


@given(
    st.lists(st.tuples(st.integers(0, 11), st.integers(0, 255), st.integers(0, 7), st.binary(max_size=30)), max_size=8)
)
def test_garbled_frames_never_raise(frames: list[tuple[int, int, int, bytes]]) -> None:
    data = b"".join(
        len(body).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + body
        for kind, flags, stream, body in frames
    )
    observe([("c", OPEN + headers_frame(ASK) + data), ("s", data)])
    observe([("c", OPEN + data), ("s", headers_frame(ANSWER) + data)], end="abort")


def test_the_frames_of_the_helper_are_frames() -> None:
    frame, length = Frame.parse_frame_header(memoryview(data_frame(b"abc"))[:9])
    assert (type(frame), length) == (DataFrame, 3)
    assert h2.errors.ErrorCodes.CANCEL == 8


PART = headers_frame(ANSWER, flags=("END_HEADERS",)) + data_frame(b"ab", end=False)


@pytest.mark.parametrize(
    ("ends", "end", "left_ns"),
    [
        ([("c", RstStreamFrame(1, error_code=8).serialize())], "close", 1003),  # it cancelled the stream
        ([], "left", 1003),
        ([("C", b""), ("S", b"")], "close", 1003),
        ([], "close", 1003),  # the capture ended
        ([], "abort", None),
        ([("s", RstStreamFrame(1, error_code=2).serialize())], "close", None),
        ([("S", b"")], "close", None),
        ([("s", data_frame(b"c", end=True))], "left", None),
    ],
)
def test_when_a_client_left_a_stream_is_known(ends: list[Step], end: str, left_ns: int | None) -> None:
    assert only(observe([("c", OPEN + headers_frame(ASK)), ("s", PART), *ends], end=end)).times.left == left_ns
