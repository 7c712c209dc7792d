"""The record: it reads back from MessagePack, old readers and new writers get along, wire text keeps its bytes."""

from __future__ import annotations

import msgpack
import msgspec
from hypothesis import given
from hypothesis import strategies as st

from capture.exchange import Exchange, Request, Response, Times, header, headers_named

_LATIN = st.text(st.characters(max_codepoint=255))
_HEADERS = st.lists(st.tuples(_LATIN, _LATIN), max_size=5).map(tuple)
_TIME = st.none() | st.integers(0, 2**62)
EXCHANGES = st.builds(
    Exchange,
    id=st.text(max_size=20),
    session=st.text(max_size=16),
    source=st.sampled_from(["relay", "sniff", "har"]),
    kept_with=st.floats(0.001, 1.0),
    request=st.builds(
        Request, _LATIN, _LATIN, st.just("HTTP/1.1"), _HEADERS, st.none() | st.binary(), st.integers(0, 2**40)
    ),
    response=st.none() | st.builds(Response, st.integers(100, 999), _LATIN, st.just("HTTP/1.1"), _HEADERS, st.binary()),
    times=st.builds(Times, st.integers(0, 2**62), _TIME, _TIME, _TIME),
    incomplete_reason=st.none() | st.just("reset"),
    redacted=st.lists(st.text(), max_size=2).map(tuple),
)


@given(EXCHANGES)
def test_an_exchange_reads_back_from_messagepack(exchange: Exchange) -> None:
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(exchange), type=Exchange) == exchange


@given(EXCHANGES)
def test_the_plain_messagepack_package_reads_what_is_written(exchange: Exchange) -> None:
    values = msgpack.unpackb(msgspec.msgpack.encode(exchange))
    assert values[0] == exchange.id
    assert values[4][1] == exchange.request.target


def test_a_record_of_an_earlier_minor_version_reads_with_defaults_and_a_later_one_without_its_new_fields() -> None:
    whole = msgspec.to_builtins(
        Exchange("i", "s", "relay", 1.0, Request("GET", "/", "HTTP/1.1", ()), None, Times(1)), builtin_types=(bytes,)
    )
    earlier = msgspec.msgpack.decode(msgpack.packb(whole[:7]), type=Exchange)
    assert earlier.connection == -1
    later = msgspec.msgpack.decode(msgpack.packb([*whole, "a field from the future"]), type=Exchange)
    assert later.id == "i"


def test_wire_text_is_the_bytes_of_the_wire() -> None:
    raw = bytes(range(256))
    assert raw.decode("latin-1").encode("latin-1") == raw


def test_a_header_is_found_in_any_case_and_all_its_values_in_order() -> None:
    headers = (("Set-Cookie", "a=1"), ("X-Id", "7"), ("set-cookie", "b=2"))
    assert header(headers, "x-iD") == "7"
    assert header(headers, "none") is None
    assert headers_named(headers, "SET-COOKIE") == ["a=1", "b=2"]


def test_an_exchange_is_complete_unless_it_says_why_not() -> None:
    exchange = Exchange("i", "s", "relay", 1.0, Request("GET", "/", "HTTP/1.1", ()), None, Times(1))
    assert exchange.complete
    assert not msgspec.structs.replace(exchange, incomplete_reason="reset").complete
