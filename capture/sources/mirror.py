"""The mirror sink: takes the copies of requests that other proxies send, answers at once, and records the requests."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import socket
from collections.abc import Callable
from typing import Any, cast

from aiohttp import web
from aiohttp.http_parser import HttpRequestParserPy

from capture.clock import Clock
from capture.observe.http2 import PREFACE
from capture.pipeline import Pipeline
from capture.sources.mirror_copy import Copies, MirrorLimits
from capture.sources.mirror_h2 import MirrorHttp2
from capture.sources.mirror_request import restore

__all__ = ["MirrorLimits", "MirrorSink"]

_LINE_BYTES_MAX = 64 << 10
_LINGER_S = 2.0
_PREFACE_S = 10.0
_READ_BYTES = 1 << 16


class MirrorSink:
    """Serves on sockets in the running loop and feeds a pipeline; requests only, `Exchange.response` is None."""

    def __init__(self, pipeline: Pipeline, clock: Clock, limits: MirrorLimits) -> None:
        self._copies = Copies(pipeline, clock, limits)
        self._door = _Door(self._handle, self._copies)
        self._runner: web.ServerRunner | None = None
        self._sites: list[web.SockSite] = []

    async def start(self, sockets: list[socket.socket]) -> None:
        """Accept on sockets that are bound."""
        self._runner = web.ServerRunner(self._door, handle_signals=False, shutdown_timeout=self._copies.limits.body_s)
        await self._runner.setup()
        for sock in sockets:
            site = web.SockSite(self._runner, sock)
            await site.start()
            self._sites.append(site)

    async def drain(self) -> None:
        """Accept nothing more, and wait for the requests that are under way."""
        if self._runner is not None:
            sites, self._sites = self._sites, []
            for site in sites:
                await site.stop()
            await self._door.drain()
            await self._runner.cleanup()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
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
        copies = self._copies
        copy = copies.begin(mirrored, client, getattr(request.protocol, "number", -1))
        why: str | None = "cut"
        try:
            async with asyncio.timeout(copies.limits.body_s):
                while chunk := await request.content.readany():
                    copies.take(copy, chunk)
            why = None
        except TimeoutError:
            why = "timeout"
        except (ConnectionError, web.RequestPayloadError, asyncio.IncompleteReadError):
            pass
        finally:
            copies.finish(copy, why)
        response = web.Response(status=204)
        if why is not None:
            response.force_close()
        return response


class _Door(web.Server):
    """aiohttp's server with a bound on connections, HTTP/2 beside it, and malformed requests counted, not logged."""

    def __init__(self, handler: Callable[[web.BaseRequest], Any], copies: Copies) -> None:
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
        self._copies = copies
        self._numbers = itertools.count(1)
        self._undecided: set[_First] = set()
        self._http2: set[MirrorHttp2] = set()
        self._empty = asyncio.Event()

    def __call__(self) -> Any:
        open_now = len(self.connections) + len(self._undecided) + len(self._http2)
        if open_now >= self._copies.limits.connections_max:
            self._copies.lost("too_many_connections")
            return _Refusal()
        first = _First(self._decided, self._undecided)
        self._undecided.add(first)
        return first

    def _decided(self, is_http2: bool) -> asyncio.Protocol:
        """The reader of a connection whose first bytes are there."""
        number = next(self._numbers)
        if is_http2:
            connection = MirrorHttp2(self._copies, number, self._closed)
            self._http2.add(connection)
            return connection
        return _Handler(self, number, lambda: self._copies.lost("malformed"), self._options)

    def _closed(self, connection: MirrorHttp2) -> None:
        self._http2.discard(connection)
        if not self._http2:
            self._empty.set()

    async def drain(self) -> None:
        """Close what has not said anything yet, and wait for HTTP/2 requests that are under way."""
        for first in list(self._undecided):
            first.abort()
        for connection in list(self._http2):
            connection.drain()
        if self._http2:
            self._empty.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._empty.wait(), self._copies.limits.body_s + _LINGER_S)
        for connection in list(self._http2):
            connection.abort()


class _First(asyncio.Protocol):
    """A connection until its first bytes say what is spoken on it: HTTP/2 by its preface, else HTTP/1."""

    def __init__(self, decided: Callable[[bool], asyncio.Protocol], undecided: set[_First]) -> None:
        self._decided = decided
        self._undecided = undecided
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._held = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by inheritance

    def data_received(self, data: bytes) -> None:
        held = self._held = self._held + data
        is_http2 = held.startswith(PREFACE)
        transport = self._transport
        if transport is None:
            return
        if not is_http2 and PREFACE.startswith(held):
            if self._timer is None:
                self._timer = asyncio.get_running_loop().call_later(_PREFACE_S, self.abort)
            return
        self._stop_waiting()
        self._undecided.discard(self)
        self._transport = None
        following = self._decided(is_http2)
        transport.set_protocol(following)
        following.connection_made(transport)
        following.data_received(held)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        self._undecided.discard(self)
        self._transport = None

    def _stop_waiting(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def abort(self) -> None:
        """Close at once."""
        if self._transport is not None:
            self._transport.abort()


class _Handler(web.RequestHandler):
    """One connection; what cannot be read as HTTP is counted. number: of the connection."""

    __slots__ = ("_on_malformed", "number")

    def __init__(self, server: _Door, number: int, on_malformed: Callable[[], None], options: dict[str, Any]) -> None:
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
