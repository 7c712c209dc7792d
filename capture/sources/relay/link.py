"""One relayed connection: bytes, ends and resets of either side passed to the other at once, copies shown to a tap.

    client  <-- transport --> ClientSide  <-- peer -->  UpstreamSide  <-- transport -->  upstream

What is passed through, in both directions:
  bytes         written to the other side before anything looks at them
  backpressure  a side whose peer takes no more is not read, so that the buffers stay bounded (see WRITE_BYTES_HIGH)
  end (FIN)     passed on after the bytes before it; the other direction goes on
  reset (RST)   passed on as a reset after the bytes before it, never as a clean end
A reset is TCP's only sign that something went wrong: a clean end in its place would turn a cut answer into a whole one
for every client that reads until the end.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import socket
import struct
import sys
import termios
from collections.abc import Callable
from typing import Protocol, cast

from capture.sources.relay.deathwatch import Deathwatch
from capture.sources.relay.proxy_protocol import Proxied, ProxyHeaderError, parse_header

__all__ = ["WRITE_BYTES_HIGH", "ClientSide", "Counters", "ProxiedClientSide", "Side", "Tap", "UpstreamSide"]

WRITE_BYTES_HIGH = 64 * 1024
"""Bytes that wait for a slow side before its peer is no longer read. One read of the loop, at most 256 KiB, may come
on top, so a direction holds at most 320 KiB outside the kernel."""

_LINGER_RESET = struct.pack("ii", 1, 0)
_HEADER_WAIT_S = 5.0
_RESET_POLL_S = 0.005
_RESET_WAIT_S = 1.0
# SIOCOUTQNSD of linux/sockios.h: bytes not sent yet. TIOCOUTQ also counts sent ones that a delayed ACK leaves open.
_UNSENT = 0x894B if sys.platform == "linux" else termios.TIOCOUTQ


class Tap(Protocol):
    """What looks at copies of one connection. None of its methods raises (tap.py is the boundary that sees to it).

    sees_server: False where only the client's direction is wanted.
    """

    @property
    def sees_server(self) -> bool: ...

    def client_bytes(self, data: bytes, at_ns: int) -> None: ...
    def server_bytes(self, data: bytes, at_ns: int) -> None: ...
    def client_end(self, at_ns: int) -> None: ...
    def server_end(self, at_ns: int) -> None: ...
    def abort(self, at_ns: int, by_client: bool = False) -> None: ...
    def close(self, at_ns: int) -> None: ...


class Counters:
    """What one relay passed on; plain integers for the metrics, which only ever grow except `active`.

    client_bytes, server_bytes: written on from client to upstream and back. connect_failed: clients that were reset
    because the upstream did not accept. resets: connections that ended with a reset or an error on either side.
    """

    __slots__ = ("accepted", "active", "client_bytes", "connect_failed", "resets", "server_bytes")

    def __init__(self) -> None:
        self.accepted = 0
        self.active = 0
        self.client_bytes = 0
        self.server_bytes = 0
        self.connect_failed = 0
        self.resets = 0


class Side(asyncio.Protocol):
    """One end of a relayed connection; `peer` is the other end, known once the upstream is connected.

    ended_in: this side has sent its FIN. ended_out: the FIN of the other was passed on here. lost: the transport is
    gone. last_ns: when bytes last came from here.
    """

    is_client = False
    __slots__ = (
        "counters",
        "ended_in",
        "ended_out",
        "fd",
        "last_ns",
        "lost",
        "now_ns",
        "peer",
        "peer_write",
        "resetting",
        "sock",
        "tap",
        "transport",
        "watch",
    )

    def __init__(self, now_ns: Callable[[], int], counters: Counters, watch: Deathwatch) -> None:
        self.now_ns = now_ns
        self.counters = counters
        self.watch = watch
        self.sock: socket.socket | None = None
        self.fd = -1
        self.transport: asyncio.Transport | None = None
        self.peer: Side | None = None
        self.peer_write: Callable[[bytes], None] | None = None
        self.tap: Tap | None = None
        self.last_ns = 0
        self.ended_in = False
        self.ended_out = False
        self.lost = False
        self.resetting = False

    def attach(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport of this side."""
        self.transport = cast(asyncio.Transport, transport)
        self.transport.set_write_buffer_limits(high=WRITE_BYTES_HIGH, low=0)
        self.sock = self.transport.get_extra_info("socket")
        if self.sock is not None and self.sock.family != socket.AF_UNIX:
            self.fd = self.sock.fileno()

    def pause_writing(self) -> None:
        peer = self.peer
        if peer is not None and peer.transport is not None:
            peer.transport.pause_reading()
            peer.watch_for_reset()

    def resume_writing(self) -> None:
        peer = self.peer
        if peer is not None and peer.transport is not None and not (peer.ended_in or peer.lost or peer.resetting):
            peer.watch.forget(peer.fd, peer.died)
            peer.transport.resume_reading()

    def watch_for_reset(self) -> None:
        """This side is not read for now, and the loop would not see it reset."""
        if not self.lost:
            self.watch.watch(self.fd, self.died)

    def died(self) -> None:
        """This side was reset while it was not read."""
        if self.lost or self.resetting:
            return
        self._broken()
        self.abort()

    def _broken(self) -> None:
        """Count and pass on that this side ended with a reset or an error."""
        self.counters.resets += 1
        peer = self.peer
        tap = self.tap or (peer.tap if peer is not None else None)
        if tap is not None:
            tap.abort(self.now_ns(), by_client=self.is_client)
        if peer is not None:
            peer.reset()

    def eof_received(self) -> bool:
        self.ended_in = True
        self.watch_for_reset()
        peer = self.peer
        if peer is not None:
            peer.end()
        transport = self.transport
        assert transport is not None
        if self.ended_out:
            transport.close()
        # A TLS transport cannot stay half open and closes itself, with a warning where it was asked to stay.
        return transport.can_write_eof()

    def end(self) -> None:
        """The other side has ended its direction: say so here, after the bytes that still wait."""
        transport = self.transport
        if transport is None or self.lost or self.resetting or self.ended_out:
            return
        self.ended_out = True
        if self.ended_in or not transport.can_write_eof():
            transport.close()
        else:
            # Where this side is already gone the loop tells connection_lost next, which is what counts.
            with contextlib.suppress(OSError, RuntimeError):
                transport.write_eof()

    def close(self) -> None:
        """Close after the bytes that still wait; what comes from here later is lost."""
        if self.transport is not None and not self.lost:
            self.transport.close()

    def reset(self) -> None:
        """Abort with a reset, once the bytes that came before it have left, after a second at most."""
        transport = self.transport
        if transport is None or self.lost or self.resetting:
            return
        self.resetting = True
        if not transport.is_closing():
            transport.pause_reading()
        self._reset_when_sent(_RESET_WAIT_S)

    def abort(self) -> None:
        """Reset at once, whatever still waits."""
        transport = self.transport
        if transport is None or self.lost:
            return
        self.resetting = True
        if self.sock is not None and self.fd >= 0:
            # The transport below TLS may be closed already.
            with contextlib.suppress(OSError, ValueError):
                self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_RESET)
        transport.abort()

    def _reset_when_sent(self, wait_s: float) -> None:
        transport = self.transport
        if self.lost or transport is None:
            return
        if wait_s > 0 and (transport.get_write_buffer_size() or _unsent_bytes(self.sock)):
            asyncio.get_running_loop().call_later(_RESET_POLL_S, self._reset_when_sent, wait_s - _RESET_POLL_S)
        else:
            self.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True
        self.watch.forget(self.fd, self.died)
        peer = self.peer
        if peer is not None:
            peer.peer_write = None
            # Without an end from here, a close without an error is our own: TLS cannot be half open (see `end`).
            if self.resetting:
                peer.reset()
            elif exc is None and (self.ended_in or self.ended_out):
                peer.end()
            else:
                self._broken()
        self._gone()

    def _gone(self) -> None:
        """The transport of this side is gone; where it was the last one the connection is over."""
        raise NotImplementedError


class ClientSide(Side):
    """The accepted end. Until the upstream is connected its bytes wait, at most one read of the loop.

    number: of the connection within its relay, from 0. proxied: who the client is, and where it connected to.
    greeting: bytes that the upstream is sent before the client's, which no tap sees.
    """

    is_client = True
    __slots__ = ("_on_closed", "_on_opened", "_waiting", "greeting", "number", "proxied")

    def __init__(
        self,
        now_ns: Callable[[], int],
        counters: Counters,
        watch: Deathwatch,
        on_opened: Callable[[ClientSide], None],
        on_closed: Callable[[ClientSide], None],
    ) -> None:
        super().__init__(now_ns, counters, watch)
        self._on_opened = on_opened
        self._on_closed = on_closed
        self._waiting: list[bytes] = []
        self.number = -1
        self.proxied = Proxied()
        self.greeting = b""

    @property
    def client(self) -> str:
        """The client's address without its port; "unix" where it has none."""
        return self.proxied.host or "unix"

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.attach(transport)
        self.open()

    def open(self) -> None:
        """The connection begins; who it is with is known now."""
        if self.transport is not None and not self.proxied.host:
            peer, own = (self.transport.get_extra_info(name) for name in ("peername", "sockname"))
            if isinstance(peer, tuple) and isinstance(own, tuple):
                self.proxied = Proxied(peer[0], peer[1], own[0], own[1])
        self._on_opened(self)

    def data_received(self, data: bytes) -> None:
        write = self.peer_write
        if write is None:
            self._hold(data)
            return
        at_ns = self.now_ns()
        write(data)
        self.last_ns = at_ns
        self.counters.client_bytes += len(data)
        if self.tap is not None:
            self.tap.client_bytes(data, at_ns)

    def _hold(self, data: bytes) -> None:
        """Keep what came before the upstream was there; where it is already gone again the bytes have nowhere to go."""
        if self.peer is None and self.transport is not None:
            self._waiting.append(data)
            self.transport.pause_reading()

    def eof_received(self) -> bool:
        keep_open = super().eof_received()
        if self.tap is not None:
            self.tap.client_end(self.now_ns())
        return keep_open

    def join(self, upstream: UpstreamSide) -> bool:
        """The upstream is connected: send what waited, then read again. False where the client is gone already."""
        transport = self.transport
        assert transport is not None
        assert upstream.transport is not None
        if self.lost or self.resetting:
            return False
        upstream.peer = self
        upstream.peer_write = transport.write
        self.peer = upstream
        self.peer_write = upstream.transport.write
        if self.greeting:
            upstream.transport.write(self.greeting)
        waiting, self._waiting = self._waiting, []
        for data in waiting:
            self.data_received(data)
        if self.ended_in:
            upstream.end()
        elif waiting and upstream.transport.get_write_buffer_size() <= WRITE_BYTES_HIGH:
            transport.resume_reading()
        return True

    def _gone(self) -> None:
        self._waiting.clear()
        if self.peer is None or self.peer.lost:
            self.finish()

    def finish(self) -> None:
        """Both transports are gone: the tap gets its last word."""
        if self.tap is not None:
            self.tap.close(self.now_ns())
        self._on_closed(self)


class ProxiedClientSide(ClientSide):
    """A client behind a load balancer: its connection begins with a PROXY header, which is taken off."""

    __slots__ = ("_header", "_timer")

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.attach(transport)
        self._header: bytes | None = b""
        self._timer = asyncio.get_running_loop().call_later(_HEADER_WAIT_S, self.abort)

    def data_received(self, data: bytes) -> None:
        if self._header is None:
            super().data_received(data)
            return
        self._header += data
        try:
            found = parse_header(self._header)
        except ProxyHeaderError:
            self.abort()
            return
        if found is not None:
            self.proxied, length = found
            rest, self._header = self._header[length:], None
            self._timer.cancel()
            self.open()
            if rest:
                super().data_received(rest)

    def _gone(self) -> None:
        self._timer.cancel()
        if self._header is None:
            super()._gone()


class UpstreamSide(Side):
    """The end that was connected to the service for one client."""

    __slots__ = ("_client",)

    def __init__(self, client: ClientSide, tap: Tap | None) -> None:
        super().__init__(client.now_ns, client.counters, client.watch)
        self._client = client
        self.tap = tap if tap is not None and tap.sees_server else None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.attach(transport)
        if not self._client.join(self):
            self.abort()

    def data_received(self, data: bytes) -> None:
        write = self.peer_write
        if write is None:
            return
        at_ns = self.now_ns()
        write(data)
        self.last_ns = at_ns
        self.counters.server_bytes += len(data)
        if self.tap is not None:
            self.tap.server_bytes(data, at_ns)

    def eof_received(self) -> bool:
        keep_open = super().eof_received()
        if self.tap is not None:
            self.tap.server_end(self.now_ns())
        return keep_open

    def _gone(self) -> None:
        if self.peer is self._client and self._client.lost:
            self._client.finish()


def _unsent_bytes(sock: socket.socket | None) -> int:
    """Bytes that the kernel has not sent yet; 0 where that cannot be known."""
    if sock is None:
        return 0
    try:
        unsent: int = struct.unpack("i", fcntl.ioctl(sock.fileno(), _UNSENT, bytes(4)))[0]
    except (OSError, ValueError):
        return 0
    return unsent
