"""PROXY headers are read strictly from any split of the bytes, taken off, and sent on when asked for."""

from __future__ import annotations

import socket
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capture.sources.relay.address import Address
from capture.sources.relay.proxy_protocol import (
    SIGNATURE,
    Proxied,
    ProxyHeaderError,
    encode_v1,
    encode_v2,
    parse_header,
)
from tests.support.relay import relay_thread
from tests.support.stage import listening, read_all, read_exactly

FOUR = Proxied("192.0.2.1", 56324, "198.51.100.7", 443)
SIX = Proxied("2001:db8::1", 56324, "2001:db8::2", 443)


@pytest.mark.parametrize(
    ("proxied", "expected"),
    [
        (FOUR, b"PROXY TCP4 192.0.2.1 198.51.100.7 56324 443\r\n"),
        (SIX, b"PROXY TCP6 2001:db8::1 2001:db8::2 56324 443\r\n"),
        (Proxied(), b"PROXY UNKNOWN\r\n"),
        (Proxied("192.0.2.1", 1, "2001:db8::2", 2), b"PROXY UNKNOWN\r\n"),
    ],
)
def test_a_version_1_header_is_text(proxied: Proxied, expected: bytes) -> None:
    assert encode_v1(proxied) == expected


def test_a_version_2_header_is_binary() -> None:
    addresses = bytes([192, 0, 2, 1, 198, 51, 100, 7]) + struct.pack("!HH", 56324, 443)
    assert encode_v2(FOUR) == SIGNATURE + bytes([0x21, 0x11, 0, 12]) + addresses
    assert encode_v2(Proxied()) == SIGNATURE + bytes([0x20, 0x00, 0, 0])


@given(
    st.sampled_from([FOUR, SIX, Proxied()]), st.sampled_from([encode_v1, encode_v2]), st.binary(max_size=40), st.data()
)
def test_a_header_is_read_back_from_any_split_and_the_rest_is_left(
    proxied: Proxied, encode: object, rest: bytes, data: st.DataObject
) -> None:
    header = encode(proxied)  # type: ignore[operator]
    cut = data.draw(st.integers(0, len(header) - 1))
    assert parse_header(header[:cut]) is None
    assert parse_header(header + rest) == (proxied, len(header))


def test_extensions_of_a_version_2_header_are_passed_over() -> None:
    header = bytearray(encode_v2(FOUR) + b"\x04\x00\x03abc")
    header[15] += 6
    assert parse_header(bytes(header) + b"GET") == (FOUR, len(header))


def test_unknown_with_trailing_words_is_unknown() -> None:
    assert parse_header(b"PROXY UNKNOWN whatever else\r\nGET") == (Proxied(), 29)


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n",
        b"PROXY TCP4 192.0.2.1\r\n",
        b"PROXY TCP4 2001:db8::1 2001:db8::2 1 2\r\n",
        b"PROXY TCP4 192.0.2.1 192.0.2.2 1 70000\r\n",
        b"PROXY TCP4 192.0.2.1 192.0.2.2 1 -2\r\n",
        b"PROXY TCP9 192.0.2.1 192.0.2.2 1 2\r\n",
        b"PROXY " + b"x" * 120,
        SIGNATURE + bytes([0x31, 0x11, 0, 12]) + bytes(12),
        SIGNATURE + bytes([0x21, 0x11, 0, 11]) + bytes(11),
        SIGNATURE + bytes([0x21, 0x11, 0xFF, 0xFF]),
    ],
)
def test_anything_else_is_refused(data: bytes) -> None:
    with pytest.raises(ProxyHeaderError):
        parse_header(data)


@given(st.binary(max_size=300))
def test_garbage_raises_only_its_own_error(data: bytes) -> None:
    try:
        parse_header(data)
        parse_header(SIGNATURE + data)
    except ProxyHeaderError:
        pass


@pytest.mark.net
def test_the_client_is_who_the_header_says_and_the_upstream_does_not_see_it() -> None:
    clients: list[str] = []

    def make_tap(client: str, number: int) -> None:
        clients.append(client)

    with (
        listening() as listener,
        relay_thread(Address(*listener.getsockname()), proxy_in=True, make_tap=make_tap) as relay,
        socket.create_connection(("127.0.0.1", relay.port), timeout=10) as client,
    ):
        for byte in encode_v2(SIX) + b"hello":
            client.sendall(bytes([byte]))
        upstream, _ = listener.accept()
        with upstream:
            assert read_exactly(upstream, 5) == b"hello"
        client.close()
        relay.wait_until(lambda: relay.relay.connections == 0)
    assert clients == ["2001:db8::1"]


@pytest.mark.net
def test_a_connection_without_the_header_is_reset_and_never_reaches_the_upstream() -> None:
    with (
        listening() as listener,
        relay_thread(Address(*listener.getsockname()), proxy_in=True) as relay,
        socket.create_connection(("127.0.0.1", relay.port), timeout=10) as client,
    ):
        client.sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert read_all(client) == (b"", "rst")
        assert relay.relay.counters.accepted == 0


@pytest.mark.net
@pytest.mark.parametrize("version", ["v1", "v2"])
def test_the_upstream_is_told_who_the_client_is(version: str) -> None:
    with (
        listening() as listener,
        relay_thread(Address(*listener.getsockname()), proxy_out=version) as relay,
        socket.create_connection(("127.0.0.1", relay.port), timeout=10) as client,
    ):
        client.sendall(b"hello")
        client.shutdown(socket.SHUT_WR)
        upstream, _ = listener.accept()
        with upstream:
            data, _ = read_all(upstream)
        found = parse_header(data)
        assert found == (Proxied(*client.getsockname(), "127.0.0.1", relay.port), len(data) - 5)


@pytest.mark.net
def test_a_header_that_came_in_is_passed_on_in_the_other_version() -> None:
    with (
        listening() as listener,
        relay_thread(Address(*listener.getsockname()), proxy_in=True, proxy_out="v2") as relay,
        socket.create_connection(("127.0.0.1", relay.port), timeout=10) as client,
    ):
        client.sendall(encode_v1(FOUR) + b"hello")
        client.shutdown(socket.SHUT_WR)
        upstream, _ = listener.accept()
        with upstream:
            assert read_all(upstream) == (encode_v2(FOUR) + b"hello", "fin")
