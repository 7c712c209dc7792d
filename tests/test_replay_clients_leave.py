"""Every client can leave an answer that does not end, with what has come of it, and goes on with other requests."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
import uvloop

from capture.clock import Clock
from replay.clients.base import Client, Endpoint, Job, Limits
from replay.clients.h2 import H2Client
from replay.clients.throttle import Throttle
from replay.clients.web import WebClient
from replay.clients.wire import WireClient
from tests.support.h2_server import h2_server
from tests.support.rude import get, rude_server

SHORT = Limits(timeout_ns=200_000_000, first_byte_timeout_ns=200_000_000, body_bytes_max=50_000)
PATIENT = Limits(body_bytes_max=50_000)
_WAIT_S = 20
LOOPS: dict[str, Callable[[Any], Any]] = {"asyncio": asyncio.run, "uvloop": uvloop.run}
CLIENTS: dict[str, Callable[[Endpoint, Limits], Client]] = {
    "wire": lambda endpoint, limits: WireClient(endpoint, limits, Clock()),
    "aiohttp": lambda endpoint, limits: WebClient(endpoint, limits, Clock()),
    "h2": lambda endpoint, limits: H2Client(endpoint, limits, Clock()),
    "throttled": lambda endpoint, limits: Throttle(WireClient(endpoint, limits, Clock()), 1000, 8, Clock()),
}


async def _answer(raw: bytes) -> list[bytes | float | str]:
    chunked = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    match raw.split(b" ")[1]:
        case b"/half":
            return [chunked + b"4\r\nhalf\r\n", "silence"]
        case b"/silence":
            return ["silence"]
        case b"/large":
            return [b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 200_000, "silence"]
        case _:
            return [b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"]


@contextlib.asynccontextmanager
async def client_of(kind: str, limits: Limits) -> AsyncIterator[Client]:
    async with contextlib.AsyncExitStack() as stack:
        if kind == "h2":
            port = (await stack.enter_async_context(h2_server())).port
        else:
            port = (await stack.enter_async_context(rude_server(_answer))).port
        client = CLIENTS[kind](Endpoint("http", "127.0.0.1", port, f"127.0.0.1:{port}"), limits)
        await client.open()
        try:
            yield client
        finally:
            await client.close()


class Listener:
    """A job that is listened to, and what was heard of it."""

    def __init__(self, client: Client, target: str, stays: bool = True) -> None:
        self.ends: list[Job] = []
        self.ended = asyncio.Event()
        self.heard: list[int] = []
        self.something = asyncio.Event()
        self.job = Job(get(target), self._end)
        self.job.stays = stays
        self.job.heard = self._hear
        client.perform(self.job)

    def _end(self, job: Job) -> None:
        self.ends.append(job)
        self.ended.set()

    def _hear(self, _job: Job, body_bytes: int) -> None:
        self.heard.append(body_bytes)
        if body_bytes:
            self.something.set()

    async def until(self, event: asyncio.Event) -> None:
        await asyncio.wait_for(event.wait(), _WAIT_S)


def each(kind: str, loop: str, limits: Limits, test: Callable[[Client], Awaitable[None]]) -> None:
    async def main() -> None:
        async with client_of(kind, limits) as client:
            await test(client)

    LOOPS[loop](main())


pytestmark = [pytest.mark.net, pytest.mark.parametrize("kind", CLIENTS), pytest.mark.parametrize("loop", LOOPS)]


def test_an_answer_that_is_left_is_what_had_come_of_it(kind: str, loop: str) -> None:
    async def test(client: Client) -> None:
        one = Listener(client, "/half")
        await one.until(one.something)
        peeked = client.peek(one.job)
        client.leave(one.job)
        await one.until(one.ended)
        job = one.job
        assert job.left
        assert job.failure is None
        assert job.response == peeked
        assert job.response is not None
        assert (job.response.status, job.response.body, job.response.body_bytes) == (200, b"half", 4)
        assert not job.response.truncated
        assert job.first_byte_ns is not None
        assert job.first_byte_ns <= job.end_ns
        assert one.heard == sorted(one.heard)
        client.leave(job)
        assert client.peek(job) is None
        other = Listener(client, "/ok", stays=False)
        await other.until(other.ended)
        assert other.job.response is not None
        assert other.job.response.body == b"ok"
        assert [len(one.ends), len(other.ends)] == [1, 1]

    each(kind, loop, PATIENT, test)


def test_no_timeout_ends_an_answer_that_is_listened_to(kind: str, loop: str) -> None:
    async def test(client: Client) -> None:
        one, other = Listener(client, "/half"), Listener(client, "/half", stays=False)
        await other.until(other.ended)
        assert other.job.failure is not None
        assert other.job.failure.kind == "timeout"
        assert not one.ends
        client.leave(one.job)
        await one.until(one.ended)
        assert one.job.failure is None

    each(kind, loop, SHORT, test)


def test_an_answer_that_does_not_begin_is_a_timeout_all_the_same(kind: str, loop: str) -> None:
    async def test(client: Client) -> None:
        one = Listener(client, "/silence")
        await one.until(one.ended)
        assert one.job.failure is not None
        assert (one.job.failure.kind, one.job.failure.phase, one.job.left) == ("timeout", "first_byte", False)

    each(kind, loop, SHORT, test)


def test_what_did_not_come_in_time_is_a_timeout_with_its_reason(kind: str, loop: str) -> None:
    async def test(client: Client) -> None:
        silent, half = Listener(client, "/silence"), Listener(client, "/half")
        await half.until(half.something)
        async with asyncio.timeout(_WAIT_S):
            while silent.job.sent_ns is None:  # noqa: ASYNC110  # no client tells when it sends
                await asyncio.sleep(0)
        client.leave(silent.job)  # nothing has come with which it could be left
        assert not silent.ends
        for one, phase in ((silent, "first_byte"), (half, "body")):
            client.leave(one.job, "nothing came")
            await one.until(one.ended)
            failure = one.job.failure
            assert failure is not None
            assert (failure.kind, failure.phase, failure.detail) == ("timeout", phase, "nothing came")
        assert half.job.failure is not None
        assert half.job.failure.partial is not None
        assert half.job.failure.partial.body == b"half"

    each(kind, loop, PATIENT, test)


def test_an_answer_beyond_the_cap_is_left_there(kind: str, loop: str) -> None:
    async def test(client: Client) -> None:
        one = Listener(client, "/large")
        await one.until(one.ended)
        assert one.job.left
        assert one.job.response is not None
        assert one.job.response.status == 200
        other = Listener(client, "/ok", stays=False)
        await other.until(other.ended)
        assert other.job.failure is None

    each(kind, loop, PATIENT, test)
