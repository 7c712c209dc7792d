"""The byte-exact HTTP/1.1 client: requests go out as they were recorded, over a bounded pool of kept connections."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections import deque
from typing import Any, Final, Protocol

from capture.clock import Clock
from capture.exchange import Request, Response
from replay.clients.answer import AnswerReader, MalformedAnswer, TooLarge, whole_answer
from replay.clients.base import REPEATABLE, Endpoint, Job, Limits, so_far, tls_context
from replay.clients.dial import NotConnected, dial
from replay.clients.sockets import Sockets, can_watch
from replay.clients.sweep import Sweep
from replay.outcome import FailureKind

__all__ = ["WireClient", "encode_request"]


def encode_request(request: Request) -> bytes:
    """The request on the wire (RFC 9112), its header lines in their order and spelling.

    The body goes as one chunk where the headers say `Transfer-Encoding: chunked`, else as it is; the caller has made
    Content-Length fit. Text is latin-1, one code point a byte.
    """
    lines = [f"{name}: {value}\r\n" for name, value in request.headers]
    head = f"{request.method} {request.target} {request.version}\r\n{''.join(lines)}\r\n".encode("latin-1")
    body = request.body
    if b"\r\ntransfer-encoding:" in head.lower():
        trailers = "".join(f"{name}: {value}\r\n" for name, value in request.trailers).encode("latin-1")
        chunk = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
        return b"%b%b0\r\n%b\r\n" % (head, chunk, trailers)
    return head + body if body else head


_IDLE_NS: Final = 1_000_000_000
"""A connection that was idle longer may be closed by the build at this very moment, so nothing that could not be sent
again goes over it."""


class _Transport(Protocol):
    """What a connection needs of an `asyncio.Transport`, or of a `sockets.Link`."""

    def write(self, data: bytes) -> None: ...
    def abort(self) -> None: ...
    def is_closing(self) -> bool: ...


class _Connection(asyncio.Protocol):
    """One kept connection; carries one request at a time, never pipelined."""

    __slots__ = ("client", "idle_ns", "job", "reader", "transport", "used")

    def __init__(self, client: WireClient) -> None:
        self.client = client
        self.transport: _Transport | None = None
        self.job: Job | None = None
        self.reader: AnswerReader | None = None
        self.used = False
        self.idle_ns = 0

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def start(self, job: Job) -> None:
        """Send the job's request now."""
        client = self.client
        self.job = job
        if job.heard is not None:
            job.carrier = self
        job.reused = self.used
        self.used = True
        self.reader = None
        payload = job.payload
        job.sent_bytes = len(payload)
        job.sent_ns = client.clock.now_ns()
        assert self.transport is not None
        self.transport.write(payload)

    def data_received(self, data: bytes) -> None:
        job = self.job
        if job is None:
            # Bytes that nobody asked for: this connection can no longer be trusted to be in step.
            self.client.discard(self)
            return
        client = self.client
        now = client.clock.now_ns()
        reader = self.reader
        if reader is None:
            limits = client.limits
            job.first_byte_ns = now
            job.received_bytes = len(data)
            method = job.request.method
            response = whole_answer(data, method, limits.body_bytes_max, limits.head_bytes_max)
            if response is not None:
                self.job = None
                self.idle_ns = now
                client.release(self)
                job.answer(response, now)
                return
            reader = self.reader = AnswerReader(method, limits.body_bytes_max, limits.head_bytes_max)
        else:
            job.received_bytes += len(data)
        try:
            response = reader.feed(data)
        except (MalformedAnswer, TooLarge) as error:
            too_large = isinstance(error, TooLarge)
            if too_large and job.stays and reader.has_head:
                self.leave(job)
                return
            kind: FailureKind = "too_large" if too_large else "malformed"
            self.give_up(job, kind, "body" if reader.partial() else "first_byte", str(error))
            return
        if response is None:
            if job.heard is not None and reader.has_head:
                job.heard(job, reader.size)
            return
        self.job = None
        if reader.keep_alive and not reader.rest:
            self.idle_ns = now
            client.release(self)
        else:
            client.discard(self)
        job.answer(response, now)

    def give_up(self, job: Job, kind: FailureKind, phase: str, detail: str) -> None:
        """End the job with a failure and throw the connection away."""
        reader = self.reader
        self.job = None
        self.client.discard(self)
        partial = reader.partial() if reader is not None else None
        job.fail(kind, phase, detail, self.client.clock.now_ns(), partial)

    def leave(self, job: Job) -> None:
        """Listen no longer, and throw the connection away; the head of the answer has come."""
        assert self.reader is not None
        arrived = self.reader.partial()
        assert arrived is not None
        self.job = None
        self.client.discard(self)
        job.leave(arrived, self.client.clock.now_ns())

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        job, reader = self.job, self.reader
        self.job = None
        self.client.discard(self)
        if job is None:
            return
        now = self.client.clock.now_ns()
        kind: FailureKind = "tls" if isinstance(exc, ssl.SSLError) else "reset"
        if job.first_byte_ns is None:
            repeatable = job.request.method in REPEATABLE
            if job.reused and job.attempts == 1 and repeatable:
                # The build closed a kept connection just when it was used again: not an answer to this request.
                job.attempts = 2
                job.sent_ns = None
                self.client.redo(job)
                return
            detail = str(exc) if exc else "the connection was closed without an answer"
            if job.reused and not repeatable:
                detail += f"; not sent again, as this {job.request.method} may have been done"
            job.fail(kind, "first_byte", detail, now)
            return
        assert reader is not None  # something has arrived, and it was not a whole answer
        if exc is not None:
            job.fail(kind, "body", str(exc) or type(exc).__name__, now, reader.partial())
            return
        response = reader.eof()
        if response is not None:
            job.answer(response, now)
            return
        partial = reader.partial()
        where = "body" if partial is not None else "head"
        job.fail("cut", "body", f"the connection was closed before the end of the {where}", now, partial)


class WireClient:
    """A `Client` for one build; see `Client` for the contract.

    clock: times of the jobs come from it. Plain connections are sockets that the client watches itself, encrypted ones
    are the loop's. Connections are kept and used again, last in first out, at most
    limits.connections_max at once; jobs beyond that wait their turn inside the client.
    """

    sends_bytes = True

    def __init__(self, endpoint: Endpoint, limits: Limits, clock: Clock) -> None:
        self.endpoint = endpoint
        self.limits = limits
        self.clock = clock
        self._idle: list[_Connection] = []
        self._all: set[_Connection] = set()
        self._connecting: set[asyncio.Task[None]] = set()
        self._opening = 0
        self._waiting: deque[Job] = deque()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._sweep: Sweep | None = None
        self._context: ssl.SSLContext | None = None
        self._sockets: Sockets | None = None
        self._closed = False

    async def open(self) -> None:
        self._loop = asyncio.get_running_loop()
        if self.endpoint.tls:
            self._context = tls_context(self.limits, self.endpoint)
        elif can_watch():
            self._sockets = Sockets()
        self._sweep = Sweep(self.limits, self.clock.now_ns, self._end_late)

    def perform(self, job: Job) -> None:
        if not job.payload:
            job.payload = encode_request(job.request)
        if self._idle:
            connection = self._idle.pop()
            if job.request.method in REPEATABLE or self.clock.now_ns() - connection.idle_ns < _IDLE_NS:
                connection.start(job)
                return
            self.discard(connection)
        self._waiting.append(job)
        self._connect()

    def peek(self, job: Job) -> Response | None:
        connection = job.carrier
        if connection is None or connection.job is not job or connection.reader is None:
            return None
        arrived = connection.reader.partial()
        return None if arrived is None else so_far(arrived)

    def leave(self, job: Job, late: str | None = None) -> None:
        connection = job.carrier
        if connection is None or connection.job is not job:
            return
        if late is not None:
            connection.give_up(job, "timeout", "first_byte" if job.first_byte_ns is None else "body", late)
        elif connection.reader is not None and connection.reader.has_head:
            connection.leave(job)

    def redo(self, job: Job) -> None:
        """Perform a job again on a new connection, before those that wait."""
        self._waiting.appendleft(job)
        self._connect()

    def release(self, connection: _Connection) -> None:
        """A connection has answered and can be used again."""
        if self._waiting:
            connection.start(self._waiting.popleft())
        else:
            self._idle.append(connection)

    def discard(self, connection: _Connection) -> None:
        """Close a connection; nothing happens where that was done."""
        if connection not in self._all:
            return
        self._all.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)
        if connection.transport is not None:
            connection.transport.abort()
        if self._waiting:
            self._connect()

    def _connect(self) -> None:
        """Open one more connection where jobs wait that none is being opened for."""
        if self._closed or self._opening >= len(self._waiting):
            return
        if len(self._all) + self._opening >= self.limits.connections_max:
            return
        assert self._loop is not None
        self._opening += 1
        task = self._loop.create_task(self._open_connection())
        self._connecting.add(task)
        task.add_done_callback(self._connecting.discard)

    async def _open_connection(self) -> None:
        connection = _Connection(self)
        try:
            try:
                await dial(self.endpoint, self.limits, lambda sock: self._connected(connection, sock))
            finally:
                self._opening -= 1
        except NotConnected as problem:
            failure = problem
        else:
            self._all.add(connection)
            if not (self._closed or connection.transport is None or connection.transport.is_closing()):
                self.release(connection)
                return
            self.discard(connection)
            failure = NotConnected("reset", "send", "the connection was closed as soon as it was accepted")
        # Only one job fails for one connection that could not be made; the next one tries anew.
        if self._waiting:
            self._waiting.popleft().fail(failure.kind, failure.phase, failure.detail, self.clock.now_ns())
        if self._waiting:
            assert self._loop is not None
            self._loop.call_soon(self._connect)

    async def _connected(self, connection: _Connection, sock: socket.socket) -> None:
        """Make a connection of a socket; with TLS it is one after the handshake."""
        endpoint = self.endpoint
        assert self._loop is not None
        if self._sockets is not None:
            connection.connection_made(self._sockets.link(sock, connection))
        elif not endpoint.tls:
            await self._loop.create_connection(lambda: connection, sock=sock)
        else:
            await self._loop.create_connection(
                lambda: connection, sock=sock, ssl=self._context, server_hostname=endpoint.tls_name or endpoint.host
            )

    def _end_late(self) -> None:
        """End what has run out of time."""
        now = self.clock.now_ns()
        limits = self.limits
        for connection in list(self._all):
            job = connection.job
            if job is None or (job.stays and job.first_byte_ns is not None):
                continue
            assert job.sent_ns is not None
            if now - job.sent_ns >= limits.timeout_ns:
                seconds = limits.timeout_ns / 1e9
                phase = "first_byte" if job.first_byte_ns is None else "body"
                connection.give_up(job, "timeout", phase, f"no complete answer within {seconds:g} s")
            elif job.first_byte_ns is None and now - job.sent_ns >= limits.first_byte_timeout_ns:
                seconds = limits.first_byte_timeout_ns / 1e9
                connection.give_up(job, "timeout", "first_byte", f"no byte of an answer within {seconds:g} s")

    async def close(self) -> None:
        self._closed = True
        if self._sweep is not None:
            self._sweep.close()
        for task in list(self._connecting):
            task.cancel()
        if self._connecting:
            await asyncio.gather(*self._connecting, return_exceptions=True)
        for connection in list(self._all):
            job = connection.job
            if job is not None:
                connection.give_up(job, "cut", "body" if job.first_byte_ns else "first_byte", "the replay was ended")
            self.discard(connection)
        while self._waiting:
            self._waiting.popleft().fail("refused", "connect", "the replay was ended", self.clock.now_ns())
        if self._sockets is not None:
            self._sockets.close()
        # One turn of the loop, so that aborted transports are gone before it is closed.
        await asyncio.sleep(0)
