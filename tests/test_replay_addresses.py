"""What a name stands for."""

from __future__ import annotations

import socket
import sys
from pathlib import Path

import pytest

from replay.addresses import addresses_of


def test_a_name_resolves_to_its_addresses_and_one_that_has_none_to_nothing() -> None:
    assert "127.0.0.1" in addresses_of("localhost")
    assert addresses_of("nowhere.invalid") == addresses_of("two..dots") == []


@pytest.mark.parametrize("written", ["127.1", "2130706433", "0x7f000001"])
def test_an_address_is_known_however_it_is_written(written: str) -> None:
    assert "127.0.0.1" in addresses_of(written)


@pytest.mark.skipif(sys.platform != "linux", reason="all of 127/8 is this machine's on Linux alone")
def test_an_address_of_this_machine_is_loopback_too_and_another_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    names = {"self.example": "127.0.0.53", "other.example": "192.0.2.77"}
    found = lambda host, port, **_: [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (names[host], 0))]  # noqa: E731
    monkeypatch.setattr(socket, "getaddrinfo", found)
    assert addresses_of("self.example") == ["127.0.0.53", "127.0.0.1"]
    assert addresses_of("other.example") == ["192.0.2.77"]


def test_the_path_of_a_socket_leads_to_where_its_links_lead(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "run")
    assert addresses_of(f"{tmp_path}/link/shop.sock") == [str((tmp_path / "run" / "shop.sock").resolve())]
