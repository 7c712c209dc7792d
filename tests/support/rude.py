"""A server on loopback that records every byte it gets and answers as badly as the path asks for."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable

from capture.clock import Clock
from capture.exchange import Exchange, Request, Response, Times
from replay.clients.base import Endpoint, Job, Limits
from replay.clients.wire import WireClient

_OK = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nok"

_CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"

ANSWERS: dict[str, list[bytes | float | str]] = {
    "/ok": [_OK],
    "/ok-then-close": [_OK, "close"],
    "/chunked": [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;x=y\r\nok\r\n0\r\nX-Sum: 1\r\n\r\n"],
    "/until-close": [b"HTTP/1.1 200 OK\r\n\r\nok until the end", "close"],
    "/interim": [b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", _OK],
    "/reset": ["reset"],
    "/reset-in-body": [b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", 0.05, "reset"],
    "/close": ["close"],
    "/silence": ["silence"],
    "/stall-in-body": [b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", "silence"],
    "/drip": [b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n", *([b"x", 0.01] * 4)],
    "/garbage": [b"SSH-2.0-OpenSSH_9.2\r\n"],
    "/bad-status": [b"HTTP/1.1 two hundred\r\n\r\n"],
    "/bad-header": [b"HTTP/1.1 200 OK\r\nno colon here\r\n\r\n"],
    "/two-lengths": [b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nabc"],
    "/bad-chunk": [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nok\r\n"],
    "/long-chunk": [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nokay\r\n0\r\n\r\n"],
    "/cut-in-head": [b"HTTP/1.1 200 OK\r\nContent-Le", "close"],
    "/cut-in-body": [b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", "close"],
    "/cut-in-chunk": [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\na\r\nhalf", "close"],
    "/large": [b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n" + b"x" * 5000],
    "/large-chunked": [
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        *[b"3e8\r\n" + b"x" * 1000 + b"\r\n"] * 5,
    ],
    "/large-head": [b"HTTP/1.1 200 OK\r\nX-Long: " + b"x" * 20_000 + b"\r\n\r\n"],
    "/more-than-asked": [_OK + b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"],
}
"""Path to steps: bytes are sent, a number waits so many seconds; "close" ends it, "reset" with RST, "silence" stays."""


class Rude:
    """What one rude server got. received: the bytes of each connection, in order of connecting. requests: each head."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.received: list[bytearray] = []
        self.requests: list[bytes] = []

    @property
    def endpoint(self) -> Endpoint:
        return Endpoint("http", "127.0.0.1", self.port, f"127.0.0.1:{self.port}")

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


Answer = Callable[[bytes], Awaitable[list[bytes | float | str]]]


@contextlib.asynccontextmanager
async def rude_server(
    answer: Answer | None = None, port: int = 0, context: ssl.SSLContext | None = None
) -> AsyncIterator[Rude]:
    """A rude server while the block runs. answer: head and body of a request to steps, instead of ANSWERS."""
    rude = Rude(port)
    tasks: set[asyncio.Task[None]] = set()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        log = bytearray()
        rude.received.append(log)
        try:
            await _converse(rude, log, reader, writer, answer)
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass  # the client or the test is done with this connection
        finally:
            tasks.discard(task)
            writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", port, ssl=context, limit=1 << 20)
    rude.port = server.sockets[0].getsockname()[1]
    try:
        yield rude
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for _ in range(3):
            await asyncio.sleep(0)  # closed transports let go of their sockets in the turns that follow


async def _converse(
    rude: Rude, log: bytearray, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, answer: Answer | None
) -> None:
    while True:
        head = await reader.readuntil(b"\r\n\r\n")
        log += head
        body = await _body(head, reader)
        log += body
        rude.requests.append(head + body)
        target = head.split(b" ")[1].decode("latin-1").partition("?")[0]
        for step in await answer(head + body) if answer is not None else ANSWERS.get(target, [_OK]):
            if isinstance(step, bytes):
                writer.write(step)
            elif isinstance(step, float):
                await writer.drain()
                await asyncio.sleep(step)
            elif step == "silence":
                await reader.read()
                return
            else:
                if step == "reset":
                    sock = writer.get_extra_info("socket")
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    writer.transport.abort()
                return


async def _body(head: bytes, reader: asyncio.StreamReader) -> bytes:
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return await reader.readexactly(int(value))
        if name.lower() == b"transfer-encoding":
            return await reader.readuntil(b"0\r\n\r\n")
    return b""


async def perform_all(endpoint: Endpoint, requests: list[Request], limits: Limits | None = None) -> list[Job]:
    """The jobs of requests sent one after the other by one wire client, each with its answer or failure."""
    client = WireClient(endpoint, limits or Limits(), Clock())
    await client.open()
    jobs = []
    try:
        for request in requests:
            answered: asyncio.Future[Job] = asyncio.get_running_loop().create_future()
            client.perform(Job(request, answered.set_result))
            jobs.append(await asyncio.wait_for(answered, 20))
    finally:
        await client.close()
    return jobs


def get(target: str, *headers: tuple[str, str], method: str = "GET", body: bytes = b"") -> Request:
    """A request as a client would have sent it."""
    return Request(method, target, "HTTP/1.1", (("Host", "shop.example"), *headers), body, len(body))


def exchange(
    number: int,
    request: Request,
    response: Response | None = None,
    session: str = "s",
    start_ms: float | None = None,
    took_ms: float = 0.5,
    **fields: object,
) -> Exchange:
    """A recorded exchange, one a millisecond, in one session that does one thing after the other."""
    start = 1_700_000_000_000_000_000 + round((number if start_ms is None else start_ms) * 1e6)
    end = start + round(took_ms * 1e6)
    answered = response if response is not None else Response(200, "OK", "HTTP/1.1", (), b"ok", 2)
    times = Times(start, start, end, end)
    return Exchange(f"log-{number}", session, "relay", 1.0, request, answered, times, **fields)  # type: ignore[arg-type]


def json_response(body: bytes, *headers: tuple[str, str], status: int = 200) -> Response:
    """A response as a JSON service gives it."""
    return Response(status, "OK", "HTTP/1.1", (("Content-Type", "application/json"), *headers), body, len(body))
