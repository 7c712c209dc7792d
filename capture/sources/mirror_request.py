"""What a mirrored request was before a proxy copied it: Host, version and headers as the service itself got them."""

from __future__ import annotations

from typing import NamedTuple

from capture.exchange import Headers, Request, header

__all__ = ["Mirrored", "restore"]

_SHADOW = "-shadow"
_ORIGINAL_HOSTS = ("x-shadow-original-host", "x-original-host", "x-forwarded-host")
_DROPPED = frozenset(("connection", "keep-alive", "proxy-connection", "x-shadow-original-host"))
_ENVOY = "x-envoy-"
"""Fields of the hop from the proxy to the sink, or for the proxy's own use, some with the client's address; no client
ever sent them."""
_PORTS = {"http": 80, "https": 443}


class Mirrored(NamedTuple):
    """request: without a body yet. server: "host:port" of the service, "" where unknown. notes: what was changed."""

    request: Request
    scheme: str
    server: str
    notes: tuple[str, ...]


def restore(method: str, target: str, version: str, headers: Headers) -> Mirrored:
    """The request as the service had it.

    The host is that of X-Shadow-Original-Host, X-Original-Host or X-Forwarded-Host, else Host without the suffix
    `-shadow` that Envoy and Istio put before the port. nginx mirrors as HTTP/1.0 unless told otherwise: that is its
    version, not the client's, and is recorded as HTTP/1.1.
    """
    notes = []
    sent = header(headers, "host") or ""
    host, named = sent, ""
    for name in _ORIGINAL_HOSTS:
        value = header(headers, name)
        if value:
            host, named = value.partition(",")[0].strip(), name
            break
    else:
        host = _without_shadow(host)
        named = "host" if host != sent else ""
    if host != sent:
        notes.append(f"host restored from {named}")
    if version == "HTTP/1.0":
        version = "HTTP/1.1"
        notes.append("mirrored as HTTP/1.0")
    fields = [
        (name, host if name.lower() == "host" else value) for name, value in headers if not _of_the_hop(name.lower())
    ]
    if host and not sent:
        fields.insert(0, ("Host", host))
    scheme = (header(headers, "x-forwarded-proto") or "http").partition(",")[0].strip().lower()
    scheme = scheme if scheme in _PORTS else "http"
    return Mirrored(Request(method, target, version, tuple(fields)), scheme, _server(host, scheme), tuple(notes))


def _of_the_hop(name: str) -> bool:
    return name in _DROPPED or name.startswith(_ENVOY)


def _without_shadow(host: str) -> str:
    name, colon, port = host.rpartition(":")
    if colon and port.isdigit() and not name.endswith("]"):
        return name.removesuffix(_SHADOW) + colon + port
    return host.removesuffix(_SHADOW)


def _server(host: str, scheme: str) -> str:
    if not host:
        return ""
    tail = host.rpartition("]")[2] if host.startswith("[") else host
    return host if ":" in tail else f"{host}:{_PORTS[scheme]}"
