"""The HTTP/2 client: prior knowledge or ALPN, many streams on a few connections, trailers, gRPC (RFC 9113)."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections import deque
from typing import cast

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    RemoteSettingsChanged,
    ResponseReceived,
    StreamEnded,
    StreamReset,
    TrailersReceived,
    WindowUpdated,
)
from h2.exceptions import ProtocolError

from capture.clock import Clock
from capture.exchange import Headers, Request, Response
from replay.clients.base import REPEATABLE, Endpoint, Job, Limits, tls_context
from replay.clients.dial import NotConnected, dial
from replay.clients.sweep import Sweep
from replay.outcome import FailureKind

__all__ = ["H2Client", "h2_headers"]

_CONNECTIONS_MAX = 8
_STREAMS_MAX = 100
_WINDOW = 1 << 20
_NOT_IN_HTTP2 = frozenset(
    ("host", "connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade", "te")
)


def h2_headers(request: Request, scheme: str) -> list[tuple[str, str]]:
    """The request's field list: pseudo-headers first, names in lower case, nothing about a connection.

    `te: trailers` is added for gRPC, whose servers ask for it (RFC 9113 section 8.2.2 allows this value alone).
    """
    authority = next((value for name, value in request.headers if name.lower() == "host"), "")
    path = request.target
    if "://" in path.partition("?")[0]:
        path = "/" + path.split("://", 1)[1].partition("/")[2]
    fields = [(":method", request.method), (":scheme", scheme), (":authority", authority), (":path", path)]
    grpc = False
    for name, value in request.headers:
        lower = name.lower()
        if lower not in _NOT_IN_HTTP2:
            fields.append((lower, value))
            grpc = grpc or (lower == "content-type" and value.startswith("application/grpc"))
    if grpc:
        fields.append(("te", "trailers"))
    return fields


def _text(fields: list[tuple[bytes, bytes]]) -> Headers:
    return tuple(
        (name.decode("latin-1"), value.decode("latin-1")) for name, value in fields if not name.startswith(b":")
    )


class _Stream:
    """One request under way on a connection."""

    __slots__ = ("body", "headers", "job", "left", "size", "status", "trailers")

    def __init__(self, job: Job) -> None:
        self.job = job
        self.left = memoryview(job.request.body or b"")
        self.status = 0
        self.headers: Headers = ()
        self.trailers: Headers = ()
        self.body: list[bytes] = []
        self.size = 0

    def response(self, truncated: bool = False) -> Response:
        body = b"".join(self.body)
        return Response(self.status, "", "HTTP/2", self.headers, body, len(body), truncated, self.trailers)

    @property
    def partial(self) -> Response | None:
        return self.response(True) if self.status else None


class _Connection(asyncio.Protocol):
    """One connection with its streams."""

    def __init__(self, client: H2Client) -> None:
        self.client = client
        self.streams: dict[int, _Stream] = {}
        self.streams_max = _STREAMS_MAX
        self.transport: asyncio.Transport | None = None
        self.closing = False
        self.over = False
        self.greeted = False
        self.used = False
        self.h2 = H2Connection(
            H2Configuration(
                client_side=True,
                header_encoding=None,
                validate_outbound_headers=False,
                normalize_outbound_headers=False,
            )
        )

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.h2.initiate_connection()
        self.h2.increment_flow_control_window(_WINDOW)
        self.flush()

    @property
    def room(self) -> bool:
        return not self.closing and len(self.streams) < self.streams_max

    def flush(self) -> None:
        data = self.h2.data_to_send()
        if data and self.transport is not None and not self.transport.is_closing():
            self.transport.write(data)

    def start(self, job: Job) -> None:
        """Send the job's request on a new stream."""
        limits = self.client.limits
        number = self.h2.get_next_available_stream_id()
        stream = self.streams[number] = _Stream(job)
        if job.heard is not None:
            job.carrier = (self, number)
        job.reused = self.used
        self.used = True
        job.sent_ns = now = self.client.now_ns()
        job.deadline_ns = now + limits.timeout_ns
        fields = h2_headers(job.request, "https" if self.client.endpoint.tls else "http")
        whole = not stream.left and not job.request.trailers
        encoded = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in fields]
        job.sent_bytes = sum(len(name) + len(value) for name, value in fields) + len(stream.left)
        try:
            self.h2.send_headers(number, encoded, end_stream=whole)
            if not whole:
                self._send_body(number, stream)
        except ProtocolError as error:
            del self.streams[number]
            self.closing = True
            job.fail("reset", "send", f"the connection takes no more requests: {error}", now)
        self.flush()

    def _send_body(self, number: int, stream: _Stream) -> None:
        while stream.left:
            size = min(self.h2.local_flow_control_window(number), self.h2.max_outbound_frame_size, len(stream.left))
            if size <= 0:
                return  # goes on when the server opens the window
            piece, stream.left = stream.left[:size], stream.left[size:]
            last = not stream.left and not stream.job.request.trailers
            self.h2.send_data(number, bytes(piece), end_stream=last)
        if stream.job.request.trailers:
            fields = [(n.lower().encode("latin-1"), v.encode("latin-1")) for n, v in stream.job.request.trailers]
            self.h2.send_headers(number, fields, end_stream=True)

    def data_received(self, data: bytes) -> None:
        first, self.greeted = not self.greeted, True
        try:
            if first and data.startswith(b"HTTP/1."):
                raise ProtocolError("the build answers in HTTP/1.x")  # to h2 it is a large frame that does not end
            events = self.h2.receive_data(data)
        except ProtocolError as error:
            self.flush()
            self.give_up_all("malformed", f"not HTTP/2: {error or type(error).__name__}")
            return
        for event in events:
            self._handle(event)
        self.flush()
        self.client.serve()

    def _handle(self, event: object) -> None:
        stream = self.streams.get(getattr(event, "stream_id", None) or 0)
        now = self.client.now_ns()
        if isinstance(event, WindowUpdated):
            for number, waiting in list(self.streams.items()):
                if waiting.left:
                    self._send_body(number, waiting)
        elif isinstance(event, RemoteSettingsChanged):
            self.streams_max = min(self.h2.remote_settings.max_concurrent_streams, _STREAMS_MAX)
        elif isinstance(event, ConnectionTerminated):
            self._go_away(event)
        elif stream is None:
            if isinstance(event, DataReceived):
                self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, ResponseReceived):
            stream.job.first_byte_ns = now
            status = dict(event.headers).get(b":status", b"")
            if not (status.isdigit() and len(status) == 3):
                self.give_up(event.stream_id, "malformed", "first_byte", f"not a status: {status[:20]!r}")
                return
            stream.status = int(status)
            stream.headers = _text(event.headers)
            stream.job.received_bytes += sum(len(name) + len(value) for name, value in event.headers)
            if stream.job.heard is not None:
                stream.job.heard(stream.job, 0)
        elif isinstance(event, DataReceived):
            self._take_data(event, stream)
        elif isinstance(event, TrailersReceived):
            stream.trailers = _text(event.headers)
        elif isinstance(event, StreamEnded):
            del self.streams[event.stream_id]
            if stream.left:
                self._stop_sending(event.stream_id)  # answered before it has read the request (RFC 9113 section 8.1)
            stream.job.answer(stream.response(), now)
        elif isinstance(event, StreamReset):
            del self.streams[event.stream_id]
            self._was_reset(event, stream, now)

    def _take_data(self, event: DataReceived, stream: _Stream) -> None:
        self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        stream.job.received_bytes += event.flow_controlled_length
        stream.size += len(event.data)
        if stream.size > self.client.limits.body_bytes_max and stream.job.stays:
            self.leave(event.stream_id)
        elif stream.size > self.client.limits.body_bytes_max:
            detail = f"the body is longer than {self.client.limits.body_bytes_max} bytes"
            self.give_up(event.stream_id, "too_large", "body", detail)
        else:
            stream.body.append(event.data)
            if stream.job.heard is not None:
                stream.job.heard(stream.job, stream.size)

    def _was_reset(self, event: StreamReset, stream: _Stream, now: int) -> None:
        job = stream.job
        try:
            name = ErrorCodes(event.error_code).name
        except ValueError:
            name = f"error {event.error_code}"
        if name == "REFUSED_STREAM" and job.attempts == 1:
            # The server says that it did nothing (RFC 9113 section 8.7): as with a stale kept connection.
            job.attempts, job.sent_ns = 2, None
            self.client.redo(job)
            return
        job.fail("reset", "body" if stream.status else "first_byte", f"stream reset: {name}", now, stream.partial)

    def _go_away(self, event: ConnectionTerminated) -> None:
        """The server takes no new streams; those it will not answer are done again on another connection, once."""
        self.closing = True
        last = event.last_stream_id or 0
        for number in [number for number in self.streams if number > last]:
            job = self.streams.pop(number).job
            if job.attempts == 1:
                job.attempts, job.sent_ns = 2, None
                self.client.redo(job)
            else:
                job.fail("reset", "first_byte", "the connection was closed (GOAWAY)", self.client.now_ns())

    def give_up(self, number: int, kind: FailureKind, phase: str, detail: str) -> None:
        """End one stream with a failure and tell the server."""
        stream = self.streams.pop(number)
        self._stop_sending(number)
        self.flush()
        stream.job.fail(kind, phase, detail, self.client.now_ns(), stream.partial)

    def leave(self, number: int) -> None:
        """Listen no longer to a stream whose head has come, and tell the server."""
        stream = self.streams.pop(number)
        self._stop_sending(number)
        self.flush()
        stream.job.leave(stream.response(), self.client.now_ns())

    def _stop_sending(self, number: int) -> None:
        try:
            self.h2.reset_stream(number, ErrorCodes.CANCEL)
        except ProtocolError:
            self.closing = True  # the stream or the connection is closed already

    def give_up_all(self, kind: FailureKind, detail: str) -> None:
        """End every stream with a failure and close."""
        unused, self.over = not self.used and not self.over, True
        self.closing = True
        self.client.forget(self)
        streams, self.streams = self.streams, {}
        now = self.client.now_ns()
        if self.transport is not None:
            self.transport.abort()
        for stream in streams.values():
            stream.job.fail(kind, "body" if stream.status else "first_byte", detail, now, stream.partial)
        if unused:
            self.client.fail_one(kind, "first_byte", detail)

    def connection_lost(self, exc: Exception | None) -> None:
        stale = [
            number
            for number, stream in self.streams.items()
            if stream.job.reused
            and stream.job.attempts == 1
            and not stream.status
            and stream.job.request.method in REPEATABLE
        ]
        for number in stale:
            job = self.streams.pop(number).job
            job.attempts, job.sent_ns = 2, None
            self.client.redo(job)
        begun = any(stream.status for stream in self.streams.values())
        kind: FailureKind = "cut" if begun and exc is None else "tls" if isinstance(exc, ssl.SSLError) else "reset"
        self.give_up_all(kind, str(exc) if exc else "the connection was closed")


class H2Client:
    """A `Client` that speaks HTTP/2 to one build; see `Client` for the contract.

    `received_bytes` and `sent_bytes` of a job are those of its fields and data, without frames and compression.
    """

    sends_bytes = False

    def __init__(self, endpoint: Endpoint, limits: Limits, clock: Clock) -> None:
        self.endpoint = endpoint
        self.limits = limits
        self.now_ns = clock.now_ns
        self._connections: list[_Connection] = []
        self._opening: set[asyncio.Task[None]] = set()
        self._waiting: deque[Job] = deque()
        self._sweep: Sweep | None = None
        self._context: ssl.SSLContext | None = None
        self._closed = False
        self._stuck_since_ns = 0

    async def open(self) -> None:
        if self.endpoint.tls:
            self._context = tls_context(self.limits, self.endpoint, ["h2"])
        self._sweep = Sweep(self.limits, self.now_ns, self._end_late)

    def perform(self, job: Job) -> None:
        self._waiting.append(job)
        self.serve()

    def peek(self, job: Job) -> Response | None:
        stream = self._stream_of(job)
        return stream.response() if stream is not None and stream.status else None

    def leave(self, job: Job, late: str | None = None) -> None:
        stream = self._stream_of(job)
        if stream is None:
            return
        connection, number = job.carrier
        if late is not None:
            connection.give_up(number, "timeout", "body" if stream.status else "first_byte", late)
        elif stream.status:
            connection.leave(number)
        self.serve()

    @staticmethod
    def _stream_of(job: Job) -> _Stream | None:
        if job.carrier is None:
            return None
        connection, number = job.carrier
        stream: _Stream | None = connection.streams.get(number)
        return stream if stream is not None and stream.job is job else None

    def redo(self, job: Job) -> None:
        """Perform a job again, before those that wait."""
        self._waiting.appendleft(job)
        asyncio.get_running_loop().call_soon(self.serve)

    def forget(self, connection: _Connection) -> None:
        """A connection is gone."""
        if connection in self._connections:
            self._connections.remove(connection)
            if self._waiting and not self._closed:
                asyncio.get_running_loop().call_soon(self.serve)

    def fail_one(self, kind: FailureKind, phase: str, detail: str) -> None:
        """One job fails for one connection that came to nothing; the next one tries anew."""
        if self._waiting:
            self._waiting.popleft().fail(kind, phase, detail, self.now_ns())

    def serve(self) -> None:
        """Give waiting jobs to connections that have room; open another one where none has."""
        while self._waiting and not self._closed:
            connection = next((c for c in self._connections if c.room), None)
            if connection is None:
                if not self._opening and len(self._connections) < min(_CONNECTIONS_MAX, self.limits.connections_max):
                    task = asyncio.get_running_loop().create_task(self._open())
                    self._opening.add(task)
                return
            connection.start(self._waiting.popleft())

    async def _open(self) -> None:
        connection = _Connection(self)
        try:
            await dial(self.endpoint, self.limits, lambda sock: self._connected(connection, sock))
        except NotConnected as problem:
            self.fail_one(problem.kind, problem.phase, problem.detail)
        else:
            if not connection.over:
                self._connections.append(connection)
        finally:
            self._opening.clear()
        if not self._closed:
            asyncio.get_running_loop().call_soon(self.serve)

    async def _connected(self, connection: _Connection, sock: socket.socket) -> None:
        """Make a connection of a socket; with TLS it is one after the handshake, where the build speaks HTTP/2."""
        loop, endpoint = asyncio.get_running_loop(), self.endpoint
        name = None if self._context is None else endpoint.tls_name or endpoint.host
        transport, _ = await loop.create_connection(
            lambda: connection, sock=sock, ssl=self._context, server_hostname=name
        )
        if self._context is not None:
            chosen = transport.get_extra_info("ssl_object").selected_alpn_protocol()
            if chosen != "h2":
                connection.over = True
                transport.abort()
                raise ssl.SSLError(1, f"the build does not speak HTTP/2 here (ALPN chose {chosen or 'nothing'})")

    def _end_late(self) -> None:
        """End what has run out of time."""
        now, limits = self.now_ns(), self.limits
        for connection in list(self._connections):
            for number, stream in list(connection.streams.items()):
                job = stream.job
                assert job.sent_ns is not None
                if job.stays and stream.status:
                    continue
                if now >= job.deadline_ns:
                    phase = "body" if stream.status else "first_byte"
                    detail = f"no complete answer within {limits.timeout_ns / 1e9:g} s"
                    connection.give_up(number, "timeout", phase, detail)
                elif not stream.status and now - job.sent_ns >= limits.first_byte_timeout_ns:
                    detail = f"no byte of an answer within {limits.first_byte_timeout_ns / 1e9:g} s"
                    connection.give_up(number, "timeout", "first_byte", detail)
        self._end_what_is_stuck(now)

    def _end_what_is_stuck(self, now: int) -> None:
        """Jobs that wait while nothing is under way: a server that allows no stream would hold them for ever."""
        if not self._waiting or self._opening or any(connection.streams for connection in self._connections):
            self._stuck_since_ns = 0
        elif not self._stuck_since_ns:
            self._stuck_since_ns = now
        elif now - self._stuck_since_ns >= self.limits.first_byte_timeout_ns:
            self._stuck_since_ns = 0
            seconds = self.limits.first_byte_timeout_ns / 1e9
            for job in [self._waiting.popleft() for _ in range(len(self._waiting))]:
                job.fail("timeout", "send", f"the build allowed no stream within {seconds:g} s", now)

    async def close(self) -> None:
        self._closed = True
        if self._sweep is not None:
            self._sweep.close()
        tasks = list(self._opening)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for connection in list(self._connections):
            connection.give_up_all("cut", "the replay was ended")
        while self._waiting:
            self._waiting.popleft().fail("refused", "connect", "the replay was ended", self.now_ns())
        await asyncio.sleep(0)
