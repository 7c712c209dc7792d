"""HTTP/2 without TLS through mitmproxy: as it is, to a service behind TLS, and bytes that only begin like it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import h2.config
import h2.connection
import h2.events
import pytest

from capture.exchange import Exchange
from tests.support.mitm import WAIT_S, certificate, only_record, running, service

__all__ = ["certificate", "service"]

pytestmark = [pytest.mark.net, pytest.mark.slow]

pytest.importorskip("mitmproxy")

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


class H2Service(asyncio.Protocol):
    """HTTP/2 without TLS: every request gets a body and a trailer, as gRPC does."""

    def __init__(self) -> None:
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.h2.initiate_connection()
        transport.write(self.h2.data_to_send())

    def data_received(self, data: bytes) -> None:
        assert self.transport is not None
        for event in self.h2.receive_data(data):
            if isinstance(event, h2.events.StreamEnded):
                self.h2.send_headers(event.stream_id, [(":status", "200"), ("content-type", "application/grpc")])
                self.h2.send_data(event.stream_id, b"\0\0\0\0\2hi")
                self.h2.send_headers(event.stream_id, [("grpc-status", "0")], end_stream=True)
        self.transport.write(self.h2.data_to_send())


def test_http2_without_tls_passes_with_its_trailers(tmp_path: Path) -> None:
    async def play() -> tuple[str, list[Exchange]]:
        server = await asyncio.get_running_loop().create_server(H2Service, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        with running(tmp_path, f"reverse:http://127.0.0.1:{port}@127.0.0.1:0") as proxy:
            url = f"http://127.0.0.1:{proxy.port}/pkg.Svc/Call"
            words = ("--http2-prior-knowledge", "-D", "-", "-o", "/dev/null")
            answer = await asyncio.to_thread(proxy.curl, url, *words)
            await asyncio.to_thread(proxy.stop)
            records = proxy.records()
        server.close()
        await server.wait_closed()
        return answer, records

    answer, (record,) = asyncio.run(play())
    assert answer.startswith("HTTP/2 200")
    assert "grpc-status: 0" in answer
    assert record.request.version == "HTTP/2"
    assert record.request.target == "/pkg.Svc/Call"
    assert record.response is not None
    assert record.response.body == b"\0\0\0\0\2hi"
    assert record.response.trailers == (("grpc-status", "0"),)


@contextlib.contextmanager
def secure_service(
    context: ssl.SSLContext, protocols: list[str], make: Callable[[], asyncio.Protocol]
) -> Iterator[int]:
    """A service behind TLS that offers these protocols, in a loop and a thread of its own; yields its port."""
    context.set_alpn_protocols(protocols)
    loop = asyncio.new_event_loop()
    server = loop.run_until_complete(loop.create_server(make, "127.0.0.1", 0, ssl=context))
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        loop.call_soon_threadsafe(server.close)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(WAIT_S)
        loop.close()


class PlainService(asyncio.Protocol):
    """HTTP/1.1 that answers the same to every request."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nhi\n")


@pytest.mark.parametrize(
    ("protocols", "make", "version"),
    [(["h2", "http/1.1"], H2Service, "HTTP/2"), (["http/1.1"], PlainService, "HTTP/1.1")],
)
def test_http2_without_tls_reaches_a_service_behind_tls(
    protocols: list[str],
    make: Callable[[], asyncio.Protocol],
    version: str,
    certificate: Path,
    tmp_path: Path,
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    trusting = ("--set", f"ssl_verify_upstream_trusted_ca={certificate}")
    with (
        secure_service(context, protocols, make) as port,
        running(tmp_path, f"reverse:https://localhost:{port}@127.0.0.1:0", *trusting) as proxy,
    ):
        url = f"http://127.0.0.1:{proxy.port}/pkg.Svc/Call"
        assert proxy.curl(url, "--http2-prior-knowledge", "-D", "-", "-o", "/dev/null").startswith("HTTP/2 200")
        record = only_record(proxy)
    assert record.response is not None
    assert (record.request.version, record.response.version) == ("HTTP/2", version)
    assert record.response.body in (b"hi\n", b"\0\0\0\0\2hi")


def test_a_raw_tunnel_of_bytes_is_not_read_even_where_it_begins_like_http2(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as service:
        service.settimeout(WAIT_S)
        mode = f"reverse:tcp://127.0.0.1:{service.getsockname()[1]}@127.0.0.1:0"
        with running(tmp_path, mode) as proxy, socket.create_connection(("127.0.0.1", proxy.port), WAIT_S) as client:
            client.sendall(_PREFACE)
            upstream, _ = service.accept()
            with upstream:
                upstream.settimeout(WAIT_S)
                got = b""
                while len(got) < len(_PREFACE):
                    got += upstream.recv(100) or pytest.fail(f"ended after {got!r}")
            client.close()
            assert proxy.stop().opaque == 1
    assert got == _PREFACE
