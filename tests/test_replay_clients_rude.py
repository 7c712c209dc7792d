"""One suite for all clients: whatever a server does, a request ends once, with an answer or a failure of its kind."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import uvloop
from hyperframe.frame import (
    DataFrame,
    Frame,
    GoAwayFrame,
    HeadersFrame,
    RstStreamFrame,
    SettingsFrame,
)

from capture.clock import Clock
from capture.exchange import Request
from replay.clients.base import Client, Endpoint, Job, Limits
from replay.clients.h2 import H2Client
from replay.clients.web import WebClient
from replay.clients.wire import WireClient
from tests.support.rude import get

pytestmark = pytest.mark.net

LIMITS = Limits(
    timeout_ns=3_000_000_000, first_byte_timeout_ns=1_500_000_000, connect_timeout_ns=2_000_000_000,
    body_bytes_max=5000, head_bytes_max=8000,
)  # fmt: skip
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@contextlib.asynccontextmanager
async def serving(*steps: bytes | str | float) -> AsyncIterator[int]:
    """Reads one head, then does the steps: bytes are sent, a number waits, "reset" ends it, "hold" keeps it open.

    "accepted" as the first step does not even read; "endless" sends the step before it for ever.
    """
    tasks: set[asyncio.Task[None]] = set()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await perform(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError, RuntimeError):
            pass  # the client or the test is done with this connection
        finally:
            tasks.discard(task)
            writer.close()

    async def perform(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if steps[0] != "accepted":
            await reader.readuntil(b"\r\n\r\n")
        for index, step in enumerate(steps):
            if isinstance(step, bytes):
                writer.write(step)
                await writer.drain()
            elif isinstance(step, float):
                await asyncio.sleep(step)
            elif step == "hold":
                while await reader.read(65536):
                    pass
            elif step == "endless":
                piece = steps[index - 1]
                assert isinstance(piece, bytes)
                while not writer.transport.is_closing():
                    writer.write(piece)
                    await writer.drain()
                    await asyncio.sleep(0.001)
            elif step == "reset":
                sock = writer.get_extra_info("socket")
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                writer.transport.abort()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0)


async def ended(client: Client, request: Request) -> str:
    """How the request ended, as one word; a second end, or none, is an error."""
    first: asyncio.Future[Job] = asyncio.get_running_loop().create_future()
    jobs: list[Job] = []

    def done(job: Job) -> None:
        jobs.append(job)
        if not first.done():
            first.set_result(job)

    await client.open()
    try:
        client.perform(Job(request, done))
        job = await asyncio.wait_for(first, 10)
        await asyncio.sleep(0)
    finally:
        await client.close()
    assert len(jobs) == 1
    assert (job.failure is None) != (job.response is None)
    if job.failure is not None:
        assert job.failure.detail
        return job.failure.kind
    assert job.response is not None
    return f"{job.response.status} {(job.response.body or b'').decode()}".strip()


UPLOAD = get("/", ("Content-Length", "2000000"), method="POST", body=b"x" * 2_000_000)
HTTP1: dict[str, tuple[tuple[bytes | str | float, ...], str]] = {
    "an answer before the body is read, then the end": ((b"HTTP/1.1 413 No\r\nContent-Length: 2\r\n\r\nno",), "413 no"),
    "an answer before the body is read, then a reset": (
        (b"HTTP/1.1 413 No\r\nContent-Length: 2\r\n\r\nno", 0.05, "reset"),
        "413 no",
    ),
    "100 and then the answer": ((b"HTTP/1.1 100 Continue\r\n\r\n", 0.01, OK, "hold"), "200 ok"),
    "two thousand interim answers": ((b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" * 2000, OK, "hold"), "200 ok"),
    "interim answers without end": ((b"HTTP/1.1 102 Processing\r\n\r\n", "endless"), "timeout"),
    "204": ((b"HTTP/1.1 204 No Content\r\n\r\n", "hold"), "204"),
    "204 with a length": ((b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n", "hold"), "204"),
    "304 with a length": ((b'HTTP/1.1 304 Not Modified\r\nContent-Length: 500\r\nETag: "a"\r\n\r\n', "hold"), "304"),
    "a body until the end": ((b"HTTP/1.1 200 OK\r\n\r\nabc",), "200 abc"),
    "HTTP/1.0": ((b"HTTP/1.0 200 OK\r\n\r\nabc",), "200 abc"),
    "chunks and trailers": ((CHUNKED + b"2\r\nok\r\n0\r\nX-A: 1\r\nX-B: 2\r\n\r\n", "hold"), "200 ok"),
    "an answer, then a reset": ((OK, 0.02, "reset"), "200 ok"),
    "two answers at once": ((OK + OK, "hold"), "200 ok"),
    "status 999": ((b"HTTP/1.1 999 What\r\nContent-Length: 0\r\n\r\n", "hold"), "999"),
    "a head byte by byte": ((b"HTTP/1.1 200 OK\r\nX-Slow: ", b"y", "endless"), "timeout"),
    "a head that stalls": ((b"HTTP/1.1 200 OK\r\nX-Slow: ", "hold"), "timeout"),
    "a body that stalls": ((b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\ny", "hold"), "timeout"),
    "nothing": (("hold",), "timeout"),
    "headers without end": ((b"HTTP/1.1 200 OK\r\n", b"X-A: b\r\n" * 100, "endless"), "too_large"),
    "a header line without end": ((b"HTTP/1.1 200 OK\r\nX: ", b"a" * 1000, "endless"), "too_large"),
    "a body without end": ((b"HTTP/1.1 200 OK\r\n\r\n", b"a" * 1000, "endless"), "too_large"),
    "chunks without end": ((CHUNKED, b"1\r\na\r\n" * 100, "endless"), "too_large"),
    "a length beyond the cap": ((b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n", "hold"), "too_large"),
    "garbage": ((bytes(range(256)) * 4, "hold"), "malformed"),
    "HTTP/0.9": ((b"<html>hello</html>",), "malformed"),
    "HTTP/2 frames": ((b"\0\0\0\4\0\0\0\0\0", "hold"), "malformed"),
    "a status that is none": ((b"HTTP/1.1 two OK\r\n\r\n", "hold"), "malformed"),
    "a negative length": ((b"HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\nok",), "malformed"),
    "NUL in a header": ((b"HTTP/1.1 200 OK\r\nX: a\0b\r\nContent-Length: 0\r\n\r\n", "hold"), "malformed"),
    "less than its length": ((b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\nok",), "cut"),
    "no last chunk": ((CHUNKED + b"2\r\nok\r\n",), "cut"),
    "the end at once": (("accepted",), "reset"),
    "a reset at once": (("accepted", "reset"), "reset"),
    "the end without an answer": ((0.0,), "reset"),
    "a reset without an answer": ((0.0, "reset"), "reset"),
}
"""What a server does, and how a request to it ends with every HTTP/1.1 client."""

LOOPS: dict[str, Callable[[Any], Any]] = {"asyncio": asyncio.run, "uvloop": uvloop.run}


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("kind", [WireClient, WebClient])
@pytest.mark.parametrize("name", HTTP1)
def test_whatever_a_server_does_a_request_ends_once_and_rightly(name: str, kind: Any, loop: str) -> None:
    steps, expected = HTTP1[name]

    async def main() -> str:
        async with serving(*steps) as port:
            client = kind(Endpoint("http", "127.0.0.1", port, "x"), LIMITS, Clock())
            return await ended(client, UPLOAD if "body is read" in name else get("/"))

    assert LOOPS[loop](main()) == expected


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ((CHUNKED + b"0\r\n", b"X-T: a\r\n" * 100, "endless"), "too_large"),
        ((CHUNKED + b"ffffffffffffffff\r\n", "hold"), "malformed"),
        ((b"HTTP/1.1 200 OK\r\n\r\nabc", 0.05, "reset"), "reset"),
        ((b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokay and more", "hold"), "200 ok"),
    ],
    ids=[
        "trailers without end",
        "a chunk beyond all bounds",
        "a reset in a body until the end",
        "more than its length",
    ],
)
def test_the_wire_client_reads_to_the_letter(steps: tuple[bytes | str | float, ...], expected: str) -> None:
    async def main() -> str:
        async with serving(*steps) as port:
            return await ended(WireClient(Endpoint("http", "127.0.0.1", port, "x"), LIMITS, Clock()), get("/"))

    assert uvloop.run(main()) == expected


def _frames(*frames: Frame) -> bytes:
    return b"".join(frame.serialize() for frame in frames)


END, WHOLE = ["END_HEADERS"], ["END_HEADERS", "END_STREAM"]
STATUS = b"\x88"  # :status 200, entry 8 of the static table (RFC 7541 appendix A)
SETTINGS = SettingsFrame(0)
HTTP2: dict[str, tuple[tuple[bytes | str | float, ...], str]] = {
    "trailers alone": (
        (_frames(SETTINGS, HeadersFrame(1, STATUS, flags=WHOLE)), "hold"),
        "200",
    ),
    "a body": (
        (
            _frames(SETTINGS, HeadersFrame(1, STATUS, flags=END), DataFrame(1, b"ok", flags=["END_STREAM"])),
            "hold",
        ),
        "200 ok",
    ),
    "a reset stream": ((_frames(SETTINGS, RstStreamFrame(1, 2)), "hold"), "reset"),
    "no stream allowed": ((_frames(SettingsFrame(0, {3: 0})), "hold"), "timeout"),
    "silence": (("hold",), "timeout"),
    "headers and silence": ((_frames(SETTINGS, HeadersFrame(1, STATUS, flags=END)), "hold"), "timeout"),
    "going away after it": ((_frames(SETTINGS, GoAwayFrame(0, 1, 2)),), "reset"),
    "the end in the body": (
        (_frames(SETTINGS, HeadersFrame(1, STATUS, flags=END), DataFrame(1, b"half")), 0.1),
        "cut",
    ),
    "no status": (
        (_frames(SETTINGS, HeadersFrame(1, b"\x82", flags=WHOLE)), "hold"),
        "malformed",
    ),
    "fields that cannot be read": (
        (_frames(SETTINGS, HeadersFrame(1, b"\xff" * 9, flags=END)), "hold"),
        "malformed",
    ),
    "a frame of another stream": ((_frames(SETTINGS, DataFrame(5, b"x")), "hold"), "malformed"),
    "garbage": ((bytes(range(256)) * 4, "hold"), "malformed"),
    "HTTP/1.1": ((b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n", "hold"), "malformed"),
    "the end at once": (("accepted",), "reset"),
    "a reset at once": (("accepted", "reset"), "reset"),
    "a body without end": (
        (
            _frames(SETTINGS, HeadersFrame(1, STATUS, flags=END)),
            _frames(DataFrame(1, b"x" * 1000)),
            "endless",
        ),
        "too_large",
    ),
}
"""What a server of HTTP/2 sends once it has the preface, and how the first request ends."""


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("name", HTTP2)
def test_whatever_an_http2_server_does_a_request_ends_once_and_rightly(name: str, loop: str) -> None:
    steps, expected = HTTP2[name]
    if steps[0] != "accepted":
        steps = (0.05, *steps)  # so that the request is under way when it comes

    async def main() -> str:
        async with serving(*steps) as port:
            client = H2Client(Endpoint("h2c", "127.0.0.1", port, "x"), LIMITS, Clock())
            return await ended(client, get("/"))

    assert LOOPS[loop](main()) == expected


@pytest.mark.parametrize("loop", LOOPS)
def test_what_an_http2_server_sends_before_any_request_ends_one_request_for_one_connection(loop: str) -> None:
    async def main() -> str:
        async with serving("accepted", bytes(range(256)) * 4, "hold") as port:
            return await ended(H2Client(Endpoint("h2c", "127.0.0.1", port, "x"), LIMITS, Clock()), get("/"))

    assert LOOPS[loop](main()) == "malformed"


@pytest.mark.parametrize("loop", LOOPS)
def test_an_upload_that_an_http2_server_never_reads_is_a_timeout(loop: str) -> None:
    async def main() -> str:
        async with serving(_frames(SETTINGS), "hold") as port:
            return await ended(H2Client(Endpoint("h2c", "127.0.0.1", port, "x"), LIMITS, Clock()), UPLOAD)

    assert LOOPS[loop](main()) == "timeout"
