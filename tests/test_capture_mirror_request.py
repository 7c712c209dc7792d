"""A mirrored request is recorded as the service had it, whatever the proxy made of its copy."""

from __future__ import annotations

import pytest

from capture.exchange import Headers
from capture.sources.mirror_request import restore


@pytest.mark.parametrize(
    ("headers", "host", "server"),
    [
        ((("Host", "shop.example"),), "shop.example", "shop.example:80"),
        ((("host", "shop.example-shadow:8443"),), "shop.example:8443", "shop.example:8443"),
        ((("Host", "shop.example-shadow"),), "shop.example", "shop.example:80"),
        ((("Host", "[2001:db8::1]:8080"),), "[2001:db8::1]:8080", "[2001:db8::1]:8080"),
        ((("Host", "[2001:db8::1]"),), "[2001:db8::1]", "[2001:db8::1]:80"),
        ((("Host", "sink:9000"), ("X-Forwarded-Host", "shop.example, proxy")), "shop.example", "shop.example:80"),
        ((("Host", "sink"), ("X-Shadow-Original-Host", "a.example:81")), "a.example:81", "a.example:81"),
        ((("Host", "a.example"), ("X-Forwarded-Proto", "https")), "a.example", "a.example:443"),
        ((("X-Forwarded-Host", "a.example"),), "a.example", "a.example:80"),
    ],
)
def test_the_host_is_the_one_that_the_client_asked_for(headers: Headers, host: str, server: str) -> None:
    mirrored = restore("GET", "/", "HTTP/1.1", headers)
    assert [value for name, value in mirrored.request.headers if name.lower() == "host"] == [host]
    assert mirrored.server == server


def test_no_host_gives_no_server() -> None:
    assert restore("GET", "/", "HTTP/1.1", ()).server == ""


def test_what_belongs_to_the_hop_to_the_sink_is_left_out() -> None:
    headers = (
        ("Host", "a"),
        ("Connection", "close"),
        ("X-Request-Id", "r-1"),
        ("x-envoy-internal", "true"),
        ("x-envoy-expected-rq-timeout-ms", "15000"),
        ("X-Envoy-External-Address", "203.0.113.9"),
        ("X-Forwarded-For", "203.0.113.9"),
        ("Accept", "*/*"),
        ("Accept", "text/html"),
    )
    assert restore("GET", "/a%2Fb?q=%7E", "HTTP/1.1", headers).request.headers == (
        ("Host", "a"),
        ("X-Request-Id", "r-1"),
        ("X-Forwarded-For", "203.0.113.9"),
        ("Accept", "*/*"),
        ("Accept", "text/html"),
    )


def test_the_version_of_nginx_is_not_taken_for_the_clients() -> None:
    mirrored = restore("GET", "/", "HTTP/1.0", (("Host", "a"),))
    assert mirrored.request.version == "HTTP/1.1"
    assert mirrored.notes == ("mirrored as HTTP/1.0",)


def test_what_was_restored_is_noted() -> None:
    assert restore("GET", "/", "HTTP/1.1", (("Host", "a-shadow"),)).notes == ("host restored from host",)
    both = (("Host", "a"), ("X-Forwarded-Host", "b"))
    assert restore("GET", "/", "HTTP/1.1", both).notes == ("host restored from x-forwarded-host",)
    assert restore("GET", "/", "HTTP/1.1", (("Host", "a"), ("X-Forwarded-Proto", "gopher"))).scheme == "http"
