"""The relay passes bytes, ends, resets and backpressure through, on uvloop and on plain asyncio alike."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Iterator

import pytest

from capture.sources.relay.address import Address
from capture.sources.relay.link import WRITE_BYTES_HIGH
from tests.support.relay import LOOPS, RelayThread, relay_thread

pytestmark = pytest.mark.net

READ_BYTES_MAX = 256 * 1024


@pytest.fixture(params=sorted(LOOPS))
def loop_name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


class Stage:
    """A client and an upstream joined by a relay, both ends in the hands of the test."""

    def __init__(self, relay: RelayThread, listener: socket.socket) -> None:
        self.relay = relay
        self.listener = listener
        self.client = socket.create_connection(("127.0.0.1", relay.port), timeout=10)
        self.upstream, _ = listener.accept()
        self.upstream.settimeout(10)
        # An upstream that resets before the loop has looked at its new connection counts as one that refused.
        relay.wait_until(lambda: any(link.peer is not None for link in relay.relay.links))


@pytest.fixture
def stage(loop_name: str) -> Iterator[Stage]:
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        listener.settimeout(10)
        address = Address(*listener.getsockname())
        stage = Stage(stack.enter_context(relay_thread(address, loop_name=loop_name)), listener)
        stack.enter_context(stage.client)
        stack.enter_context(stage.upstream)
        yield stage


def read_exactly(sock: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        piece = sock.recv(count - len(data))
        assert piece, f"ended after {len(data)} of {count} bytes"
        data += piece
    return data


def read_all(sock: socket.socket) -> tuple[bytes, str]:
    """Everything up to the end, and how it ended: "fin" or "rst"."""
    data = b""
    try:
        while piece := sock.recv(65536):
            data += piece
    except ConnectionResetError:
        return data, "rst"
    return data, "fin"


def reset(sock: socket.socket) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def test_bytes_arrive_unchanged_in_both_directions(stage: Stage) -> None:
    every_byte = bytes(range(256))
    stage.client.sendall(every_byte)
    assert read_exactly(stage.upstream, 256) == every_byte
    stage.upstream.sendall(every_byte[::-1])
    assert read_exactly(stage.client, 256) == every_byte[::-1]


def test_a_server_that_speaks_first_is_heard(stage: Stage) -> None:
    stage.upstream.sendall(b"220 ready\r\n")
    assert read_exactly(stage.client, 11) == b"220 ready\r\n"


def test_a_client_that_half_closes_still_gets_its_answer(stage: Stage) -> None:
    stage.client.sendall(b"question")
    stage.client.shutdown(socket.SHUT_WR)
    assert read_all(stage.upstream) == (b"question", "fin")
    stage.upstream.sendall(b"answer")
    stage.upstream.close()
    assert read_all(stage.client) == (b"answer", "fin")
    stage.relay.wait_until(lambda: stage.relay.relay.connections == 0)


def test_an_upstream_that_half_closes_still_hears_the_client(stage: Stage) -> None:
    stage.upstream.sendall(b"goodbye")
    stage.upstream.shutdown(socket.SHUT_WR)
    assert read_all(stage.client) == (b"goodbye", "fin")
    stage.client.sendall(b"last words")
    stage.client.close()
    assert read_all(stage.upstream) == (b"last words", "fin")
    stage.relay.wait_until(lambda: stage.relay.relay.connections == 0)


def test_a_reset_by_the_client_reaches_the_upstream_as_a_reset(stage: Stage) -> None:
    stage.client.sendall(b"half a requ")
    assert read_exactly(stage.upstream, 11) == b"half a requ"
    reset(stage.client)
    assert read_all(stage.upstream) == (b"", "rst")
    assert stage.relay.relay.counters.resets == 1


def test_a_reset_by_the_upstream_reaches_the_client_after_the_bytes_before_it(stage: Stage) -> None:
    stage.upstream.sendall(b"half an answ")
    reset(stage.upstream)
    assert read_all(stage.client) == (b"half an answ", "rst")


def test_a_reset_after_a_half_close_is_still_a_reset(stage: Stage) -> None:
    stage.client.shutdown(socket.SHUT_WR)
    assert stage.upstream.recv(1) == b""
    stage.upstream.sendall(b"half an answ")
    reset(stage.upstream)
    assert read_all(stage.client) == (b"half an answ", "rst")


def test_a_megabyte_both_ways_at_once_arrives_whole(stage: Stage) -> None:
    up, down = b"u" * 3_000_000, b"d" * 3_000_000
    threads = [
        threading.Thread(target=sock.sendall, args=(data,))
        for sock, data in ((stage.client, up), (stage.upstream, down))
    ]
    received: dict[str, bytes] = {}
    threads += [
        threading.Thread(target=lambda name=name, sock=sock: received.update({name: read_exactly(sock, 3_000_000)}))
        for name, sock in (("up", stage.upstream), ("down", stage.client))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert received == {"up": up, "down": down}


def test_a_client_that_does_not_read_stops_the_upstream_and_bounds_the_buffers(stage: Stage) -> None:
    stage.upstream.setblocking(False)
    sent, blocked = 0, 0
    piece = b"x" * 65536
    while blocked < 50:
        try:
            sent += stage.upstream.send(piece)
            blocked = 0
        except BlockingIOError:
            blocked += 1
            # Each turn of the relay's loop may still free some of the kernel's buffers; fifty without any are the end.
            stage.relay.call(_turn())
    (link,) = stage.relay.relay.links
    assert link.transport is not None
    assert link.transport.get_write_buffer_size() <= WRITE_BYTES_HIGH + READ_BYTES_MAX
    stage.upstream.setblocking(True)
    stage.upstream.settimeout(10)
    stage.upstream.shutdown(socket.SHUT_WR)
    data, how = read_all(stage.client)
    assert (len(data), how) == (sent, "fin")


async def _turn() -> None:
    await asyncio.sleep(0.001)


def test_a_refused_upstream_resets_the_client(loop_name: str) -> None:
    # Bound and not listening: it refuses, and nobody else is given its port meanwhile.
    taken = socket.socket()
    taken.bind(("127.0.0.1", 0))
    with taken, relay_thread(Address(*taken.getsockname()), loop_name=loop_name) as relay:
        try:
            with socket.create_connection(("127.0.0.1", relay.port), timeout=10) as client:
                assert read_all(client) == (b"", "rst")
        except ConnectionResetError:
            pass  # the reset was there before connect had returned
        relay.wait_until(lambda: relay.relay.counters.connect_failed == 1)
        relay.wait_until(lambda: relay.relay.connections == 0)


def test_bytes_and_the_end_sent_before_the_upstream_is_connected_are_passed_on(stage: Stage) -> None:
    with socket.create_connection(("127.0.0.1", stage.relay.port), timeout=10) as client:
        client.sendall(b"z" * 200_000)
        client.shutdown(socket.SHUT_WR)
        upstream, _ = stage.listener.accept()
        with upstream:
            upstream.settimeout(10)
            assert read_all(upstream) == (b"z" * 200_000, "fin")
            upstream.sendall(b"thanks")
        assert read_all(client) == (b"thanks", "fin")


def test_a_drain_ends_what_is_quiet_and_waits_for_what_is_not(loop_name: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(10)
        with relay_thread(Address(*listener.getsockname()), loop_name=loop_name, quiet_s=0.05) as relay:
            idle = socket.create_connection(("127.0.0.1", relay.port), timeout=10)
            idle_up, _ = listener.accept()
            busy = socket.create_connection(("127.0.0.1", relay.port), timeout=10)
            busy_up, _ = listener.accept()
            with idle, idle_up, busy, busy_up:
                idle.sendall(b"question")
                read_exactly(idle_up, 8)
                idle_up.sendall(b"answer")
                read_exactly(idle, 6)
                busy.sendall(b"question")
                read_exactly(busy_up, 8)
                done: list[int] = []
                thread = threading.Thread(target=lambda: done.append(relay.call(relay.relay.drain(10))))
                thread.start()
                assert read_all(idle) == (b"", "fin")
                assert not done
                busy_up.sendall(b"answer")
                busy_up.close()
                assert read_all(busy) == (b"answer", "fin")
                busy.close()
                idle.close()
                idle_up.close()
                thread.join(20)
                assert done == [0]
                with pytest.raises(ConnectionRefusedError):
                    socket.create_connection(("127.0.0.1", relay.port), timeout=10)


def test_a_drain_resets_what_is_left_at_the_deadline(stage: Stage) -> None:
    stage.client.sendall(b"question")
    assert stage.relay.call(stage.relay.relay.drain(0.05)) == 1
    assert read_all(stage.client) == (b"", "rst")
    assert read_all(stage.upstream)[1] == "rst"
