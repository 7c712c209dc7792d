"""Plays a scripted client against a scripted server, directly or through a relay, and notes what each of them heard."""

from __future__ import annotations

import contextlib
import dataclasses
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from typing import TypeAlias

__all__ = ["Heard", "Part", "Script", "listening", "perform", "read_all", "read_exactly", "reset"]

Heard: TypeAlias = list[object]
"""What a part heard, in order: bytes, or "fin" or "rst" for how the other side ended."""

Part: TypeAlias = Callable[[socket.socket], Heard]

_WAIT_S = 15


@dataclasses.dataclass(frozen=True)
class Script:
    """One scene: what the client and the server do with their connected sockets."""

    name: str
    client: Part
    server: Part


def read_exactly(sock: socket.socket, count: int) -> bytes:
    """`count` bytes; AssertionError where the other side ends before."""
    data = bytearray()
    while len(data) < count:
        piece = sock.recv(count - len(data))
        assert piece, f"ended after {len(data)} of {count} bytes"
        data += piece
    return bytes(data)


def read_all(sock: socket.socket) -> tuple[bytes, str]:
    """Everything up to the end, and how it ended: "fin" or "rst"."""
    data = bytearray()
    try:
        while piece := sock.recv(65536):
            data += piece
    except ConnectionResetError:
        return bytes(data), "rst"
    return bytes(data), "fin"


def reset(sock: socket.socket) -> None:
    """Close with a reset."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


@contextlib.contextmanager
def listening(family: int = socket.AF_INET) -> Iterator[socket.socket]:
    """A listener on a free loopback port."""
    host = "::1" if family == socket.AF_INET6 else "127.0.0.1"
    with socket.create_server((host, 0), family=family) as listener:
        listener.settimeout(_WAIT_S)
        yield listener


def perform(script: Script, listener: socket.socket, connect: Callable[[], socket.socket]) -> dict[str, Heard]:
    """Play the scene once; what client and server heard. connect: gives the client its socket."""
    heard: dict[str, Heard] = {}
    problems: list[BaseException] = []

    def serve() -> None:
        try:
            sock, _ = listener.accept()
            with sock:
                sock.settimeout(_WAIT_S)
                heard["server"] = script.server(sock)
        except BaseException as error:  # noqa: BLE001 - raised again in the test's own thread
            problems.append(error)

    thread = threading.Thread(target=serve, name="server")
    thread.start()
    try:
        with connect() as sock:
            sock.settimeout(_WAIT_S)
            heard["client"] = script.client(sock)
    finally:
        thread.join(2 * _WAIT_S)
    if problems:
        raise problems[0]
    return heard
