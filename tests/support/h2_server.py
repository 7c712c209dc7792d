"""A small HTTP/2 server on loopback that answers as the path asks for, and records what it got."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import DataReceived, RequestReceived, StreamEnded, TrailersReceived, WindowUpdated
from h2.exceptions import ProtocolError


class H2Server:
    """requests: fields, body and trailers of each request; connections: how many were accepted."""

    def __init__(self) -> None:
        self.port = 0
        self.connections = 0
        self.refused = 0
        self.requests: list[tuple[list[tuple[str, str]], bytes, list[tuple[str, str]]]] = []


class _Protocol(asyncio.Protocol):
    def __init__(self, server: H2Server) -> None:
        self.server = server
        self.h2 = H2Connection(H2Configuration(client_side=False, header_encoding="latin-1"))
        self.got: dict[int, tuple[list[tuple[str, str]], bytearray, list[tuple[str, str]]]] = {}
        self.left: dict[int, bytes] = {}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.server.connections += 1
        self.transport: asyncio.Transport = transport  # type: ignore[assignment]
        self.h2.initiate_connection()
        self.transport.write(self.h2.data_to_send())

    def data_received(self, data: bytes) -> None:
        try:
            events = self.h2.receive_data(data)
        except ProtocolError:
            self.transport.close()
            return
        for event in events:
            if isinstance(event, RequestReceived):
                self.got[event.stream_id] = (list(event.headers), bytearray(), [])
            elif isinstance(event, DataReceived):
                self.got[event.stream_id][1].extend(event.data)
                self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            elif isinstance(event, TrailersReceived):
                self.got[event.stream_id][2].extend(event.headers)
            elif isinstance(event, StreamEnded):
                self.answer(event.stream_id)
            elif isinstance(event, WindowUpdated):
                for stream in list(self.left):
                    self.push(stream)
        out = self.h2.data_to_send()
        if out:
            self.transport.write(out)

    def answer(self, stream: int) -> None:
        fields, body, trailers = self.got.pop(stream)
        self.server.requests.append((fields, bytes(body), trailers))
        path = dict(fields)[":path"].partition("?")[0]
        if path == "/reset":
            self.h2.reset_stream(stream, ErrorCodes.INTERNAL_ERROR)
        elif path == "/refuse-once" and not self.server.refused:
            self.server.refused += 1
            self.h2.reset_stream(stream, ErrorCodes.REFUSED_STREAM)
        elif path == "/go-away-once" and not self.server.refused:
            self.server.refused += 1
            self.h2.close_connection(last_stream_id=0)
        elif path == "/abort":
            self.transport.abort()
        elif path == "/garbage":
            self.transport.write(b"\x00" * 50)
        elif path == "/half":
            self.h2.send_headers(stream, [(":status", "200")])
            self.h2.send_data(stream, b"half")
        elif path == "/silence":
            pass
        elif path == "/large":
            self.h2.send_headers(stream, [(":status", "200"), ("content-type", "text/plain")])
            self.left[stream] = b"x" * 200_000
            self.push(stream)
        elif path == "/grpc":
            self.h2.send_headers(stream, [(":status", "200"), ("content-type", "application/grpc")])
            self.h2.send_data(stream, bytes(body))
            self.h2.send_headers(stream, [("grpc-status", "0"), ("grpc-message", "fine")], end_stream=True)
        else:
            self.h2.send_headers(stream, [(":status", "200"), ("x-a", "1"), ("x-a", "2")])
            self.h2.send_data(stream, b"ok", end_stream=True)

    def push(self, stream: int) -> None:
        """Send as much as the window allows."""
        data = self.left.pop(stream)
        while data:
            try:
                size = min(self.h2.local_flow_control_window(stream), self.h2.max_outbound_frame_size, len(data))
            except ProtocolError:
                return  # the client has reset the stream
            if not size:
                self.left[stream] = data
                return
            self.h2.send_data(stream, data[:size], end_stream=size == len(data))
            data = data[size:]


@contextlib.asynccontextmanager
async def h2_server() -> AsyncIterator[H2Server]:
    """A server with prior knowledge (h2c) while the block runs."""
    state = H2Server()
    protocols: list[_Protocol] = []

    def make() -> _Protocol:
        protocols.append(_Protocol(state))
        return protocols[-1]

    server = await asyncio.get_running_loop().create_server(make, "127.0.0.1", 0)
    state.port = server.sockets[0].getsockname()[1]
    try:
        yield state
    finally:
        server.close()
        for protocol in protocols:
            protocol.transport.abort()
        await asyncio.sleep(0)
