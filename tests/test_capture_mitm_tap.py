"""The mitmproxy addon writes flows down as every source does, and never stands in a flow's way."""

from __future__ import annotations

import itertools
from types import SimpleNamespace
from typing import Any

import pytest

from capture.clock import Clock
from capture.exchange import Exchange
from capture.pipeline import Pipeline, pipeline_from_config
from capture.settings import CaptureConfig, RedactConfig
from capture.sources.mitm_tap import MitmTap

_IDS = itertools.count()


def fields(*pairs: tuple[bytes, bytes]) -> Any:
    return SimpleNamespace(fields=pairs, __bool__=lambda: True)


def flow(client: str = "c1", peer: tuple[str, int] | None = ("10.0.0.1", 99)) -> Any:
    """A flow as mitmproxy has it when the request's head is there."""
    request = SimpleNamespace(
        data=SimpleNamespace(method=b"POST", path=b"/a%2Fb?x=1", authority=b""),
        headers=fields((b"Host", b"shop"), (b"X-\xe9", b"\xff")),
        http_version="HTTP/1.1",
        trailers=None,
        raw_content=None,
        host="10.1.1.1",
        port=8000,
        scheme="http",
        stream=False,
    )
    return SimpleNamespace(
        id=f"f{next(_IDS)}",
        request=request,
        response=None,
        error=None,
        websocket=None,
        client_conn=SimpleNamespace(id=client, peername=peer),
    )


def answer(status: int = 200, trailers: Any = None) -> Any:
    return SimpleNamespace(
        status_code=status,
        data=SimpleNamespace(reason=b"OK"),
        http_version="HTTP/1.1",
        headers=fields((b"Content-Type", b"text/plain")),
        trailers=trailers,
        raw_content=None,
        stream=False,
    )


def made(cap: int = 1000, held: int = 1 << 20, sample: float = 1.0) -> tuple[MitmTap, Pipeline, list[Exchange]]:
    taken: list[Exchange] = []
    config = CaptureConfig(redaction_key="k" * 32, sample=sample)
    pipeline = pipeline_from_config(config, RedactConfig(), taken.append)
    return MitmTap(pipeline, Clock(), cap, held), pipeline, taken


def test_a_flow_becomes_an_exchange_with_copies_of_the_streamed_bodies() -> None:
    tap, pipeline, taken = made()
    one = flow()
    tap.client_connected(one.client_conn)
    tap.requestheaders(one)
    assert not tap.quiet
    assert [one.request.stream(piece) for piece in (b"ab", b"c", b"")] == [b"ab", b"c", b""]
    tap.request(one)
    one.response = answer(trailers=fields((b"grpc-status", b"0")))
    tap.responseheaders(one)
    assert [one.response.stream(piece) for piece in (b"hello", b"")] == [b"hello", b""]
    tap.response(one)
    assert tap.quiet
    (record,) = taken
    assert record.source == "mitm"
    assert record.request.method == "POST"
    assert record.request.target == "/a%2Fb?x=1"
    assert record.request.headers == (("Host", "shop"), ("X-\xe9", "\xff"))
    assert (record.request.body, record.request.body_bytes) == (b"abc", 3)
    assert record.response is not None
    assert (record.response.status, record.response.reason, record.response.body) == (200, "OK", b"hello")
    assert record.response.trailers == (("grpc-status", "0"),)
    assert record.server == "10.1.1.1:8000"
    assert record.connection == 1
    assert record.complete
    times = record.times
    assert times.request_end is not None
    assert times.response_start is not None
    assert times.response_end is not None
    assert times.request_start <= times.request_end <= times.response_start <= times.response_end
    assert pipeline.counts.balanced()


def test_bodies_that_were_not_streamed_are_taken_whole() -> None:
    tap, _, taken = made(cap=3)
    one = flow()
    tap.requestheaders(one)
    one.request.raw_content = b"abcdef"
    tap.request(one)
    one.response = answer()
    tap.responseheaders(one)
    one.response.raw_content = b""
    tap.response(one)
    assert (taken[0].request.body, taken[0].request.body_bytes, taken[0].request.truncated) == (b"abc", 6, True)


def test_a_long_body_is_copied_up_to_the_cap_and_passed_whole() -> None:
    tap, _, taken = made(cap=4)
    one = flow()
    tap.requestheaders(one)
    assert one.request.stream(b"abcdef") == b"abcdef"
    assert one.request.stream(b"gh") == b"gh"
    one.response = answer()
    tap.responseheaders(one)
    tap.response(one)
    assert (taken[0].request.body, taken[0].request.body_bytes, taken[0].request.truncated) == (b"abcd", 8, True)


def test_copies_are_bounded_over_all_flows_and_released_at_the_end() -> None:
    tap, _, taken = made(held=5)
    first, second = flow(), flow()
    for one in (first, second):
        tap.requestheaders(one)
        assert one.request.stream(b"abcd") == b"abcd"
        one.response = answer()
        tap.responseheaders(one)
    tap.response(first)
    tap.response(second)
    assert [record.request.truncated for record in taken] == [False, True]
    assert tap.hold(5)


def test_an_http2_authority_stands_first_as_host() -> None:
    tap, _, taken = made()
    one = flow()
    one.request.data.authority = b"shop.example"
    one.request.headers = fields((b"accept", b"*/*"))
    one.request.http_version = "HTTP/2.0"
    tap.requestheaders(one)
    one.response = answer()
    tap.responseheaders(one)
    tap.response(one)
    assert taken[0].request.headers == (("host", "shop.example"), ("accept", "*/*"))
    assert taken[0].request.version == "HTTP/2"


@pytest.mark.parametrize(
    ("answered", "message", "reason"),
    [
        (False, "Client disconnected.", "client_closed"),
        (False, "connection refused", "upstream_failed"),
        (True, "server closed connection", "cut"),
        (True, "Client disconnected.", "client_closed"),
    ],
)
def test_a_flow_that_fails_is_incomplete_with_its_reason(answered: bool, message: str, reason: str) -> None:
    tap, pipeline, taken = made()
    one = flow()
    tap.requestheaders(one)
    if answered:
        one.response = answer()
        tap.responseheaders(one)
    one.error = SimpleNamespace(msg=message)
    tap.error(one)
    assert taken[0].incomplete_reason == reason
    assert (taken[0].times.left is not None) is (reason == "client_closed")
    assert (taken[0].response is not None) is answered
    assert pipeline.counts.incomplete == {reason: 1}
    assert pipeline.counts.balanced()
    assert tap.quiet


def test_what_is_sampled_out_is_streamed_and_not_copied() -> None:
    tap, pipeline, taken = made(sample=0.0)
    one = flow()
    tap.requestheaders(one)
    assert one.request.stream is True
    one.response = answer()
    tap.responseheaders(one)
    assert one.response.stream is True
    tap.response(one)
    assert taken == []
    assert tap.quiet
    assert pipeline.counts.sampled_out == 1


def test_a_flow_that_cannot_be_read_passes_and_is_counted() -> None:
    tap, pipeline, _ = made()
    one = flow()
    one.request.data = None
    tap.requestheaders(one)
    assert one.request.stream is True
    assert pipeline.counts.shed == {"observer_error": 1}
    other = flow()
    tap.requestheaders(other)
    other.response = answer()
    tap.responseheaders(other)
    other.response.data = None
    tap.response(other)
    assert pipeline.counts.shed == {"observer_error": 2}
    assert pipeline.counts.balanced()


def test_flows_of_a_lost_connection_and_those_after_the_drain_are_shed() -> None:
    tap, pipeline, _ = made()
    first, second = flow("c1"), flow("c2")
    tap.requestheaders(first)
    tap.requestheaders(second)
    tap.client_disconnected(first.client_conn)
    tap.abandon_all("drain")
    assert pipeline.counts.shed == {"connection_lost": 1, "drain": 1}
    assert pipeline.in_flight == 0


def test_what_is_not_http_is_opaque_and_not_kept_in_memory() -> None:
    tap, pipeline, _ = made()
    other = SimpleNamespace(messages=[b"x"], websocket=SimpleNamespace(messages=[b"y"]))
    tap.tcp_start(other)
    tap.tcp_message(other)
    assert other.messages == []
    other.messages.append(b"z")
    tap.udp_start(other)
    tap.udp_message(other)
    tap.websocket_start(other)
    tap.websocket_message(other)
    assert other.messages == []
    assert other.websocket.messages == []
    assert pipeline.counts.opaque == 3


def test_an_attempt_to_connect_that_the_end_cut_short_is_not_the_upstreams_failure() -> None:
    tap, pipeline, _ = made()
    server = SimpleNamespace(error="connection cancelled")
    tap.server_connect_error(SimpleNamespace(client=SimpleNamespace(id="c1"), server=server))
    assert pipeline.counts.shed == {"drain": 1}


def test_an_upstream_that_fails_before_a_request_was_read_is_counted_once() -> None:
    tap, pipeline, _ = made()
    one = flow("c1")
    tap.requestheaders(one)
    for client in ("c1", "c2"):
        tap.server_connect_error(
            SimpleNamespace(client=SimpleNamespace(id=client), server=SimpleNamespace(error="refused"))
        )
    assert pipeline.counts.shed == {"upstream_failed": 1}
    assert not tap.quiet
    tap.client_disconnected(one.client_conn)
    assert tap.quiet


def test_an_answer_that_goes_on_when_the_capture_ends_is_kept_as_far_as_it_came() -> None:
    tap, pipeline, taken = made()
    one = flow()
    tap.requestheaders(one)
    one.response = answer()
    tap.responseheaders(one)
    assert one.response.stream(b"data: 1\n\n") == b"data: 1\n\n"
    tap.abandon_all("drain")
    assert taken[0].incomplete_reason == "capture_ended"
    assert taken[0].response is not None
    assert taken[0].response.body == b"data: 1\n\n"
    assert taken[0].times.left is not None
    assert pipeline.counts.incomplete == {"capture_ended": 1}
    assert pipeline.counts.balanced()
    assert tap.quiet
