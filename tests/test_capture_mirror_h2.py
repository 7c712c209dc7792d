"""The mirror sink over HTTP/2 without TLS: real clients, what they may do to it, and its bounds."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from typing import Any

import h2.config
import h2.connection
import h2.events
import h2.exceptions
import pytest

from capture.clock import Clock
from capture.exchange import header
from capture.log.reader import open_log
from capture.sources.mirror import MirrorLimits
from capture.sources.mirror_copy import Copies
from capture.sources.mirror_h2 import MirrorHttp2
from tests.test_capture_mirror import Command, command, running, until

__all__ = ["command"]

pytestmark = pytest.mark.net

_WAIT_S = 20
_HEAD = [(":method", "POST"), (":path", "/a?b=%20"), (":scheme", "http"), (":authority", "shop.example-shadow")]


class Client:
    """A connection of the h2 library to the sink."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.h2: Any = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True, header_encoding="utf-8"))
        self.statuses: dict[int, dict[str, str]] = {}
        self.ended: set[int] = set()
        self.reset: set[int] = set()
        self.gone = False
        self.h2.initiate_connection()

    @classmethod
    async def connect(cls, port: int) -> Client:
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    async def flush(self) -> None:
        self.writer.write(self.h2.data_to_send())
        await self.writer.drain()

    async def step(self) -> None:
        """Take in what the sink has sent next."""
        data = await asyncio.wait_for(self.reader.read(65_536), _WAIT_S)
        if not data:
            self.gone = True
            return
        for event in self.h2.receive_data(data):
            if isinstance(event, h2.events.ResponseReceived):
                self.statuses[event.stream_id] = dict(event.headers)
            elif isinstance(event, h2.events.StreamEnded):
                self.ended.add(event.stream_id)
            elif isinstance(event, h2.events.StreamReset):
                self.reset.add(event.stream_id)
            elif isinstance(event, h2.events.ConnectionTerminated):
                self.gone = True
        await self.flush()

    async def send(self, stream: int, data: bytes, end: bool = True) -> None:
        """A body in pieces, as the sink gives room."""
        while len(data) > (room := min(self.h2.local_flow_control_window(stream), 16_384)):
            if room:
                self.h2.send_data(stream, data[:room])
                data = data[room:]
                await self.flush()
            else:
                await self.step()
        self.h2.send_data(stream, data, end_stream=end)
        await self.flush()

    async def until_ended(self, *streams: int) -> None:
        while not self.ended >= set(streams):
            await self.step()

    async def until_gone(self) -> None:
        while not self.gone:
            await self.step()

    async def close(self) -> None:
        self.writer.close()
        await self.writer.wait_closed()


def test_requests_on_many_streams_are_recorded_with_their_trailers_and_answered() -> None:
    async def play() -> None:
        async with running() as sink:
            client = await Client.connect(sink.port)
            streams = range(1, 61, 2)
            for stream in streams:
                client.h2.send_headers(stream, [*_HEAD, ("x-tag", "red"), ("x-tag", "blue"), ("x-envoy-a", "b")])
            for stream in streams:
                await client.send(stream, b"%d" % stream * 1000, end=False)
                client.h2.send_headers(stream, [("x-sum", str(stream))], end_stream=True)
            await client.flush()
            await client.until_ended(*streams)
            await client.close()
        assert {answer[":status"] for answer in client.statuses.values()} == {"204"}
        assert len(sink.taken) == len(streams) == sink.pipeline.counts.kept
        for stream, record in zip(streams, sink.taken, strict=True):
            request = record.request
            assert (request.method, request.target, request.version) == ("POST", "/a?b=%20", "HTTP/2")
            assert request.headers[0] == ("host", "shop.example")
            assert request.headers[-2:] == (("x-tag", "red"), ("x-tag", "blue"))
            assert (request.body, request.trailers) == (b"%d" % stream * 1000, (("x-sum", str(stream)),))
            assert (record.complete, record.response, record.server) == (True, None, "shop.example:80")
            assert record.notes == ("host restored from host",)
        assert {record.connection for record in sink.taken} == {1}

    asyncio.run(play())


def test_a_preface_that_comes_byte_by_byte_is_recognised_and_what_only_begins_like_one_is_http_1() -> None:
    async def play() -> None:
        async with running() as sink:
            client = await Client.connect(sink.port)
            client.h2.send_headers(1, _HEAD, end_stream=True)
            for byte in client.h2.data_to_send():
                client.writer.write(bytes([byte]))
                await client.writer.drain()
            await client.until_ended(1)
            await client.close()
            answer = await sink.send(b"P", b"R", b"I / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            assert answer.startswith(b"HTTP/1.1 204")
        assert [(e.request.method, e.request.version) for e in sink.taken] == [("POST", "HTTP/2"), ("PRI", "HTTP/1.1")]

    asyncio.run(play())


def test_a_long_body_is_cut_and_bodies_beyond_the_memory_are_shed() -> None:
    async def play() -> None:
        async with running(MirrorLimits(body_bytes_max=1000, held_bytes_max=1500)) as sink:
            client = await Client.connect(sink.port)
            client.h2.send_headers(1, _HEAD)
            client.h2.send_headers(3, _HEAD)
            await client.send(1, b"x" * 3_000_000, end=False)
            await client.send(3, b"y" * 800)
            await client.send(1, b"")
            await client.until_ended(1, 3)
            await client.close()
        (record,) = sink.taken
        assert (len(record.request.body), record.request.body_bytes, record.request.truncated) == (
            1000,
            3_000_000,
            True,
        )
        assert sink.pipeline.counts.shed == {"memory": 1}

    asyncio.run(play())


def test_what_breaks_off_is_reset_or_never_ends_is_incomplete() -> None:
    async def play() -> None:
        async with running(MirrorLimits(body_s=0.2)) as sink:
            client = await Client.connect(sink.port)
            for stream in (1, 3):
                client.h2.send_headers(stream, [*_HEAD, ("x-n", str(stream))])
            client.h2.send_data(1, b"abc")
            client.h2.reset_stream(1)
            await client.flush()
            while 3 not in client.reset:
                await client.step()
            client.h2.send_headers(5, [*_HEAD, ("x-n", "5")])
            await client.flush()
            client.h2.send_headers(7, [*_HEAD, ("x-n", "7")], end_stream=True)
            await client.flush()
            await client.until_ended(7)
            await client.close()
            await until(lambda: len(sink.taken) == 4)
        reasons = {header(e.request.headers, "x-n"): e.incomplete_reason for e in sink.taken}
        assert reasons == {"1": "cut", "3": "timeout", "5": "cut", "7": None}

    asyncio.run(play())


@pytest.mark.parametrize("nonsense", [b"\xff" * 40, b"\0\0\1\1\4\0\0\0\1\xff", b"\0\0\0\0\0\0\0\0\0"])
def test_what_is_not_http_2_ends_the_connection_and_is_counted(nonsense: bytes) -> None:
    async def play() -> None:
        async with running() as sink:
            client = await Client.connect(sink.port)
            client.h2.send_headers(1, _HEAD)
            await client.flush()
            await until(lambda: sink.pipeline.in_flight == 1)
            client.writer.write(nonsense)
            await client.until_gone()
            await client.close()
            await until(lambda: len(sink.taken) == 1)
        assert sink.taken[0].incomplete_reason == "cut"
        assert sink.pipeline.counts.shed == {"malformed": 1}

    asyncio.run(play())


def test_connections_over_both_protocols_are_bounded_together() -> None:
    async def play() -> None:
        async with running(MirrorLimits(connections_max=2)) as sink:
            client = await Client.connect(sink.port)
            client.h2.send_headers(1, _HEAD, end_stream=True)
            await client.flush()
            await client.until_ended(1)
            silent = await Client.connect(sink.port)
            refused = await Client.connect(sink.port)
            refused.writer.write(b"GET / HTTP/1.1\r\n\r\n")
            assert await asyncio.wait_for(_read_all(refused.reader), _WAIT_S) == b""
            await until(lambda: sink.pipeline.counts.shed["too_many_connections"] == 1)
            for each in (client, silent, refused):
                each.writer.close()

    asyncio.run(play())


async def _read_all(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.read()
    except ConnectionError:
        return b""


def test_draining_waits_for_the_requests_that_are_under_way() -> None:
    async def play() -> None:
        async with running() as sink:
            client = await Client.connect(sink.port)
            client.h2.send_headers(1, _HEAD)
            await client.flush()
            await until(lambda: sink.pipeline.in_flight == 1)
            draining = asyncio.create_task(sink.sink.drain())
            data = b""
            while b"\x07\0\0\0\0\0" not in data:  # GOAWAY; the client's library would refuse to go on after it
                data += await asyncio.wait_for(client.reader.read(1000), _WAIT_S)
            client.writer.write(b"\0\0\3\0\1\0\0\0\1end")
            await asyncio.wait_for(draining, _WAIT_S)
            await client.close()
        assert (sink.taken[0].complete, sink.taken[0].request.body) == (True, b"end")

    asyncio.run(play())


class _Unread(asyncio.Transport):
    """A transport whose peer reads nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.buffered = 0
        self.aborted = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.buffered += len(data)

    def get_write_buffer_size(self) -> int:
        return self.buffered

    def abort(self) -> None:
        self.aborted = True


def test_a_peer_that_reads_no_answers_is_cut_off() -> None:
    async def play() -> None:
        async with running() as sink:
            client = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
            client.initiate_connection()
            copies = Copies(sink.pipeline, Clock(), MirrorLimits())
            connection, transport = MirrorHttp2(copies, 1, lambda gone: None), _Unread()
            connection.connection_made(transport)
            connection.data_received(client.data_to_send())
            ping = b"\0\0\x08\6\0\0\0\0\0pingpong" * 1000
            while transport.buffered < 1_000_000:
                assert not transport.aborted
                connection.data_received(ping)
            while not transport.aborted:
                assert transport.buffered < 2_000_000
                connection.data_received(ping)

    asyncio.run(play())


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_what_curl_sends_with_prior_knowledge_is_in_the_log(command: Command) -> None:
    words = ["curl", "-sS", "--http2-prior-knowledge", "-o", "/dev/null", "-w", "%{http_code} %{http_version}"]
    words += ["-H", "X-A: b", "--data-binary", "x" * 100_000, f"http://127.0.0.1:{command.port}/from-curl"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=_WAIT_S, check=True)
    assert done.stdout == "204 2"
    assert "kept=1" in command.stop()
    with open_log(command.log) as log:
        (record,) = log.exchanges()
    assert (record.request.target, record.request.version, record.request.body_bytes) == (
        "/from-curl",
        "HTTP/2",
        100_000,
    )


def test_grpc_calls_are_taken_from_a_real_client(command: Command) -> None:
    grpc = pytest.importorskip("grpc")
    with grpc.insecure_channel(f"127.0.0.1:{command.port}") as channel:
        call = channel.stream_unary("/shop.Shop/Put", request_serializer=bytes, response_deserializer=bytes)
        call(iter([b"one", b"two"]), timeout=_WAIT_S)  # grpc-status 0 without a message, which nobody waits for
    assert "kept=1" in command.stop()
    with open_log(command.log) as log:
        (record,) = log.exchanges()
    assert (record.request.target, record.request.version, record.complete) == ("/shop.Shop/Put", "HTTP/2", True)
    assert record.request.body == b"\0\0\0\0\3one\0\0\0\0\3two"
