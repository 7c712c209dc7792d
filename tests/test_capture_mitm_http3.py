"""`capture mitm --mode reverse:http3`: an exchange over QUIC, with trailers, passes and is recorded without secrets."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("mitmproxy")
pytest.importorskip("aioquic")

from aioquic.asyncio import QuicConnectionProtocol, connect, serve
from aioquic.h3.connection import H3_ALPN, H3Connection
from aioquic.h3.events import DataReceived, HeadersReceived
from aioquic.quic.configuration import QuicConfiguration

from capture.exchange import Exchange
from tests.support.mitm import certificate, only_record, running

__all__ = ["certificate"]

pytestmark = [pytest.mark.net, pytest.mark.slow]

_WAIT_S = 60


class _Side(QuicConnectionProtocol):
    """One end of an HTTP/3 connection."""

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self.http = H3Connection(self._quic)
        self.events: list[Any] = []
        self.ended = asyncio.Event()

    def quic_event_received(self, event: Any) -> None:
        for found in self.http.handle_event(event):
            self.events.append(found)
            if getattr(found, "stream_ended", False):
                self.stream_ended(found.stream_id)

    def stream_ended(self, stream: int) -> None:
        self.ended.set()


class _Service(_Side):
    """Answers each request with a cookie, a body and a trailer."""

    def stream_ended(self, stream: int) -> None:
        self.http.send_headers(stream, [(b":status", b"200"), (b"set-cookie", b"sid=abc-123-def")])
        self.http.send_data(stream, b"hello", end_stream=False)
        self.http.send_headers(stream, [(b"x-checksum", b"7")], end_stream=True)
        self.transmit()


def test_an_exchange_over_http3_passes_with_its_trailers_and_is_recorded(certificate: Path, tmp_path: Path) -> None:
    events, record = asyncio.run(play(certificate, tmp_path))
    heads = [dict(event.headers) for event in events if isinstance(event, HeadersReceived)]
    assert heads == [{b":status": b"200", b"set-cookie": b"sid=abc-123-def"}, {b"x-checksum": b"7"}]
    assert b"".join(event.data for event in events if isinstance(event, DataReceived)) == b"hello"
    assert (record.request.method, record.request.version, record.scheme) == ("POST", "HTTP/3", "https")
    assert record.request.target.startswith("/three?token=")
    assert "abcdef123456" not in record.request.target
    assert record.request.body is not None
    assert b"hunter22" not in record.request.body
    assert record.response is not None
    assert (record.response.version, record.response.body) == ("HTTP/3", b"hello")
    assert record.response.trailers == (("x-checksum", "7"),)
    assert "response.cookie:sid" in record.redacted


async def play(certificate: Path, root: Path) -> tuple[list[Any], Exchange]:
    """One request through the proxy to a service, both over QUIC: what the client was told, and what was recorded."""
    ours = QuicConfiguration(is_client=False, alpn_protocols=H3_ALPN)
    ours.load_cert_chain(certificate, certificate)
    server = await serve("127.0.0.1", 0, configuration=ours, create_protocol=_Service)
    try:
        port = server._transport.get_extra_info("sockname")[1]
        trusting = ("--set", f"ssl_verify_upstream_trusted_ca={certificate}")
        with running(root, f"reverse:http3://localhost:{port}@127.0.0.1:0", *trusting) as proxy:
            async with asyncio.timeout(_WAIT_S):
                events = await asked(proxy.port)
            return events, await asyncio.to_thread(only_record, proxy)
    finally:
        server.close()


async def asked(port: int) -> list[Any]:
    theirs = QuicConfiguration(alpn_protocols=H3_ALPN, server_name="localhost", verify_mode=ssl.CERT_NONE)
    async with connect("127.0.0.1", port, configuration=theirs, create_protocol=_Side) as client:
        stream = client._quic.get_next_available_stream_id()
        head = [(b":method", b"POST"), (b":scheme", b"https"), (b":authority", b"localhost")]
        client.http.send_headers(stream, [*head, (b":path", b"/three?token=abcdef123456")])
        client.http.send_data(stream, b'{"password":"hunter22"}', end_stream=True)
        client.transmit()
        await client.ended.wait()
        return client.events
