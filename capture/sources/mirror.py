"""The mirror sink: takes the copies of requests that other proxies send, answers at once, and records the requests."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import itertools
import logging
import socket
from collections.abc import Callable
from typing import Any

from aiohttp import StreamReader, web
from aiohttp.http_parser import HttpRequestParserPy

from capture.clock import Clock
from capture.exchange import Exchange, Request, Times
from capture.pipeline import Pipeline
from capture.sample import Decision
from capture.sources.mirror_request import Mirrored, restore

__all__ = ["MirrorLimits", "MirrorSink"]

_LINE_BYTES_MAX = 64 << 10
_LINGER_S = 2.0
_READ_BYTES = 1 << 16


@dataclasses.dataclass(frozen=True, slots=True)
class MirrorLimits:
    """What one sink takes on.

    body_bytes_max: a longer body is cut, its full length kept. held_bytes_max: bodies under way together; what comes
    beyond is shed. connections_max: further ones are refused. body_s: how long a body may take to arrive.
    """

    body_bytes_max: int = 1 << 20
    held_bytes_max: int = 64 << 20
    connections_max: int = 1024
    body_s: float = 30.0


@dataclasses.dataclass(slots=True)
class _Flight:
    """One request under way. parts: of the body, as far as it is kept; body_bytes: the length of all that came."""

    mirrored: Mirrored
    started_ns: int
    connection: int
    decision: Decision | None = None
    parts: list[bytes] = dataclasses.field(default_factory=list)
    kept_bytes: int = 0
    body_bytes: int = 0


class MirrorSink:
    """Serves on sockets in the running loop and feeds a pipeline; requests only, `Exchange.response` is None."""

    def __init__(self, pipeline: Pipeline, clock: Clock, limits: MirrorLimits) -> None:
        self._pipeline = pipeline
        self._now_ns = clock.now_ns
        self._limits = limits
        self._held_bytes = 0
        self._runner: web.ServerRunner | None = None

    async def start(self, sockets: list[socket.socket]) -> None:
        """Accept on sockets that are bound."""
        server = _Server(self._handle, self._refused, self._malformed, self._limits.connections_max)
        self._runner = web.ServerRunner(server, handle_signals=False, shutdown_timeout=self._limits.body_s)
        await self._runner.setup()
        for sock in sockets:
            await web.SockSite(self._runner, sock).start()

    async def drain(self) -> None:
        """Accept nothing more, and wait for the requests that are under way."""
        if self._runner is not None:
            await self._runner.cleanup()

    def _refused(self) -> None:
        self._pipeline.lost("too_many_connections")

    def _malformed(self) -> None:
        self._pipeline.lost("malformed")

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        started_ns = self._now_ns()
        transport = request.transport
        mirrored = restore(
            request.method,
            request.raw_path,
            f"HTTP/{request.version.major}.{request.version.minor}",
            tuple([(name.decode("latin-1"), value.decode("latin-1")) for name, value in request.raw_headers]),
        )
        if transport is not None and request.headers.get("expect", "").lower() == "100-continue":
            transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        peer = transport.get_extra_info("peername") if transport is not None else None
        client = str(peer[0]) if isinstance(peer, tuple) else ""
        flight = _Flight(mirrored, started_ns, getattr(request.protocol, "number", -1))
        flight.decision = self._pipeline.begin(mirrored.request, client, started_ns)
        why: str | None = "cut"
        try:
            async with asyncio.timeout(self._limits.body_s):
                await self._read(request.content, flight)
            why = None
        except TimeoutError:
            why = "timeout"
        except (ConnectionError, web.RequestPayloadError, asyncio.IncompleteReadError):
            pass
        finally:
            self._finish(flight, why)
        response = web.Response(status=204)
        if why is not None:
            response.force_close()
        return response

    async def _read(self, content: StreamReader, flight: _Flight) -> None:
        """Take the whole body in; keep what is wanted of it."""
        limits = self._limits
        while chunk := await content.readany():
            flight.body_bytes += len(chunk)
            room = limits.body_bytes_max - flight.kept_bytes
            if flight.decision is None or room <= 0:
                continue
            part = chunk[:room]
            if self._held_bytes + len(part) > limits.held_bytes_max:
                self._pipeline.abandon(flight.decision, "memory")
                flight.decision = None
                self._release(flight)
                continue
            self._held_bytes += len(part)
            flight.kept_bytes += len(part)
            flight.parts.append(part)

    def _release(self, flight: _Flight) -> None:
        self._held_bytes -= flight.kept_bytes
        flight.parts.clear()
        flight.kept_bytes = 0

    def _finish(self, flight: _Flight, why: str | None) -> None:
        data = b"".join(flight.parts)
        self._release(flight)
        if flight.decision is None:
            return
        head, mirrored = flight.mirrored.request, flight.mirrored
        length = flight.body_bytes
        exchange = Exchange(
            "",
            "",
            "mirror",
            1.0,
            Request(head.method, head.target, head.version, head.headers, data, length, length > len(data)),
            None,
            Times(flight.started_ns, self._now_ns()),
            incomplete_reason=why,
            connection=flight.connection,
            server=mirrored.server,
            scheme=mirrored.scheme,
            notes=mirrored.notes,
        )
        self._pipeline.finish(exchange, flight.decision)


class _Server(web.Server):
    """aiohttp's server with a bound on connections, and malformed requests counted instead of logged."""

    def __init__(
        self,
        handler: Callable[[web.BaseRequest], Any],
        on_refused: Callable[[], None],
        on_malformed: Callable[[], None],
        connections_max: int,
    ) -> None:
        quiet = logging.Logger("understudy.mirror", logging.CRITICAL + 1)
        self._options: dict[str, Any] = {
            "logger": quiet,
            "access_log": None,
            "auto_decompress": False,
            "max_line_size": _LINE_BYTES_MAX,
            "max_field_size": _LINE_BYTES_MAX,
            "lingering_time": _LINGER_S,
        }
        super().__init__(handler, **self._options)
        self._on_refused = on_refused
        self._on_malformed = on_malformed
        self._connections_max = connections_max
        self._numbers = itertools.count(1)

    def __call__(self) -> Any:
        if len(self.connections) >= self._connections_max:
            self._on_refused()
            return _Refusal()
        return _Handler(self, next(self._numbers), self._on_malformed, self._options)


class _Handler(web.RequestHandler):
    """One connection; what cannot be read as HTTP is counted. number: of the connection."""

    __slots__ = ("_on_malformed", "number")

    def __init__(self, server: _Server, number: int, on_malformed: Callable[[], None], options: dict[str, Any]) -> None:
        super().__init__(server, loop=asyncio.get_running_loop(), **options)
        self.number = number
        self._on_malformed = on_malformed
        self._read_by_python(options)

    def _read_by_python(self, options: dict[str, Any]) -> None:
        """Take aiohttp's parser in Python: that in C gives a request's last trailer to the next request as a field."""
        bounds = {name: options[name] for name in ("max_line_size", "max_field_size", "auto_decompress")}
        queue = getattr(self, "_max_msg_queue_size", 0)  # of aiohttp 3.14 and later, as is the name of the parser
        if queue:
            bounds["max_msg_queue_size"] = queue
        parser = HttpRequestParserPy(
            self, asyncio.get_running_loop(), _READ_BYTES, payload_exception=web.RequestPayloadError, **bounds
        )
        setattr(self, "_parser" if hasattr(self, "_parser") else "_request_parser", parser)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Called by aiohttp for a request that it cannot parse."""
        if status == 400:
            self._on_malformed()
        return super().handle_error(request, status, exc, message)


class _Refusal(asyncio.Protocol):
    """A connection beyond the bound: closed as soon as it is there."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        with contextlib.suppress(AttributeError):
            transport.abort()  # type: ignore[attr-defined]
