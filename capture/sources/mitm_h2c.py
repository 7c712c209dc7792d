"""A mitmproxy addon that has HTTP/2 without TLS read as such, which mitmproxy takes for broken HTTP/1."""

from __future__ import annotations

import re
from typing import Any

from mitmproxy.proxy import layers, mode_specs
from mitmproxy.proxy.layers.http import HTTPMode

__all__ = ["PlainHttp2"]

_PREFACE = b"PRI * HTTP/2"
_SETTINGS = re.compile(rb"\0[\0-\xff]{2}\x04\0\0\0\0\0", re.DOTALL)  # RFC 9113 section 3.4: a server's first frame
_OFFERED = (b"h2", b"http/1.1")


class PlainHttp2:
    """Hooks of mitmproxy, by their names: plaintext connections that begin with HTTP/2's preface are read as HTTP/2.

    gRPC inside a cluster speaks it. A service behind TLS (`reverse:https`) is offered HTTP/2 first; where it takes
    HTTP/1.1, mitmproxy translates.
    """

    def next_layer(self, layer: Any) -> None:
        context = layer.context
        if context.client.tls or not _carries_http(context):
            return
        begun = layer.data_client()[: len(_PREFACE)]
        if begun == _PREFACE:
            layer.layer = _layers(context)
        elif _PREFACE.startswith(begun) and (begun or _SETTINGS.match(layer.data_server())):
            # The service may be faster than the client, and the preface may come in pieces. Not decided yet: mitmproxy
            # asks again with the next bytes, and must find its layers as if it had never chosen one.
            if layer.layer in context.layers:
                del context.layers[context.layers.index(layer.layer) :]
            layer.layer = None


def _carries_http(context: Any) -> bool:
    """False where the mode itself says that bytes are not HTTP, or where it is not known yet whom they are for."""
    mode = context.client.proxy_mode
    if isinstance(mode, mode_specs.ReverseMode):
        return mode.scheme in ("http", "https")
    return context.server.address is not None


def _layers(context: Any) -> Any:
    context.client.alpn = b"h2"
    mode = context.client.proxy_mode
    if not (isinstance(mode, mode_specs.ReverseMode) and mode.scheme == "https"):
        context.server.alpn = b"h2"
        return layers.HttpLayer(context, HTTPMode.transparent)
    context.server.alpn_offers = _OFFERED
    outer = layers.ServerTLSLayer(context)
    outer.child_layer = layers.HttpLayer(context, HTTPMode.transparent)
    return outer
