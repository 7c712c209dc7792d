"""Connecting to a build: name, socket and handshake within one bound, and what went wrong where one of them fails."""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from replay.clients.base import Endpoint, Limits
from replay.outcome import FailureKind

__all__ = ["NotConnected", "dial"]

_T = TypeVar("_T")


class NotConnected(Exception):
    """There is no connection. kind, phase and detail are those of a `Failure`."""

    def __init__(self, kind: FailureKind, phase: str, detail: str) -> None:
        super().__init__(detail)
        self.kind: FailureKind = kind
        self.phase = phase
        self.detail = detail


async def dial(endpoint: Endpoint, limits: Limits, made: Callable[[socket.socket], Awaitable[_T]]) -> _T:
    """Connect a socket, one that does not block, and return what `made` makes of it, the handshake included.

    The socket belongs to what `made` returns; where it raises, the socket is closed. Raises NotConnected.
    """
    phase = "connect"
    try:
        async with asyncio.timeout(limits.connect_timeout_ns / 1e9):
            # In two steps, so that a failure can be told to be the connection's or the handshake's.
            sock = await _connected(endpoint)
            phase = "tls" if endpoint.tls else "connect"
            try:
                return await made(sock)
            except BaseException:
                sock.close()
                raise
    except TimeoutError:
        raise NotConnected("timeout", phase, f"no connection within {limits.connect_timeout_ns / 1e9:g} s") from None
    except (OSError, UnicodeError) as error:
        raise NotConnected(*_failure(error, phase, endpoint)) from error


def _failure(error: OSError | UnicodeError, phase: str, endpoint: Endpoint) -> tuple[FailureKind, str, str]:
    said = getattr(error, "strerror", None) or str(error) or type(error).__name__
    if isinstance(error, UnicodeError):  # a name with an empty label, or one of more than 63 letters
        return "dns", phase, f"{endpoint.host}: not a name that can be looked up"
    if isinstance(error, socket.gaierror):
        return "dns", phase, f"{endpoint.host}: {said}"
    if isinstance(error, ssl.SSLError):
        return "tls", "tls", getattr(error, "verify_message", "") or getattr(error, "reason", None) or said
    if phase == "tls":
        return "tls", "tls", f"the connection ended in the handshake: {said}"
    if isinstance(error, ConnectionRefusedError):
        return "refused", phase, f"{endpoint.address} refused the connection"
    if error.errno in (errno.ECONNRESET, errno.EPIPE):
        return "reset", phase, said
    return "refused", phase, said


async def _connected(endpoint: Endpoint) -> socket.socket:
    """A socket that is connected to the first of the build's addresses that can be reached."""
    loop = asyncio.get_running_loop()
    addresses: list[tuple[int, Any]]
    if endpoint.unix is not None:
        addresses = [(socket.AF_UNIX, endpoint.unix)]
    else:
        infos = await loop.getaddrinfo(endpoint.host, endpoint.port, type=socket.SOCK_STREAM)
        addresses = [(family, address) for family, _, _, _, address in infos]
    last: OSError | None = None
    for family, address in addresses:
        sock = socket.socket(family, socket.SOCK_STREAM)
        sock.setblocking(False)
        try:
            await loop.sock_connect(sock, address)
            if family != socket.AF_UNIX:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError as error:
            sock.close()
            last = error
        except BaseException:
            sock.close()
            raise
        else:
            return sock
    raise last or socket.gaierror(socket.EAI_NONAME, "no address")
