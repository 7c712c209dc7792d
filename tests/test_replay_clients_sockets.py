"""Sockets that a client watches itself: all bytes in both directions, and every way in which a connection ends."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import uvloop

from replay.clients.sockets import Link, Sockets, can_watch

pytestmark = [pytest.mark.net, pytest.mark.skipif(not can_watch(), reason="the system has no epoll")]

WAIT_S = 30


class Heard:
    """What a link told."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.lost: list[Exception | None] = []
        self.news = asyncio.Event()

    def data_received(self, data: bytes) -> None:
        assert not self.lost
        self.data += data
        self.news.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.append(exc)
        self.news.set()

    async def until(self, done: Callable[[], object]) -> None:
        async with asyncio.timeout(WAIT_S):
            while not done():
                await self.news.wait()
                self.news.clear()


@pytest.fixture(params=[asyncio.run, uvloop.run])
def run(request: pytest.FixtureRequest) -> Any:
    """Both event loops."""
    return request.param


def linked(run: Any, main: Callable[[Link, Heard, socket.socket], Coroutine[Any, Any, None]]) -> None:
    """Run `main` with a link, what it tells, and the socket at its other end."""

    async def with_link() -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            near = socket.create_connection(server.getsockname()[:2], WAIT_S)
            far, _ = server.accept()
        with near, far:
            near.setblocking(False)
            far.settimeout(WAIT_S)
            sockets, heard = Sockets(), Heard()
            try:
                await main(sockets.link(near, heard), heard, far)
            finally:
                sockets.close()
                sockets.close()

    run(with_link())


def test_bytes_arrive_in_both_directions(run: Any) -> None:
    async def main(link: Link, heard: Heard, far: socket.socket) -> None:
        link.write(b"ping")
        assert far.recv(4) == b"ping"
        far.sendall(b"pong")
        await heard.until(lambda: bytes(heard.data) == b"pong")

    linked(run, main)


def test_what_the_socket_does_not_take_at_once_is_sent_when_it_does(run: Any) -> None:
    whole = bytes(range(256)) * 40_000

    async def main(link: Link, heard: Heard, far: socket.socket) -> None:
        link.write(whole)
        got = await asyncio.to_thread(receive, far, len(whole))
        assert got == whole
        far.sendall(b"thanks")
        await heard.until(lambda: bytes(heard.data) == b"thanks")

    linked(run, main)


def test_what_is_written_while_the_peer_does_not_read_comes_in_its_order(run: Any) -> None:
    # An answer may come before its request was taken whole, and then the next request follows on the connection.
    pieces = [bytes([number]) * size for number, size in enumerate((9_000_000, 40, 3_000_000, 1))]

    async def main(link: Link, heard: Heard, far: socket.socket) -> None:
        for piece in pieces:
            link.write(piece)
        assert await asyncio.to_thread(receive, far, sum(map(len, pieces))) == b"".join(pieces)

    linked(run, main)


def receive(sock: socket.socket, count: int) -> bytes:
    got = bytearray()
    while len(got) < count and (piece := sock.recv(1 << 16)):
        got += piece
    return bytes(got)


def test_a_peer_that_closes_is_told_after_what_it_had_sent(run: Any) -> None:
    async def main(link: Link, heard: Heard, far: socket.socket) -> None:
        far.sendall(b"the end")
        far.close()
        await heard.until(lambda: heard.lost)
        assert bytes(heard.data) == b"the end"
        assert heard.lost == [None]
        assert link.is_closing()

    linked(run, main)


def test_a_reset_is_told_as_an_error(run: Any) -> None:
    async def main(link: Link, heard: Heard, far: socket.socket) -> None:
        far.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        far.close()
        await heard.until(lambda: heard.lost)
        assert isinstance(heard.lost[0], ConnectionResetError)

    linked(run, main)


def test_what_a_peer_said_before_it_went_away_is_heard_also_where_sending_to_it_fails(run: Any) -> None:
    async def main(link: Link, heard: Heard, far: socket.socket) -> None:
        far.sendall(b"too large")
        # The peer refuses to read more; the first bytes sent make it say so, the next ones cannot be sent.
        far.shutdown(socket.SHUT_RD)
        far.close()
        for _ in range(100):
            link.write(b"more")
        await heard.until(lambda: heard.lost)
        assert bytes(heard.data) == b"too large"
        assert len(heard.lost) == 1

    linked(run, main)


def test_an_aborted_link_tells_nothing_more(run: Any) -> None:
    async def main(link: Link, heard: Heard, far: socket.socket) -> None:
        far.sendall(b"late")
        link.abort()
        link.abort()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert not heard.data
        assert not heard.lost
        assert link.is_closing()

    linked(run, main)
