"""Addresses of the relay are read strictly and printed as they are typed."""

from __future__ import annotations

import pytest

from capture.errors import UsageError
from capture.sources.relay.address import Address, parse_address


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("127.0.0.1:80", Address("127.0.0.1", 80)),
        ("shop.internal:0", Address("shop.internal", 0)),
        ("[::1]:8080", Address("::1", 8080)),
        ("[fe80::1%eth0]:8080", Address("fe80::1%eth0", 8080)),
        ("unix:/run/shop.sock", Address(path="/run/shop.sock")),
    ],
)
def test_an_address_is_read_and_printed_alike(text: str, expected: Address) -> None:
    address = parse_address(text, "--listen")
    assert address == expected
    assert str(address) == text


def test_a_port_alone_means_every_ipv4_address() -> None:
    assert parse_address(":8080", "--listen") == Address("0.0.0.0", 8080)


@pytest.mark.parametrize(
    "text", ["", "8080", "host", "host:", "host:http", "::1:80", "http://host:80", "host:80/", "unix:", "[::1]", "h:-1"]
)
def test_anything_else_is_refused_with_the_option_and_the_forms_that_work(text: str) -> None:
    with pytest.raises(UsageError, match=r"^--upstream: .*unix:PATH"):
        parse_address(text, "--upstream")


def test_a_port_out_of_range_is_refused() -> None:
    with pytest.raises(UsageError, match="port 65536 is out of range"):
        parse_address("host:65536", "--listen")


def test_a_unix_path_longer_than_the_kernel_takes_is_refused() -> None:
    with pytest.raises(UsageError, match="107 bytes"):
        parse_address("unix:/" + "x" * 107, "--listen")
