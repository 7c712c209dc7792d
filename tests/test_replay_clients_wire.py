"""The byte-exact client: what it puts on the wire, and every way in which a server can fail to answer it."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Coroutine
from typing import Any

import pytest
import uvloop

from capture.clock import Clock
from capture.exchange import Request
from replay.clients.base import Endpoint, Job, Limits
from replay.clients.wire import WireClient, encode_request
from tests.support.rude import get, perform_all, rude_server

pytestmark = pytest.mark.net

LIMITS = Limits(
    timeout_ns=3_000_000_000, first_byte_timeout_ns=1_500_000_000, body_bytes_max=2000, head_bytes_max=10_000
)


@pytest.fixture(params=["asyncio", "uvloop", "uvloop without epoll"])
def run(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Both event loops, since a replay runs on either; and the loop's own transports, where there is no epoll."""
    if request.param == "uvloop without epoll":
        monkeypatch.setattr("replay.clients.wire.can_watch", lambda: False)

    def runner(main: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run(main) if request.param == "asyncio" else uvloop.run(main)

    return runner


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


async def ask(*targets: str, limits: Limits = LIMITS) -> list[Job]:
    async with rude_server() as rude:
        return await perform_all(rude.endpoint, [get(target) for target in targets], limits)


@pytest.mark.parametrize(
    ("target", "kind", "phase"),
    [
        ("/reset", "reset", "first_byte"),
        ("/close", "reset", "first_byte"),
        ("/reset-in-body", "reset", "body"),
        ("/silence", "timeout", "first_byte"),
        ("/stall-in-body", "timeout", "body"),
        ("/garbage", "malformed", "first_byte"),
        ("/bad-status", "malformed", "first_byte"),
        ("/bad-header", "malformed", "first_byte"),
        ("/two-lengths", "malformed", "first_byte"),
        ("/bad-chunk", "malformed", "body"),
        ("/long-chunk", "malformed", "body"),
        ("/cut-in-head", "cut", "body"),
        ("/cut-in-body", "cut", "body"),
        ("/cut-in-chunk", "cut", "body"),
        ("/large", "too_large", "body"),
        ("/large-chunked", "too_large", "body"),
        ("/large-head", "too_large", "first_byte"),
    ],
)
def test_every_way_of_not_answering_is_one_failure_of_its_kind(run: Any, target: str, kind: str, phase: str) -> None:
    (job,) = run(ask(target))
    assert job.response is None
    assert (job.failure.kind, job.failure.phase) == (kind, phase)
    assert job.failure.detail
    assert job.end_ns >= job.sent_ns


def test_what_had_arrived_is_kept_with_the_failure(run: Any) -> None:
    (job,) = run(ask("/cut-in-body"))
    partial = job.failure.partial
    assert (partial.status, partial.body, partial.body_bytes, partial.truncated) == (200, b"half", 10, True)


def test_a_port_nobody_listens_on_is_refused_and_nothing_was_sent(run: Any) -> None:
    endpoint = Endpoint("http", "127.0.0.1", free_port(), "127.0.0.1")
    (job,) = run(perform_all(endpoint, [get("/")], LIMITS))
    assert (job.failure.kind, job.failure.phase, job.sent_ns) == ("refused", "connect", None)


def test_a_name_that_does_not_resolve_is_a_dns_failure(run: Any) -> None:
    patient = Limits(connect_timeout_ns=60_000_000_000)  # a resolver may ask in vain for a while
    (job,) = run(perform_all(Endpoint("http", "nowhere.invalid", 80, "nowhere.invalid"), [get("/")], patient))
    assert (job.failure.kind, job.failure.phase) == ("dns", "connect")


def test_tls_to_a_plain_port_is_a_tls_failure(run: Any) -> None:
    async def main() -> list[Job]:
        async with rude_server() as rude:
            return await perform_all(Endpoint("https", "127.0.0.1", rude.port, "x"), [get("/ok")], LIMITS)

    (job,) = run(main())
    assert job.failure.kind in ("tls", "timeout")
    assert job.failure.phase == "tls"


def test_a_connection_that_is_not_made_in_time_is_a_timeout(run: Any) -> None:
    async def main() -> list[Job]:
        # A listener whose backlog is full answers no further handshake.
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            listener.listen(0)
            address = listener.getsockname()
            blockers = [socket.socket() for _ in range(4)]
            for blocker in blockers:
                blocker.setblocking(False)
                blocker.connect_ex(address)
            try:
                endpoint = Endpoint("http", "127.0.0.1", address[1], "x")
                return await perform_all(endpoint, [get("/")], Limits(connect_timeout_ns=100_000_000))
            finally:
                for blocker in blockers:
                    blocker.close()

    (job,) = run(main())
    assert (job.failure.kind, job.failure.phase) == ("timeout", "connect")


@pytest.mark.parametrize(
    ("target", "body"),
    [
        ("/ok", b"ok"),
        ("/chunked", b"ok"),
        ("/until-close", b"ok until the end"),
        ("/interim", b"ok"),
        ("/drip", b"xxxx"),
    ],
)
def test_answers_are_read_whole_however_they_are_framed(run: Any, target: str, body: bytes) -> None:
    (job,) = run(ask(target))
    assert job.failure is None
    assert (job.response.status, job.response.body) == (200, body)
    assert job.sent_ns <= job.first_byte_ns <= job.end_ns
    assert job.sent_bytes == len(encode_request(get(target)))


def test_trailers_are_kept(run: Any) -> None:
    (job,) = run(ask("/chunked"))
    assert job.response.trailers == (("X-Sum", "1"),)


def test_a_connection_is_used_again(run: Any) -> None:
    jobs = run(ask("/ok", "/chunked", "/ok"))
    assert [job.reused for job in jobs] == [False, True, True]


def test_a_connection_with_more_bytes_than_one_answer_is_not_used_again(run: Any) -> None:
    jobs = run(ask("/more-than-asked", "/ok"))
    assert [job.reused for job in jobs] == [False, False]
    assert jobs[1].response.body == b"ok"


def test_a_kept_connection_that_the_server_closed_is_replaced_once(run: Any) -> None:
    async def main() -> tuple[Job, int]:
        async def answer(head: bytes) -> list[bytes | float | str]:
            # The first request on each connection is answered, the second one meets a closed door.
            seen.append(head)
            return ["close"] if len(seen) == 2 else [b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"]

        seen: list[bytes] = []
        async with rude_server(answer) as rude:
            jobs = await perform_all(rude.endpoint, [get("/"), get("/")], LIMITS)
            return jobs[1], len(rude.received)

    job, connections = run(main())
    assert (job.response.status, job.attempts, job.reused, connections) == (200, 2, False, 2)


def test_a_fresh_connection_that_is_closed_is_not_tried_again(run: Any) -> None:
    (job,) = run(ask("/close"))
    assert job.attempts == 1


def test_no_more_connections_are_opened_than_allowed(run: Any) -> None:
    async def main() -> int:
        async with rude_server() as rude:
            client = WireClient(rude.endpoint, Limits(connections_max=3), Clock())
            await client.open()
            left = 20
            over: asyncio.Future[None] = asyncio.get_running_loop().create_future()

            def done(_job: Job) -> None:
                nonlocal left
                left -= 1
                if not left:
                    over.set_result(None)

            for _ in range(20):
                client.perform(Job(get("/drip"), done))
            await asyncio.wait_for(over, 20)
            await client.close()
            return len(rude.received)

    assert run(main()) == 3


def test_jobs_under_way_end_when_the_client_is_closed(run: Any) -> None:
    async def main() -> list[Job]:
        ended: list[Job] = []
        async with rude_server() as rude:
            client = WireClient(rude.endpoint, Limits(connections_max=1), Clock())
            await client.open()
            client.perform(Job(get("/silence"), ended.append))
            client.perform(Job(get("/ok"), ended.append))
            while not rude.requests:  # noqa: ASYNC110  the server runs in the same loop
                await asyncio.sleep(0.001)
            await client.close()
        return ended

    assert [job.failure.kind for job in run(main())] == ["cut", "refused"]


def test_head_has_no_body_whatever_its_length_says(run: Any) -> None:
    async def main() -> list[Job]:
        async def answer(_: bytes) -> list[bytes | float | str]:
            return [b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n"]

        async with rude_server(answer) as rude:
            return await perform_all(rude.endpoint, [get("/", method="HEAD"), get("/", method="HEAD")], LIMITS)

    jobs = run(main())
    assert [(job.response.body, job.reused) for job in jobs] == [(b"", False), (b"", True)]


@pytest.mark.parametrize(
    ("request_", "wire"),
    [
        (
            Request("GET", "/a%2Fb/../x?q=%7E", "HTTP/1.1", (("hOST", "h"), ("X-A", "1"), ("x-a", "2"), ("X-A", "1"))),
            b"GET /a%2Fb/../x?q=%7E HTTP/1.1\r\nhOST: h\r\nX-A: 1\r\nx-a: 2\r\nX-A: 1\r\n\r\n",
        ),
        (
            Request("GET", "http://h/abs", "HTTP/1.0", (("Host", "h"), ("X", "caf\xe9"))),
            b"GET http://h/abs HTTP/1.0\r\nHost: h\r\nX: caf\xe9\r\n\r\n",
        ),
        (
            Request("POST", "/", "HTTP/1.1", (("Content-Length", "3"),), b"\x00\xff\n", 3),
            b"POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\n\x00\xff\n",
        ),
        (
            Request("POST", "/", "HTTP/1.1", (("Transfer-Encoding", "chunked"),), b"abc", 3, False, (("X-T", "1"),)),
            b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-T: 1\r\n\r\n",
        ),
        (
            Request("POST", "/", "HTTP/1.1", (("Transfer-Encoding", "chunked"),)),
            b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        ),
    ],
)
def test_a_request_is_encoded_byte_for_byte(request_: Request, wire: bytes) -> None:
    assert encode_request(request_) == wire
