"""A mitmproxy addon that refuses what would lead back to the proxy itself, which else calls itself without end."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Callable, Iterable
from typing import Any

__all__ = ["OwnAddress"]


class OwnAddress:
    """Hooks of mitmproxy, by their names. listening: (host, port, ...) of each listener of the proxy.

    A client that calls a transparent proxy's port itself, instead of being redirected to it, asks for that very port.
    mitmproxy notices that of loopback addresses only; of any other it would make one connection to itself after the
    other, until it has no descriptors left.
    """

    def __init__(self, listening: Callable[[], Iterable[tuple[Any, ...]]]) -> None:
        self._listening = listening

    async def server_connect(self, data: Any) -> None:
        host, port = data.server.address[:2]
        if any(port == own[1] and _leads_to(host, own[0]) for own in self._listening()):
            data.server.error = data.server.error or "this is the proxy's own address"
        if data.server.error:
            # mitmproxy closes a refused client by way of its reader's task, which must have begun.
            await asyncio.sleep(0)


def _leads_to(host: str, listener: str) -> bool:
    """True where a connection to `host` arrives at a listener on the address `listener`. A name is not resolved."""
    try:
        wanted, own = (ipaddress.ip_address(text.partition("%")[0]) for text in (host, listener))
    except ValueError:
        return False
    if own.is_unspecified:
        return wanted.version == own.version and _is_of_this_machine(host)
    return wanted == own


def _is_of_this_machine(host: str) -> bool:
    """Ask the routing table, without sending anything: what leads to an address of this machine comes from it."""
    address = ipaddress.ip_address(host.partition("%")[0])
    if address.is_loopback or address.is_unspecified:
        return True
    family = socket.AF_INET6 if address.version == 6 else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((host, 9))
        except OSError:
            return False
        return ipaddress.ip_address(probe.getsockname()[0].partition("%")[0]) == address
