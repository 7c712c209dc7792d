"""Two network namespaces joined by a pair of virtual Ethernet devices: a client's, and a router's that redirects it."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator

import pytest

__all__ = ["CLIENT_ADDRESS", "PROXY_PORT", "ROUTER_ADDRESS", "SITES", "in_client", "in_router", "redirected"]

PROXY_PORT = 8080
CLIENT_ADDRESS = "10.231.7.2"
ROUTER_ADDRESS = "10.231.7.1"
SITES = ("198.51.100.7", "2001:db8::7")
"""Addresses of services (of RFC 5737 and RFC 3849), served in the router's namespace."""

_NAMES = tuple(f"understudy-{os.getpid()}-{side}" for side in ("client", "router"))


def in_client(*command: str) -> list[str]:
    """The command, to be run where the client is."""
    return ["ip", "netns", "exec", _NAMES[0], *command]


def in_router(*command: str) -> list[str]:
    """The command, to be run where the proxy and the services are."""
    return ["ip", "netns", "exec", _NAMES[1], *command]


@contextlib.contextmanager
def redirected() -> Iterator[None]:
    """Both namespaces, all TCP of the client redirected to PROXY_PORT; skips the test where they cannot be made."""
    for program in ("ip", "iptables", "ip6tables"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
    try:
        for step in _steps():
            done = subprocess.run(step, capture_output=True, text=True, timeout=60)
            if done.returncode != 0:
                pytest.skip(f"network namespaces cannot be made here: {' '.join(step)}: {done.stderr.strip()}")
        yield
    finally:
        for name in _NAMES:
            subprocess.run(["ip", "netns", "delete", name], capture_output=True, timeout=60)


def _steps() -> Iterator[list[str]]:
    client, router = _NAMES
    for name in _NAMES:
        yield ["ip", "netns", "add", name]
        yield ["ip", "-n", name, "link", "set", "lo", "up"]
    yield ["ip", "-n", client, "link", "add", "wire", "type", "veth", "peer", "name", "wire", "netns", router]
    for name, v4, v6 in ((client, CLIENT_ADDRESS, "fd00:7::2"), (router, ROUTER_ADDRESS, "fd00:7::1")):
        yield ["ip", "-n", name, "address", "add", f"{v4}/24", "dev", "wire"]
        yield ["ip", "-n", name, "address", "add", f"{v6}/64", "dev", "wire", "nodad"]
        yield ["ip", "-n", name, "link", "set", "wire", "up"]
    yield ["ip", "-n", client, "route", "add", "default", "via", ROUTER_ADDRESS]
    yield ["ip", "-n", client, "-6", "route", "add", "default", "via", "fd00:7::1"]
    for site in SITES:
        yield ["ip", "-n", router, "address", "add", site, "dev", "lo"]
    for program in ("iptables", "ip6tables"):
        rule = ["PREROUTING", "-i", "wire", "-p", "tcp", "-j", "REDIRECT", "--to-ports", str(PROXY_PORT)]
        yield in_router(program, "-w", "30", "-t", "nat", "-A", *rule)
