"""Frames between a relay and its scribe: what goes in comes out, however the bytes are split."""

from __future__ import annotations

import socket
import threading

from hypothesis import given
from hypothesis import strategies as st

from capture.exchange import Exchange, Request, Response, Times
from capture.sources.relay.scribe_wire import (
    COUNTS,
    EXCHANGES,
    decode_exchanges,
    encode_exchange,
    exchange_frames,
    frame,
    received,
)

TEXT = st.text(st.characters(max_codepoint=255), max_size=20)
HEADERS = st.lists(st.tuples(TEXT, TEXT), max_size=3).map(tuple)
REQUESTS = st.builds(Request, TEXT, TEXT, TEXT, HEADERS, st.none() | st.binary(max_size=30))
RESPONSES = st.builds(Response, st.integers(100, 599), TEXT, TEXT, HEADERS, st.none() | st.binary(max_size=30))
EXCHANGE = st.builds(
    Exchange,
    st.just(""),
    TEXT,
    st.just("relay"),
    st.floats(0.01, 1),
    REQUESTS,
    st.none() | RESPONSES,
    st.builds(Times, st.integers(0, 1 << 62)),
    st.none() | TEXT,
)


def through(sent: bytes, piece: int) -> list[tuple[bytes, bytes]]:
    """The frames that are read where the bytes come in pieces."""
    ours, theirs = socket.socketpair()
    got: list[tuple[bytes, bytes]] = []
    reading = threading.Thread(target=lambda: got.extend(received(theirs)))
    with theirs:
        reading.start()
        try:
            with ours:
                for start in range(0, len(sent), piece):
                    ours.sendall(sent[start : start + piece])
        finally:
            reading.join(20)
    return got


@given(st.lists(EXCHANGE, min_size=1, max_size=8), st.integers(1, 400))
def test_exchanges_come_out_as_they_went_in_however_the_bytes_are_split(exchanges: list[Exchange], piece: int) -> None:
    sent = b"".join(exchange_frames([encode_exchange(exchange) for exchange in exchanges]))
    frames = through(sent, piece)
    assert {kind for kind, _ in frames} == {EXCHANGES}
    assert [exchange for _, payload in frames for exchange in decode_exchanges(payload)] == exchanges


def test_many_exchanges_are_cut_into_frames_of_about_a_megabyte() -> None:
    body = bytes(100_000)
    exchange = Exchange("", "", "relay", 1.0, Request("GET", "/", "HTTP/1.1", (), body), None, Times(1))
    frames = list(exchange_frames([encode_exchange(exchange)] * 35))
    assert len(frames) == 4
    assert max(map(len, frames)) < 1_300_000
    got = through(b"".join(frames), 1 << 20)
    assert [len(decode_exchanges(payload)) for _, payload in got] == [11, 11, 11, 2]


def test_a_frame_that_was_cut_off_is_not_read() -> None:
    whole = frame(COUNTS, b"abc")
    assert through(whole + whole[:-1], 1000) == [(COUNTS, b"abc")]
