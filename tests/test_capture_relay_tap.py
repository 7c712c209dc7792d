"""Whatever fails behind the tap, the tap does not raise, the connection goes on, and the counts add up."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from capture.conservation import Conservation
from capture.exchange import Exchange, Request
from capture.pipeline import Pipeline
from capture.pseudonym import Pseudonyms
from capture.redact import Redactor
from capture.sample import Sampler, parse_specs
from capture.settings import RedactConfig
from capture.sources.relay.tap import Capture, ExchangeTap, SkimTap

REQUEST = b"GET /a HTTP/1.1\r\nHost: shop\r\n\r\n"
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"


class Recorder:
    """A pipeline that keeps everything in a list, and raises where it is told to."""

    def __init__(self, kept: bool = True, fail: str = "", sampled: bool = True) -> None:
        self.counts = Conservation()
        self.exchanges: list[Exchange] = []
        self.kept = kept
        self.sampled = sampled
        self.fail = fail
        self.clients: list[str] = []

    def _maybe_fail(self, where: str) -> None:
        if self.fail == where:
            raise RuntimeError(f"injected in {where}")

    def connection_kept(self, client: str, at_ns: int | None = None) -> bool:
        self._maybe_fail("connection_kept")
        return self.kept

    def begin(self, request: Request, client: str, at_ns: int) -> Any:
        self._maybe_fail("begin")
        self.clients.append(client)
        self.counts.seen += 1
        if not self.sampled:
            self.counts.sampled_out += 1
            self.kept = False
            return None
        return object()

    def finish(self, exchange: Exchange, decision: Any) -> None:
        self.exchanges.append(exchange)
        self.counts.kept += 1

    def abandon(self, decision: Any, reason: str) -> None:
        self.counts.shed[reason] += 1

    def opaque(self, reason: str) -> None:
        self._maybe_fail("opaque")
        self.counts.seen += 1
        self.counts.opaque += 1

    def left_out(self, head: bytes, client: str, at_ns: int) -> bool:
        return False

    def skimmed(self, n: int) -> None:
        self._maybe_fail("skimmed")
        self.counts.seen += n
        self.counts.sampled_out += n

    def lost(self, reason: str, n: int = 1) -> None:
        self.counts.seen += n
        self.counts.shed[reason] += n


def capture_with(recorder: Recorder) -> Capture:
    return Capture(recorder, lambda: 7, server="shop:80")


def test_an_exchange_is_recorded_with_its_server_connection_and_times() -> None:
    recorder = Recorder()
    tap = capture_with(recorder).tap("10.0.0.1", 5)
    assert isinstance(tap, ExchangeTap)
    tap.client_bytes(REQUEST, 100)
    tap.server_bytes(ANSWER, 200)
    tap.client_end(300)
    tap.server_end(300)
    tap.close(400)
    (exchange,) = recorder.exchanges
    assert (exchange.server, exchange.connection, exchange.source) == ("shop:80", 5, "relay")
    assert (exchange.times.request_start, exchange.times.response_end) == (100, 200)
    assert recorder.clients == ["10.0.0.1"]


def test_a_connection_that_is_left_out_is_only_counted() -> None:
    recorder = Recorder(kept=False)
    tap = capture_with(recorder).tap("10.0.0.1", 0)
    assert isinstance(tap, SkimTap)
    assert not tap.sees_server
    tap.client_bytes(REQUEST * 3, 100)
    tap.close(200)
    assert (recorder.counts.seen, recorder.counts.sampled_out) == (3, 3)


def test_a_skimmed_connection_that_cannot_be_read_is_opaque_once() -> None:
    recorder = Recorder(kept=False)
    tap = capture_with(recorder).tap("10.0.0.1", 0)
    assert tap is not None
    tap.client_bytes(b"\x16\x03\x01\x02\x00", 100)
    tap.client_bytes(b"\x16\x03\x01\x02\x00", 200)
    assert (recorder.counts.seen, recorder.counts.opaque) == (1, 1)


def test_a_connection_found_to_be_left_out_goes_on_as_a_skim_at_the_next_request(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    recorder = Recorder(sampled=False)
    tap = capture_with(recorder).tap("10.0.0.1", 0)
    assert tap is not None
    head, body = b"POST /a HTTP/1.1\r\nContent-Length: 3\r\n\r\n", b"abc"
    tap.client_bytes(head, 1)
    tap.client_bytes(body, 2)
    monkeypatch.setattr("capture.observe.connection.ConnectionObserver.client_bytes", None)
    tap.client_bytes(head + body, 3)
    tap.client_bytes(head, 4)
    tap.server_bytes(ANSWER, 5)
    tap.close(6)
    assert (recorder.counts.seen, recorder.counts.sampled_out) == (3, 3)


@pytest.mark.parametrize(("kept", "where"), [(True, "connection_kept"), (True, "begin"), (False, "skimmed")])
def test_an_error_in_the_pipeline_turns_the_tap_off_and_is_shed(
    kept: bool, where: str, caplog: pytest.LogCaptureFixture
) -> None:
    recorder = Recorder(kept=kept, fail=where)
    capture = capture_with(recorder)
    tap = capture.tap("10.0.0.1", 0)
    if tap is not None:
        for at_ns in range(5):
            tap.client_bytes(REQUEST, at_ns)
            tap.server_bytes(ANSWER, at_ns)
        tap.close(9)
    assert (recorder.counts.seen, sum(recorder.counts.shed.values())) == (1, 1)
    assert recorder.counts.balanced()
    assert sum(capture.errors.values()) == 1
    assert [record.levelno for record in caplog.records] == [logging.ERROR]


@pytest.mark.parametrize("method", ["client_bytes", "server_bytes", "client_end", "server_end", "abort", "close"])
def test_an_error_in_the_observer_sheds_what_was_under_way(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def explode(*_: object) -> list[Any]:
        raise ValueError("injected")

    recorder = Recorder()
    capture = capture_with(recorder)
    tap = capture.tap("10.0.0.1", 0)
    assert tap is not None
    tap.client_bytes(REQUEST, 1)
    monkeypatch.setattr(f"capture.observe.connection.ConnectionObserver.{method}", explode)
    getattr(tap, method)(*((REQUEST, 2) if method.endswith("bytes") else (2,)))
    monkeypatch.undo()
    tap.server_bytes(ANSWER, 3)
    tap.close(4)
    assert recorder.counts.shed == {"observer_error": 1}
    assert recorder.counts.seen == 1
    assert recorder.exchanges == []


def test_only_the_first_error_of_a_kind_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    capture = capture_with(Recorder(fail="connection_kept"))
    assert [capture.tap("10.0.0.1", number) for number in range(3)] == [None, None, None]
    assert capture.errors == {"sampler_error": 3}
    assert len(caplog.records) == 1


# ---- exchanges that only take a glance


class Reading(Pipeline):
    """The pipeline as it is, but every request has to be read."""

    def left_out(self, head: bytes, client: str, at_ns: int) -> bool:
        return False


OF_U0 = REQUEST[:-2] + b"X-User: u0\r\n\r\n"
OF_U1 = REQUEST[:-2] + b"x-user: u1 \r\n\r\n"
ANSWERS_WITH_TUNNEL = b"HTTP/1.1 101 Switching\r\n\r\nxyz"
SPECS = [("header:x-user",), ("cookie:sid",), ("query:u", "header:x-user"), ("traceparent", "client"), ("client",)]
USERS = [f"u{n}" for n in range(6)]
REQUESTS = st.builds(
    lambda method, user, where, extra: (
        f"{method} /a{'?u=' + user if where == 'query' else ''} HTTP/1.1\r\nHost: shop\r\n"
        + {"header": f"x-USER: {user} \r\n", "cookie": f"Cookie: a=b; sid={user}\r\n"}.get(where, "")
        + extra
    ).encode(),
    st.sampled_from(["GET", "GET", "GET", "HEAD", "POST", "CONNECT", "get"]),
    st.sampled_from(USERS),
    st.sampled_from(["header", "header", "cookie", "query", ""]),
    st.sampled_from(
        [
            "\r\n",
            "\r\n",
            "\r\n",
            "Content-Length: 3\r\n\r\nabc",
            "Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n",
            "content-length : 3\r\n\r\nabc",
            "X: a\nb\r\n\r\n",
            "X: a\r\n b\r\n\r\n",
            "X-User:\r\nX-User: u1\r\n\r\n",
            "Upgrade: w\r\n\r\n",
            "X-Forwarded-For: 10.0.0.3, 10.0.0.9\r\n\r\n",
            "traceparent: 00-0123456789abcdef0123456789abcdef-0123456789abcdef-01\r\n\r\n",
        ]
    ),
)
ANSWERS = st.sampled_from(
    [
        ANSWER,
        ANSWER,
        ANSWER,
        b"HTTP/1.1 204 No Content\r\n\r\n",
        b"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n" + ANSWER,
        b"HTTP/1.1 101 Switching\r\n\r\nxyz",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nhi",
        b"HTTP/1.1 200\r\ncontent-LENGTH: 02\r\n\r\nhi",
        b"HTTP/1.1 200 OK\r\n\r\nuntil the end",
        ANSWER + ANSWER,
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nSet-Cookie: sid=u4\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\nContent-Length: 0\n\n",
    ]
)
TURNS = st.lists(
    st.tuples(REQUESTS, ANSWERS, st.sampled_from(["", "", "", "split", "pipeline", "early", "end"])), max_size=6
)


def dialogue(turns: list[tuple[bytes, bytes, str]]) -> list[tuple[str, bytes]]:
    """Steps of both sides: each turn as it should be, or cut in two, or with its answer after the next request."""
    steps: list[tuple[str, bytes]] = []
    late = b""
    for request, answer, manner in turns:
        cut = len(request) // 2
        steps += [("c", request[:cut]), ("c", request[cut:])] if manner == "split" else [("c", request)]
        if manner == "pipeline":
            late += answer
            continue
        answer, late = late + answer, b""
        half = len(answer) - 1 if manner in ("split", "early") else len(answer)
        steps.append(("s", answer[:half]))
        if manner == "early":
            steps.append(("c", REQUEST))
        if half < len(answer):
            steps.append(("s", answer[half:]))
        if manner == "end":
            steps.append(("S", b""))
    return steps


def played(
    kind: type[Pipeline], specs: tuple[str, ...], steps: list[tuple[str, bytes]], end: str
) -> tuple[object, ...]:
    kept: list[Exchange] = []
    sampler = Sampler(0.4, parse_specs(specs), Pseudonyms(b"k"), trust_forwarded=specs == ("client",), rare_factor=1.5)
    redactor = Redactor(RedactConfig(mode="off"), Pseudonyms(b"k"))
    pipeline = kind(sampler, redactor, lambda exchange: kept.append(exchange))
    tap = Capture(pipeline, lambda: 7, server="shop:80").tap("10.0.0.1", 5)
    assert tap is not None
    for at_ns, (side, data) in enumerate(steps, 100):
        if side == "c":
            tap.client_bytes(data, at_ns)
        elif side == "s":
            tap.server_bytes(data, at_ns)
        else:
            tap.server_end(at_ns)
    (tap.abort if end == "abort" else tap.client_end)(900)
    tap.close(1000)
    assert pipeline.counts.balanced()
    assert pipeline.in_flight == 0
    return pipeline.counts.as_dict(), kept, sampler.fell_back


@given(st.sampled_from(SPECS), TURNS, st.sampled_from(["close", "abort"]))
@example(
    ("header:x-user",), [(REQUEST[:-2] + b"X-User: u0\r\n\r\n", ANSWER, "")] * 3 + [(REQUEST, ANSWER, "end")], "close"
)
@example(("header:x-user",), [(OF_U1, ANSWER, "end"), (OF_U0, ANSWERS_WITH_TUNNEL, "")], "close")
def test_what_only_takes_a_glance_has_the_same_fate_as_what_is_read(
    specs: tuple[str, ...], turns: list[tuple[bytes, bytes, str]], end: str
) -> None:
    steps = dialogue(turns)
    assert played(Pipeline, specs, steps, end) == played(Reading, specs, steps, end)


def test_an_exchange_that_is_left_out_is_not_read() -> None:
    recorder = Recorder()
    recorder.left_out = lambda head, client, at_ns: True  # type: ignore[method-assign]
    tap = capture_with(recorder).tap("10.0.0.1", 5)
    assert isinstance(tap, ExchangeTap)
    for _ in range(20):
        tap.client_bytes(REQUEST, 1)
        tap.server_bytes(ANSWER, 2)
    tap.close(3)
    assert recorder.clients == []
    assert (recorder.counts.seen, recorder.counts.sampled_out) == (20, 20)
