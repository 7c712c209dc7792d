"""What a name stands for: the addresses of a host, this machine's own among them, and where a socket's path leads."""

from __future__ import annotations

import os
import socket

__all__ = ["addresses_of"]


def addresses_of(host: str) -> list[str]:
    """What a name resolves to, nothing where it does not; "/..." is the path of a unix socket, and resolves to a path.

    An address of this machine is its loopback address, too: a service that listens on all of them is the same on each.
    """
    if host.startswith("/"):
        return [os.path.realpath(host)]
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return []
    addresses = [str(address[0]) for _, _, _, _, address in found]
    if any(_is_own(family, address) for family, _, _, _, address in found):
        addresses.append("127.0.0.1")
    return addresses


def _is_own(family: int, address: tuple[object, ...]) -> bool:
    """True where one can listen on it here."""
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((address[0], 0, *address[2:]))
    except (OSError, TypeError):
        return False
    return True
