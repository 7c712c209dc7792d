"""Which client speaks to a build: chosen by its address, by what was captured and what the build speaks, or as told."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterable

from hyperframe.frame import SettingsFrame

from capture.clock import Clock
from capture.exchange import Exchange
from replay.clients.base import Client, Endpoint, Limits, tls_context
from replay.clients.dial import NotConnected, dial
from replay.settings import ClientKind

__all__ = ["client_for", "kind_for", "speaks_http2"]

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + SettingsFrame(0).serialize()
_HEAD_BYTES = 9
_TYPE_AT = 3


def speaks_http2(exchanges: Iterable[Exchange]) -> bool:
    """True where all of these exchanges, and there are any, were captured as HTTP/2."""
    found = [exchange.request.version.startswith("HTTP/2") for exchange in exchanges]
    return bool(found) and all(found)


async def kind_for(kind: ClientKind, endpoint: Endpoint, http2: bool, limits: Limits) -> ClientKind:
    """The client for a build, never "auto".

    http2: what was captured is HTTP/2. Then "auto" asks the build whether it speaks it, too: what a browser or a
    proxy in front spoke says little about a build behind it. One that cannot be asked is taken at the log's word.
    """
    if kind != "auto":
        return kind
    if endpoint.scheme == "h2c":
        return "h2"
    return "h2" if http2 and await _agrees(endpoint, limits) else "wire"


async def _agrees(endpoint: Endpoint, limits: Limits) -> bool:
    """True where the build speaks HTTP/2, or is not there."""
    try:
        return await dial(endpoint, limits, lambda sock: _asked(endpoint, limits, sock))
    except NotConnected as problem:
        return endpoint.tls or problem.kind != "timeout"  # one that says nothing at all does not speak it


async def _asked(endpoint: Endpoint, limits: Limits, sock: socket.socket) -> bool:
    if endpoint.tls:
        context = tls_context(limits, endpoint, ["h2", "http/1.1"])
        _, writer = await asyncio.open_connection(
            sock=sock, ssl=context, server_hostname=endpoint.tls_name or endpoint.host
        )
        chosen = writer.get_extra_info("ssl_object").selected_alpn_protocol()
        writer.transport.abort()
        return bool(chosen == "h2")
    reader, writer = await asyncio.open_connection(sock=sock)
    try:
        writer.write(_PREFACE)
        # A server's first frame is SETTINGS (RFC 9113 section 3.4); one of HTTP/1.1 says something else, or closes.
        head = await reader.readexactly(_HEAD_BYTES)
    except (asyncio.IncompleteReadError, ConnectionError):
        return False
    finally:
        writer.transport.abort()
    return head[_TYPE_AT] == SettingsFrame.type and not head.startswith(b"HTTP/")


def client_for(kind: ClientKind, endpoint: Endpoint, limits: Limits, clock: Clock) -> Client:
    """A new client for one build. kind: as `kind_for` says."""
    match kind:
        case "h2":
            from replay.clients.h2 import H2Client

            return H2Client(endpoint, limits, clock)
        case "aiohttp":
            from replay.clients.web import WebClient

            return WebClient(endpoint, limits, clock)
        case _:
            from replay.clients.wire import WireClient

            return WireClient(endpoint, limits, clock)
