"""Which upstream addresses are the proxy itself, and are refused."""

from __future__ import annotations

import asyncio
import socket
from types import SimpleNamespace

import pytest

from capture.sources.mitm_own_address import OwnAddress


def refused(address: tuple[str, int], *listeners: tuple[str, int], error: str | None = None) -> str | None:
    data = SimpleNamespace(server=SimpleNamespace(address=address, error=error))
    asyncio.run(OwnAddress(lambda: listeners).server_connect(data))
    return data.server.error


@pytest.mark.parametrize(
    ("address", "listener"),
    [
        (("127.0.0.1", 8080), ("127.0.0.1", 8080)),
        (("127.0.0.9", 8080), ("0.0.0.0", 8080)),
        (("0.0.0.0", 8080), ("0.0.0.0", 8080)),
        (("::1", 8080), ("::", 8080)),
        (("192.0.2.1", 8080), ("192.0.2.1", 8080)),
    ],
)
def test_the_proxys_own_address_is_refused(address: tuple[str, int], listener: tuple[str, int]) -> None:
    assert refused(address, ("192.0.2.9", 1), listener) == "this is the proxy's own address"


@pytest.mark.parametrize(
    ("address", "listener"),
    [
        (("127.0.0.1", 8000), ("127.0.0.1", 8080)),
        (("127.0.0.2", 8080), ("127.0.0.1", 8080)),
        (("192.0.2.1", 8080), ("0.0.0.0", 8080)),
        (("::1", 8080), ("0.0.0.0", 8080)),
        (("shop.example", 8080), ("0.0.0.0", 8080)),
    ],
)
def test_any_other_address_passes(address: tuple[str, int], listener: tuple[str, int]) -> None:
    assert refused(address, listener) is None


def test_an_address_of_this_machine_that_is_not_loopback_is_known_where_there_is_one() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            pytest.skip("this machine has no address but loopback")
        own = probe.getsockname()[0]
    assert refused((own, 8080), ("0.0.0.0", 8080)) is not None


def test_what_was_refused_by_somebody_else_keeps_its_reason() -> None:
    assert refused(("127.0.0.1", 8080), ("127.0.0.1", 8080), error="not allowed") == "not allowed"
