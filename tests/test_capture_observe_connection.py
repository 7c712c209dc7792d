"""The observer of a connection: what is recognised, and what holds for any bytes split in any way."""

from __future__ import annotations

import h11
import httptools
import pytest
from hypothesis import given
from hypothesis import strategies as st

from capture.observe.connection import ConnectionObserver, recognise
from capture.observe.events import Observed, Opaque
from capture.observe.http2 import PREFACE
from capture.observe.skim import Skim
from tests.support.dialogue import Step, exchanges, observe, only, opaque

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"


@pytest.mark.parametrize(
    ("first", "protocol"),
    [
        (b"GET /", "http1"),
        (b"P", None),
        (b"PO", "http1"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r", None),
        (PREFACE, "http2"),
        (PREFACE + b"\0", "http2"),
        (b"\x16", None),
        (b"\x16\x03\x01", "tls"),
        (b"\x16\x02", "unknown"),
        (b"\0", "unknown"),
        (b"\xff", "unknown"),
        (b"\r\nGET", "http1"),
    ],
)
def test_the_first_bytes_decide(first: bytes, protocol: str | None) -> None:
    assert recognise(first) == protocol


def test_tls_is_opaque_once_and_its_bytes_are_not_looked_at() -> None:
    assert observe([("c", b"\x16"), ("c", b"\x03\x01"), ("s", b"\x16\x03"), ("c", GET)]) == [Opaque("tls")]


def test_a_protocol_in_which_the_server_speaks_first_is_opaque() -> None:
    assert observe([("s", b"220 mail ready\r\n"), ("c", GET), ("s", OK)]) == [Opaque("server_first")]
    assert observe([("s", b"\0"), ("c", GET), ("s", OK)]) == [Opaque("server_first")]


def test_a_connection_without_bytes_is_nothing() -> None:
    assert observe([("C", b""), ("S", b"")]) == []
    assert observe([("c", b""), ("s", b"")], end="abort") == []
    assert observe([("c", b"\r\n\r\n")]) == []


def test_one_that_ends_before_it_is_known_is_opaque() -> None:
    assert observe([("c", b"PRI * HT"), ("C", b"")]) == [Opaque("unknown")]


def test_it_says_when_no_more_bytes_are_needed() -> None:
    observer = ConnectionObserver(lambda request, at_ns: 1)
    assert not observer.opaque
    observer.client_bytes(b"GET / HTTP/1.1\r\nUpgrade: websocket\r\n\r\n", 1)
    assert not observer.opaque
    observer.server_bytes(b"HTTP/1.1 101 Switching Protocols\r\n\r\n", 2)
    assert observer.opaque


# --- properties

_REQUESTS = [
    GET,
    b"\r\n" + GET,
    b"POST /p HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello",
    b"POST /q HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n2  \r\nde\r\n0\r\nT: 1\r\n\r\n",
    b"POST /q HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"HEAD /h HTTP/1.1\r\n\r\n",
    b"CONNECT h:1 HTTP/1.1\r\n\r\n",
    b"GET /u HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n",
    b"POST /e HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\nx",
    b"GET / HTTP/1.1\r\nX: 1\n\r\n",
    b"GET / HTTP/1.1\nX: 1\n\n",
    b"GET / HTTP/1.1\r\nX: 1\r\n f\r\n\r\n",
    b"GET / HTTP/1.1\r\nX : 1\r\n\r\n",
    b"POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
    b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcd",
    b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX\r\n\r\n",
    b"nonsense\x00 \r\n\r\n",
    b"\r",
    b"GET",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0",
]
_RESPONSES = [
    OK,
    b"\r\n" + OK,
    b"HTTP/1.1 100 Continue\r\n\r\n",
    b"HTTP/1.1 204 No Content\r\n\r\n",
    b"HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nA: b\r\n\r\n",
    b"HTTP/1.0 200 OK\r\n\r\nuntil the end",
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
    b"HTTP/1.1 407 No\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
    b"HTTP/1.1 200 OK\nA: b\n\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nz\r\n",
    b"junk",
    b"\r",
]


@st.composite
def dialogues(draw: st.DrawFn) -> list[Step]:
    """Steps in which good and bad messages of both sides follow each other, some cut, some garbled."""
    steps: list[Step] = []
    for _ in range(draw(st.integers(1, 6))):
        side = draw(st.sampled_from("cs"))
        data = b"".join(
            draw(st.lists(st.sampled_from(_REQUESTS if side == "c" else _RESPONSES), min_size=1, max_size=4))
        )
        how = draw(st.integers(0, 9))
        if how == 0:
            data = data[: draw(st.integers(0, len(data)))]
        elif how == 1:
            place = draw(st.integers(0, len(data) - 1))
            data = data[:place] + draw(st.binary(min_size=1, max_size=3)) + data[place + 1 :]
        steps.append((side, data))
    if draw(st.booleans()):
        steps += draw(st.permutations([("C", b""), ("S", b"")]))
    return steps


def _split(draw: st.DrawFn, data: bytes) -> list[bytes]:
    places = sorted(set(draw(st.lists(st.integers(0, len(data)), max_size=12))))
    return [data[start:end] for start, end in zip([0, *places], [*places, len(data)], strict=True)]


@given(st.data(), dialogues(), st.sampled_from(["close", "abort"]), st.sampled_from([1 << 20, 4]))
def test_any_split_of_the_bytes_gives_the_same(data: st.DataObject, steps: list[Step], end: str, cap: int) -> None:
    whole = observe(steps, end=end, body_bytes_max=cap, tick_ns=0)
    parts: list[Step] = []
    for side, chunk in steps:
        parts += [(side, part) for part in _split(data.draw, chunk)] if chunk else [(side, chunk)]
    assert observe(parts, end=end, body_bytes_max=cap, tick_ns=0) == whole
    single = [(side, chunk[n : n + 1]) for side, chunk in steps for n in range(max(1, len(chunk)))]
    assert observe(single, end=end, body_bytes_max=cap, tick_ns=0) == whole


@given(dialogues(), st.data())
def test_a_skim_counts_the_requests_that_an_observer_begins(steps: list[Step], data: st.DataObject) -> None:
    """It does not look at fields that say nothing about the framing, so it may read on where the observer is strict."""
    mine = b"".join(chunk for side, chunk in steps if side == "c")
    if b"CONNECT" in mine or b"PRI" in mine:
        return
    events = observe([("c", mine)])
    begun = len(exchanges(events))
    skim = Skim()
    count = sum(skim.client_bytes(part) for part in _split(data.draw, mine))
    if not opaque(events):
        assert (count, skim.opaque) == (begun, None)
    elif opaque(events) == ["request_head_cut"]:
        assert count == begun
    else:
        assert count >= begun - 1


@given(st.lists(st.tuples(st.sampled_from("csCS"), st.binary(max_size=200)), max_size=8))
def test_garbage_never_raises(steps: list[Step]) -> None:
    observe(steps)
    observe([("c", GET), *steps])
    observe([("c", PREFACE), *steps])
    skim = Skim()
    for side, data in steps:
        if side == "c":
            assert skim.client_bytes(data) >= 0


@given(dialogues(), st.lists(st.tuples(st.integers(0, 5), st.sampled_from(["client", "server"]), st.integers(0, 20))))
def test_gaps_never_raise_and_every_exchange_has_one_end(steps: list[Step], gaps: list[tuple[int, str, int]]) -> None:
    begun: list[int] = []
    observer = ConnectionObserver(lambda request, at_ns: begun.append(1) or len(begun))
    out: list[Observed] = []
    for number, (side, data) in enumerate(steps):
        for place, direction, missing in gaps:
            if place == number:
                out += observer.gap("client" if direction == "client" else "server", missing, number)
        if side in "cs":
            out += (observer.client_bytes if side == "c" else observer.server_bytes)(data, number)
    out += observer.close(99)
    assert len(exchanges(out)) == len(begun)


# --- other readers agree

_names = st.from_regex(r"X-[A-Za-z0-9-]{1,10}", fullmatch=True)
_values = st.from_regex(r"([!-~]([ -~]{0,20}[!-~])?)?", fullmatch=True)
_headers = st.lists(st.tuples(_names, _values), max_size=6)


@st.composite
def messages(draw: st.DrawFn) -> tuple[bytes, bytes, bytes]:
    """(the bytes that follow a start line, the body, how it is framed)."""
    fields = "".join(f"{name}: {value}\r\n" for name, value in draw(_headers)).encode()
    body = draw(st.binary(max_size=300))
    if draw(st.booleans()):
        return b"Host: a\r\n" + fields + b"Content-Length: %d\r\n\r\n" % len(body) + body, body, b"length"
    chunks, rest = b"", body
    while rest:
        size = draw(st.integers(1, len(rest)))
        chunks += b"%x\r\n" % size + rest[:size] + b"\r\n"
        rest = rest[size:]
    return b"Host: a\r\n" + fields + b"Transfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n", body, b"chunked"


class _Listener:
    """Collects what httptools reads."""

    def __init__(self) -> None:
        self.headers: list[tuple[str, str]] = []
        self.body = b""
        self.complete = False

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.decode("latin-1"), value.decode("latin-1")))

    def on_body(self, part: bytes) -> None:
        self.body += part

    def on_message_complete(self) -> None:
        self.complete = True


@given(messages(), messages())
def test_httptools_and_h11_read_the_same(
    asked: tuple[bytes, bytes, bytes], answered: tuple[bytes, bytes, bytes]
) -> None:
    request_bytes = b"POST /x HTTP/1.1\r\n" + asked[0]
    response_bytes = b"HTTP/1.1 200 OK\r\n" + answered[0]
    events = observe([("c", request_bytes), ("s", response_bytes)])
    exchange = only(events)
    assert (exchange.complete, opaque(events)) == (True, [])
    response = exchange.response
    assert response is not None
    for kind, data, mine in (
        (httptools.HttpRequestParser, request_bytes, exchange.request),
        (httptools.HttpResponseParser, response_bytes, response),
    ):
        listener = _Listener()
        kind(listener).feed_data(data)
        assert listener.complete
        assert (tuple(listener.headers), listener.body) == (mine.headers, mine.body)
    for role, data, mine in ((h11.SERVER, request_bytes, exchange.request), (h11.CLIENT, response_bytes, response)):
        connection = h11.Connection(role)
        if role is h11.CLIENT:
            connection.send(h11.Request(method="POST", target="/", headers=[("Host", "a"), ("Content-Length", "0")]))
            connection.send(h11.EndOfMessage())
        connection.receive_data(data)
        body = b""
        while not isinstance(event := connection.next_event(), h11.EndOfMessage):
            assert isinstance(event, h11.Request | h11.Response | h11.Data), event
            if isinstance(event, h11.Data):
                body += bytes(event.data)
        assert body == mine.body
    assert exchange.request.body == asked[1]
    assert response.body == answered[1]
