"""Plain sockets of one client, all watched by one descriptor: what has arrived is read by the turn of the loop."""

from __future__ import annotations

import asyncio
import select
import socket
from typing import Final, Protocol

__all__ = ["Link", "Receiver", "Sockets", "can_watch"]

_READ_BYTES: Final = 64 << 10
_NOTHING: Final = memoryview(b"")


def can_watch() -> bool:
    """True where the system has epoll(7); elsewhere the loop's own transports do."""
    return hasattr(select, "epoll")


class Receiver(Protocol):
    """Whom a link tells, as the loop's transports tell an `asyncio.Protocol`; always from the loop."""

    def data_received(self, data: bytes) -> None:
        """Some bytes have arrived."""

    def connection_lost(self, exc: Exception | None) -> None:
        """The peer has closed the connection, None, or it has failed."""


class Link:
    """One connected socket. It is told of by `receiver` until it is lost or `abort` was called, whichever is first."""

    __slots__ = ("_broken", "_out", "_send", "_socket", "_sockets", "closed", "fd", "receive", "receiver", "recv")

    def __init__(self, sock: socket.socket, sockets: Sockets, receiver: Receiver) -> None:
        self.fd = sock.fileno()
        self.recv = sock.recv
        self.receive = receiver.data_received
        self.receiver = receiver
        self.closed = False
        self._send = sock.send
        self._socket = sock
        self._sockets = sockets
        self._out = _NOTHING
        self._broken: OSError | None = None

    def is_closing(self) -> bool:
        """True where nothing can be sent any more."""
        return self.closed

    def write(self, data: bytes) -> None:
        """Send now what the socket takes, and the rest when it takes more; behind what it did not take before."""
        if self._out:
            self._out = memoryview(b"".join((self._out, data)))
            return
        self._send_some(data)

    def _send_some(self, data: bytes | memoryview) -> None:
        try:
            sent = self._send(data)
        except BlockingIOError:
            sent = 0
        except OSError as error:
            # What the peer said before it went away can still be read, and comes before the news that it has gone.
            self._broken = error
            self._sockets.loop.call_soon(self.read)
            return
        if sent < len(data):
            self._out = memoryview(data)[sent:]
            self._sockets.want(self, writing=True)

    def flush(self) -> None:
        """The socket takes more."""
        if self._out:
            self._sockets.want(self, writing=False)
            out, self._out = self._out, _NOTHING
            self._send_some(out)

    def read(self) -> None:
        """Something has arrived, or the connection has ended."""
        if self.closed:
            return
        try:
            data = self.recv(_READ_BYTES)
        except BlockingIOError:
            if self._broken is not None:
                self._lose(self._broken)
        except OSError as error:
            self._lose(error)
        else:
            if not data:
                self._lose(self._broken)
                return
            self.receive(data)
            if self._broken is not None:
                self._sockets.loop.call_soon(self.read)

    def _lose(self, error: OSError | None) -> None:
        self.abort()
        self.receiver.connection_lost(error)

    def abort(self) -> None:
        """Close at once, and tell nobody; nothing happens where it is closed."""
        if not self.closed:
            self.closed = True
            self._sockets.forget(self)
            self._socket.close()


class Sockets:
    """Watches the sockets of one client. Made inside the running loop; `close` it after its links.

    The loop's transports cost about twice what reading and sending cost themselves: a call into them for each piece
    that arrives, and a queue for each that is sent. Here the loop is told once a turn that some socket is ready.
    """

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self._links: dict[int, Link] = {}
        self._epoll = select.epoll()
        self.loop.add_reader(self._epoll.fileno(), self._ready)

    def link(self, sock: socket.socket, receiver: Receiver) -> Link:
        """Watch a connected socket that does not block; it belongs to the link from now on."""
        link = Link(sock, self, receiver)
        self._epoll.register(link.fd, select.EPOLLIN)
        self._links[link.fd] = link
        return link

    def want(self, link: Link, *, writing: bool) -> None:
        """Say whether the link has something to send that the socket did not take."""
        self._epoll.modify(link.fd, select.EPOLLIN | select.EPOLLOUT if writing else select.EPOLLIN)

    def forget(self, link: Link) -> None:
        """Watch it no more."""
        if self._links.pop(link.fd, None) is not None:
            self._epoll.unregister(link.fd)

    def _ready(self) -> None:
        links, readable = self._links, select.EPOLLIN
        for fd, events in self._epoll.poll(0):
            link = links.get(fd)
            if link is None:
                continue  # closed by what came before it in this turn
            if events != readable:
                link.flush()
                if events & ~select.EPOLLOUT:
                    link.read()
                continue
            try:
                data = link.recv(_READ_BYTES)
            except OSError:
                link.read()  # the rare ends are told apart there
                continue
            if data:
                link.receive(data)
            else:
                link.read()

    def close(self) -> None:
        """Watch nothing any more; links that are left are closed."""
        for link in list(self._links.values()):
            link.abort()
        if not self._epoll.closed:
            self.loop.remove_reader(self._epoll.fileno())
            self._epoll.close()
