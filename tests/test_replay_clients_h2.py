"""The HTTP/2 client: streams, trailers, flow control, and every way of not answering."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from capture.clock import Clock
from capture.exchange import Request
from replay.clients.base import Endpoint, Job, Limits
from replay.clients.h2 import H2Client, h2_headers
from tests.support.h2_server import H2Server, h2_server
from tests.support.rude import get, rude_server

pytestmark = pytest.mark.net

LIMITS = Limits(timeout_ns=3_000_000_000, first_byte_timeout_ns=1_500_000_000, body_bytes_max=300_000)


async def perform_all(port: int, requests: Sequence[Request], limits: Limits = LIMITS) -> list[Job]:
    """All requests at once on one client."""
    client = H2Client(Endpoint("h2c", "127.0.0.1", port, f"127.0.0.1:{port}"), limits, Clock())
    await client.open()
    futures: list[asyncio.Future[Job]] = [asyncio.get_running_loop().create_future() for _ in requests]
    for request, future in zip(requests, futures, strict=True):
        client.perform(Job(request, future.set_result))
    try:
        return await asyncio.wait_for(asyncio.gather(*futures), 20)
    finally:
        await client.close()


def ask(*requests: Request, limits: Limits = LIMITS) -> tuple[list[Job], H2Server]:
    async def main() -> tuple[list[Job], H2Server]:
        async with h2_server() as server:
            return await perform_all(server.port, requests, limits), server

    return asyncio.run(main())


def test_a_request_arrives_with_its_fields_and_is_answered() -> None:
    (job,), server = ask(get("/a%2Fb/../x?q=%7E", ("X-A", "1"), ("x-a", "2")))
    assert server.requests[0][0] == [
        (":method", "GET"), (":scheme", "http"), (":authority", "shop.example"), (":path", "/a%2Fb/../x?q=%7E"),
        ("x-a", "1"), ("x-a", "2"),
    ]  # fmt: skip
    assert job.response is not None
    assert (job.response.status, job.response.version, job.response.body) == (200, "HTTP/2", b"ok")
    assert job.response.headers == (("x-a", "1"), ("x-a", "2"))
    assert job.sent_ns is not None
    assert job.first_byte_ns is not None
    assert job.sent_ns <= job.first_byte_ns <= job.end_ns


def test_grpc_goes_with_te_and_comes_back_with_trailers() -> None:
    call = get("/grpc", ("content-type", "application/grpc"), method="POST", body=b"\0\0\0\0\2hi")
    (job,), server = ask(call)
    assert ("te", "trailers") in server.requests[0][0]
    assert job.response is not None
    assert job.response.body == b"\0\0\0\0\2hi"
    assert job.response.trailers == (("grpc-status", "0"), ("grpc-message", "fine"))


def test_many_requests_share_one_connection() -> None:
    jobs, server = ask(*(get(f"/{n}") for n in range(300)))
    assert all(job.response is not None for job in jobs)
    assert server.connections <= 4


def test_bodies_larger_than_the_window_pass_both_ways() -> None:
    upload = get("/large", method="POST", body=b"y" * 400_000)
    (job,), server = ask(upload)
    assert server.requests[0][1] == b"y" * 400_000
    assert job.response is not None
    assert job.response.body_bytes == 200_000


def test_trailers_of_a_request_are_sent() -> None:
    request = Request("POST", "/", "HTTP/1.1", (("Host", "h"),), b"x", 1, False, (("X-Sum", "1"),))
    _, server = ask(request)
    assert server.requests[0][2] == [("x-sum", "1")]


@pytest.mark.parametrize(
    ("path", "kind", "phase"),
    [
        ("/reset", "reset", "first_byte"),
        ("/abort", "reset", "first_byte"),
        ("/garbage", "malformed", "first_byte"),
        ("/silence", "timeout", "first_byte"),
        ("/half", "timeout", "body"),
    ],
)
def test_every_way_of_not_answering_is_one_failure_of_its_kind(path: str, kind: str, phase: str) -> None:
    (job,), _ = ask(get(path))
    assert job.failure is not None
    assert (job.failure.kind, job.failure.phase) == (kind, phase)


def test_a_body_beyond_the_cap_is_too_large_and_the_others_go_on() -> None:
    (large, fine), _ = ask(get("/large"), get("/ok"), limits=Limits(body_bytes_max=1000))
    assert large.failure is not None
    assert large.failure.kind == "too_large"
    assert fine.response is not None


@pytest.mark.parametrize("path", ["/refuse-once", "/go-away-once"])
def test_a_stream_that_the_server_did_not_touch_is_sent_once_more(path: str) -> None:
    (job,), server = ask(get(path))
    assert job.response is not None
    assert (job.attempts, len(server.requests)) == (2, 2)


def test_a_port_nobody_listens_on_is_refused() -> None:
    (job,) = asyncio.run(perform_all(9, [get("/")]))
    assert job.failure is not None
    assert (job.failure.kind, job.failure.phase, job.sent_ns) == ("refused", "connect", None)


def test_an_http1_server_is_malformed_to_it() -> None:
    async def main() -> list[Job]:
        async def answer(_: bytes) -> list[bytes | float | str]:
            return [b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"]

        async with rude_server(answer) as rude:
            return await perform_all(rude.port, [get("/")])

    (job,) = asyncio.run(main())
    assert job.failure is not None
    assert job.failure.kind in ("malformed", "timeout", "reset")


def test_an_absolute_target_becomes_a_path() -> None:
    assert h2_headers(get("http://h/x?y=1"), "http")[3] == (":path", "/x?y=1")
