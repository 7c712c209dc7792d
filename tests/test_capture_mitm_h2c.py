"""Which plaintext connections mitmproxy is told to read as HTTP/2, and which are left alone."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("mitmproxy")

from mitmproxy import connection
from mitmproxy.options import Options
from mitmproxy.proxy import layers, mode_specs
from mitmproxy.proxy.context import Context

from capture.sources.mitm_h2c import PlainHttp2

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
SETTINGS = b"\0\0\x06\x04\0\0\0\0\0" + b"\0\x03\0\0\0\x64"


def context(mode: str = "transparent", tls: bool = False) -> Any:
    client = connection.Client(
        peername=("10.0.0.1", 4), sockname=("10.0.0.2", 8080), timestamp_start=0, tls=tls, proxy_mode=parsed(mode)
    )
    made = Context(client, Options())
    made.server = connection.Server(address=None if mode == "regular" else ("10.0.0.3", 80))
    return made


def parsed(mode: str) -> Any:
    return mode_specs.ProxyMode.parse(mode)


def asked(where: Any, client: bytes, server: bytes = b"", chosen: Any = None) -> Any:
    """The layer after the hook was asked about what both sides have sent so far."""
    layer = SimpleNamespace(context=where, data_client=lambda: client, data_server=lambda: server, layer=chosen)
    PlainHttp2().next_layer(layer)
    return layer.layer


@pytest.mark.parametrize("mode", ["transparent", "reverse:http://shop", "socks5"])
def test_plaintext_http2_is_read_as_http2_on_both_sides(mode: str) -> None:
    where = context(mode)
    assert isinstance(asked(where, PREFACE), layers.HttpLayer)
    assert (where.client.alpn, where.server.alpn) == (b"h2", b"h2")


def test_before_a_service_behind_tls_http2_is_offered_first_and_not_taken_for_granted() -> None:
    where = context("reverse:https://shop")
    outer = asked(where, PREFACE)
    assert isinstance(outer, layers.ServerTLSLayer)
    assert isinstance(outer.child_layer, layers.HttpLayer)
    assert (where.client.alpn, where.server.alpn) == (b"h2", None)
    assert where.server.alpn_offers == (b"h2", b"http/1.1")


@pytest.mark.parametrize(
    ("where", "client"),
    [
        (context(tls=True), PREFACE),
        (context(), b"GET / HTTP/1.1\r\n\r\n"),
        (context("reverse:tcp://shop:1"), PREFACE),
        (context("reverse:tcp://shop:1"), b"P"),
        (context("reverse:tls://shop:1"), PREFACE),
        (context("regular"), PREFACE),
    ],
    ids=["TLS", "HTTP/1", "TCP", "TCP begun", "TLS to TCP", "nobody to send it to"],
)
def test_what_is_not_plaintext_http2_is_left_to_mitmproxy(where: Any, client: bytes) -> None:
    assert asked(where, client, chosen="its own") == "its own"


@pytest.mark.parametrize(
    ("client", "server", "decided"),
    [
        (b"", SETTINGS, False),
        (b"PRI", b"", False),
        (b"P", SETTINGS, False),
        (b"POST / H", b"", True),
        (b"", b"220 mail.example ESMTP\r\n", True),
    ],
)
def test_a_service_that_speaks_first_and_a_preface_in_pieces_are_waited_for(
    client: bytes, server: bytes, decided: bool
) -> None:
    where = context()
    where.layers = ["reverse", "http", "inner"]
    assert asked(where, client, server, chosen="http") == ("http" if decided else None)
    assert where.layers == (["reverse", "http", "inner"] if decided else ["reverse"])
