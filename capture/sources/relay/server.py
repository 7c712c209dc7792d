"""The relay's listener: accepts clients, connects each to the upstream, and drains when it is told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import errno
import logging
import os
import socket
import ssl
import stat
from collections.abc import Callable
from typing import Any, Literal

from capture.clock import Clock
from capture.errors import BadInput, RunFailed, UsageError
from capture.sources.relay.address import Address
from capture.sources.relay.deathwatch import Deathwatch
from capture.sources.relay.link import ClientSide, Counters, ProxiedClientSide, Tap, UpstreamSide
from capture.sources.relay.messages import say
from capture.sources.relay.proxy_protocol import encode_v1, encode_v2
from capture.sources.relay.tls import Terminator, TlsOptions, upstream_context

__all__ = ["Relay", "RelayOptions", "bind"]

_DRAIN_POLL_S = 0.05
_ABORT_WAIT_S = 2.0
_TLS_WAITS = {"ssl_handshake_timeout": 15.0, "ssl_shutdown_timeout": 5.0}


@dataclasses.dataclass(frozen=True, slots=True)
class RelayOptions:
    """How one relay listens and connects.

    quiet_s: at a drain, a connection on which the upstream spoke last and nobody for that long is between two
    exchanges, and is ended on both sides. proxy_in: each client connection begins with a PROXY header, which says who
    the client is. proxy_out: version of the PROXY header that the upstream is sent, None for none.
    """

    listen: Address
    upstream: Address
    backlog: int = 4096
    quiet_s: float = 1.0
    tls: TlsOptions = dataclasses.field(default_factory=TlsOptions)
    proxy_in: bool = False
    proxy_out: Literal["v1", "v2"] | None = None


class Relay:
    """One listener in the running loop, one upstream connection for each client connection.

    make_tap: called for each accepted connection with the client's address and its number; None where nothing is to
    look at it. It must not raise.
    """

    def __init__(
        self, options: RelayOptions, make_tap: Callable[[str, int], Tap | None], clock: Clock | None = None
    ) -> None:
        self.options = options
        self.counters = Counters()
        self.draining = False
        self._make_tap = make_tap
        self._now_ns = (clock or Clock()).now_ns
        self._links: dict[int, ClientSide] = {}
        self._connecting: dict[int, asyncio.Task[None]] = {}
        self._servers: list[asyncio.Server] = []
        self._empty = asyncio.Event()
        self._ended: dict[int, int] = {}
        self._watch: Deathwatch | None = None
        self._terminator = Terminator(options.tls) if options.tls.cert is not None else None
        self._upstream_tls = upstream_context(options.tls) if options.tls.upstream else None

    async def start(self, sockets: list[socket.socket]) -> None:
        """Accept on sockets that are bound (`bind`); they are closed by `drain`."""
        loop = asyncio.get_running_loop()
        self._watch = Deathwatch(loop)
        more: dict[str, Any] = {"backlog": self.options.backlog}
        if self._terminator is not None:
            more |= {"ssl": self._terminator.context, **_TLS_WAITS}
        for sock in sockets:
            if sock.family == socket.AF_UNIX:
                server = await loop.create_unix_server(self._accepted, sock=sock, **more)
            else:
                server = await loop.create_server(self._accepted, sock=sock, **more)
            self._servers.append(server)

    def reload_tls(self) -> bool:
        """Use what the certificate's files hold now; where that cannot be used, say so, keep the old one: False."""
        if self._terminator is not None:
            try:
                self._terminator.reload()
            except BadInput as error:
                say(f"certificate not reloaded, the old one holds: {error}", logging.ERROR)
                return False
            say("certificate reloaded")
        return True

    @property
    def connections(self) -> int:
        """Client connections that are open."""
        return len(self._links)

    @property
    def links(self) -> list[ClientSide]:
        """The open connections, each by its client's side."""
        return list(self._links.values())

    async def drain(self, deadline_s: float) -> int:
        """Stop accepting, let exchanges that are under way end, and reset what is left at the deadline.

        Returns how many connections had to be reset.
        """
        self.draining = True
        for server in self._servers:
            server.close()
        loop = asyncio.get_running_loop()
        end = loop.time() + deadline_s
        while self._links and loop.time() < end:
            self._end_quiet()
            await asyncio.sleep(_DRAIN_POLL_S)
        cut = len(self._links)
        await self.abort()
        return cut

    async def abort(self) -> None:
        """Reset every connection now and wait until the loop has closed them."""
        for server in self._servers:
            server.close()
        for task in list(self._connecting.values()):
            task.cancel()
        for link in self.links:
            if link.peer is not None:
                link.peer.abort()
            link.abort()
        if self._links:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_ABORT_WAIT_S):
                    await self._empty.wait()
        if self._watch is not None:
            self._watch.close()

    def _accepted(self) -> ClientSide:
        assert self._watch is not None
        kind = ProxiedClientSide if self.options.proxy_in else ClientSide
        return kind(self._now_ns, self.counters, self._watch, self._opened, self._closed)

    def _opened(self, side: ClientSide) -> None:
        assert side.transport is not None
        counters = self.counters
        side.number = counters.accepted
        counters.accepted += 1
        counters.active += 1
        self._links[side.number] = side
        self._empty.clear()
        if self.options.proxy_out is not None:
            encode = encode_v1 if self.options.proxy_out == "v1" else encode_v2
            side.greeting = encode(side.proxied)
        tap = side.tap = self._make_tap(side.client, side.number)
        loop = asyncio.get_running_loop()
        self._connecting[side.number] = loop.create_task(self._connect(loop, side, tap))

    async def _connect(self, loop: asyncio.AbstractEventLoop, side: ClientSide, tap: Tap | None) -> None:
        upstream = self.options.upstream
        try:
            tls = self._tls_for(side)
            name = (self.options.tls.upstream_name or upstream.host) if tls is not None else None
            if upstream.path is not None:
                await loop.create_unix_connection(
                    lambda: UpstreamSide(side, tap), upstream.path, ssl=tls, server_hostname=name
                )
            else:
                await loop.create_connection(
                    lambda: UpstreamSide(side, tap), upstream.host, upstream.port, ssl=tls, server_hostname=name
                )
        except OSError as error:
            self.counters.connect_failed += 1
            if self.counters.connect_failed == 1:
                say(f"upstream {upstream} does not accept: {error}", logging.WARNING)
            side.abort()
        finally:
            self._connecting.pop(side.number, None)

    def _tls_for(self, side: ClientSide) -> ssl.SSLContext | None:
        """The upstream's context, offering what this client has chosen: the relay cannot translate protocols."""
        context = self._upstream_tls
        if context is not None:
            assert side.transport is not None
            chosen = side.transport.get_extra_info("ssl_object")
            protocol = chosen.selected_alpn_protocol() if chosen is not None else None
            context.set_alpn_protocols(self.options.tls.upstream_alpn(protocol))
        return context

    def _closed(self, side: ClientSide) -> None:
        if self._links.pop(side.number, None) is not None:
            self.counters.active -= 1
            if not self._links:
                self._empty.set()
        task = self._connecting.get(side.number)
        if task is not None:
            task.cancel()

    def _end_quiet(self) -> None:
        """End, both ways, each connection that is between two exchanges; close it where no end comes back."""
        now_ns = self._now_ns()
        before_ns = now_ns - int(self.options.quiet_s * 1e9)
        for link in self.links:
            upstream = link.peer
            if upstream is None or not link.last_ns <= upstream.last_ns < before_ns:
                continue
            ended_ns = self._ended.setdefault(link.number, now_ns)
            if ended_ns < before_ns:
                link.close()
                upstream.close()
            else:
                link.end()
                upstream.end()


def bind(address: Address, option: str, reuse_port: bool = False) -> list[socket.socket]:
    """Sockets bound to every address that the host has, on one port; port 0 takes a free one.

    Raises BadInput where the address is not one of this machine, RunFailed where it is in use or not allowed.
    """
    if address.path is not None:
        return [_bind_unix(address.path, option)]
    try:
        found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except socket.gaierror as error:
        raise UsageError(f"{option}: {address.host!r} cannot be resolved: {error.strerror}") from None
    sockets: list[socket.socket] = []
    port = address.port
    try:
        for family, kind, proto, _, where in found:
            sock = socket.socket(family, kind, proto)
            sockets.append(sock)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            if reuse_port:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            sock.bind((where[0], port, *where[2:]))
            sock.setblocking(False)
            port = sock.getsockname()[1]
    except OSError as error:
        for sock in sockets:
            sock.close()
        raise _cannot_listen(error, address, option) from None
    return sockets


def _bind_unix(path: str, option: str) -> socket.socket:
    if _is_something_else(path):
        raise BadInput(f"{option}: {path} is there already and is no socket; name a path that is free")
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        _remove_stale(path)
        sock.bind(path)
        sock.setblocking(False)
    except OSError as error:
        sock.close()
        raise _cannot_listen(error, Address(path=path), option) from None
    return sock


def _is_something_else(path: str) -> bool:
    """Whether a file or directory has this name: the kernel says of it, too, that nobody answers there."""
    try:
        return not stat.S_ISSOCK(os.lstat(path).st_mode)
    except OSError:
        return False


def _remove_stale(path: str) -> None:
    """Remove the socket that a process left behind when it was killed; one that still answers stays."""
    probe = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        probe.connect(path)
    except ConnectionRefusedError:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
    except OSError:
        pass
    finally:
        probe.close()


def _cannot_listen(error: OSError, address: Address, option: str) -> BadInput | RunFailed:
    if error.errno == errno.EADDRINUSE:
        return RunFailed(f"{option}: {address} is in use; stop what listens there or take another port")
    if error.errno in (errno.EADDRNOTAVAIL, errno.ENOENT, errno.ENOTDIR):
        return BadInput(f"{option}: {address} is not an address of this machine: {error.strerror}")
    return RunFailed(f"{option}: cannot listen on {address}: {error.strerror}")
