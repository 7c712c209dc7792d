"""Which client speaks to a build: chosen by its address and by what was captured, unless the user says it."""

from __future__ import annotations

from collections.abc import Iterable

from capture.clock import Clock
from capture.exchange import Exchange
from replay.clients.base import Client, Endpoint, Limits
from replay.settings import ClientKind

__all__ = ["client_for", "kind_for", "speaks_http2"]


def speaks_http2(exchanges: Iterable[Exchange]) -> bool:
    """True where all of these exchanges, and there are any, were captured as HTTP/2."""
    found = [exchange.request.version.startswith("HTTP/2") for exchange in exchanges]
    return bool(found) and all(found)


def kind_for(kind: ClientKind, endpoint: Endpoint, http2: bool) -> ClientKind:
    """The client for a build. kind: "auto" chooses HTTP/2 for h2c:// addresses and for logs of HTTP/2 alone."""
    if kind != "auto":
        return kind
    return "h2" if endpoint.scheme == "h2c" or http2 else "wire"


def client_for(kind: ClientKind, endpoint: Endpoint, limits: Limits, clock: Clock, http2: bool = False) -> Client:
    """A new client for one build; http2: what was captured is HTTP/2."""
    match kind_for(kind, endpoint, http2):
        case "h2":
            from replay.clients.h2 import H2Client

            return H2Client(endpoint, limits, clock)
        case "aiohttp":
            from replay.clients.web import WebClient

            return WebClient(endpoint, limits, clock)
        case _:
            from replay.clients.wire import WireClient

            return WireClient(endpoint, limits, clock)
