"""One exchange as one line of JSON, and back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capture.exchange import Exchange, Request, Response, Times
from capture.log.jsonl import LineError, exchange_of, line_of
from tests.support.log_records import an_exchange

wire = st.text(st.characters(max_codepoint=255), max_size=20)
fields = st.lists(st.tuples(wire, wire), max_size=3).map(tuple)
bodies = st.none() | st.binary(max_size=40)
count = st.integers(0, 1 << 40)
requests = st.builds(Request, wire, wire, wire, fields, bodies, count, st.booleans(), fields)
responses = st.builds(Response, st.integers(0, 999), wire, wire, fields, bodies, count, st.booleans(), fields)
moments = st.integers(0, 1 << 62)
maybe = st.none() | moments
anything = st.builds(
    Exchange,
    st.text(max_size=10),
    st.text(max_size=10),
    st.text(max_size=10),
    st.floats(0.001, 1),
    requests,
    st.none() | responses,
    st.builds(Times, moments, maybe, maybe, maybe),
    st.none() | st.text(max_size=10),
    st.lists(st.text(max_size=10), max_size=2).map(tuple),
    st.integers(-1, 1 << 40),
    st.text(max_size=10),
    st.sampled_from(["http", "https"]),
    st.lists(st.text(max_size=10), max_size=2).map(tuple),
)


@given(anything)
def test_every_exchange_reads_back_from_its_line(exchange: Exchange) -> None:
    line = line_of(exchange)
    assert line.count(b"\n") == 1
    assert exchange_of(line) == exchange


def test_a_line_holds_nothing_that_a_terminal_would_obey_or_hide() -> None:
    """Code points 128 to 159 are controls, in UTF-8 too; others turn the direction of what follows."""
    loud = "".join(map(chr, [*range(0x20), *range(0x80, 0xA0), 0x61C, *range(0x2028, 0x202F), 0x200E, 0x200F, 0x2066]))
    headers = (("X", bytes(range(256)).decode("latin-1")),)
    exchange = Exchange("1", "s", "har", 1.0, Request("GET", "/", "HTTP/1.1", headers), None, Times(1), notes=(loud,))
    line = line_of(exchange)
    text = line.decode().removesuffix("\n")
    assert not set(loud) & set(text)
    assert "\xa0" in text
    assert exchange_of(line) == exchange


def test_little_is_needed_of_a_line_that_was_written_by_hand() -> None:
    found = exchange_of(b'{"request": {"method": "GET", "target": "/"}, "at": "2026-01-31T12:00:00Z", "more": 1}')
    assert found == Exchange(
        "", "", "jsonl", 1.0, Request("GET", "/", "HTTP/1.1", (), None), None, Times(1_769_860_800_000_000_000)
    )


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"", "Input data was truncated"),
        (b"[]", "Expected `object`"),
        (b'{"request": {"method": "GET"}, "at": "2026-01-31T12:00:00Z"}', "missing required field `target`"),
        (b'{"request": {"method": "GET", "target": "/"}}', "neither `times_ns` nor `at`"),
        (b'{"request": {"method": "GET", "target": "/"}, "at": "soon"}', "'soon' is not an RFC 3339 timestamp"),
        (b'{"request": {"method": "GET", "target": "/", "body": "%%"}, "at": "2026-01-31T12:00:00Z"}', "not base64"),
        ('{"request": {"method": "GET", "target": "/\u20ac"}, "at": "2026-01-31T12:00:00Z"}'.encode(), r"U\+00FF"),
        (line_of(an_exchange(0)).replace(b'"kept_with":0.5', b'"kept_with":0'), r"kept_with must be in \(0, 1\]"),
        (b'{"a":' * 100_000, "recursion"),
    ],
)
def test_a_line_that_is_no_exchange_says_why(line: bytes, message: str) -> None:
    with pytest.raises(LineError, match=message):
        exchange_of(line)


@given(st.binary(max_size=100))
def test_garbage_gives_only_our_own_error(line: bytes) -> None:
    with pytest.raises(LineError):
        exchange_of(line)
