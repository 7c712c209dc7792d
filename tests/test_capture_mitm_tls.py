"""mitmproxy before services behind TLS and other proxies: verified, tunnelled, chained."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.mitm import certificate, only_record, running, secure, service

__all__ = ["certificate", "secure", "service"]

pytestmark = [pytest.mark.net, pytest.mark.slow]

pytest.importorskip("mitmproxy")


def test_a_reverse_proxy_verifies_a_service_behind_tls(secure: tuple[int, Path], tmp_path: Path) -> None:
    port, authority = secure
    trusting = ("--set", f"ssl_verify_upstream_trusted_ca={authority}")
    with running(tmp_path, f"reverse:https://localhost:{port}@127.0.0.1:0", *trusting) as proxy:
        got = proxy.curl(f"https://localhost:{proxy.port}/in?token=abcdef123456", "--insecure")
        assert got.endswith("path=/in?token=abcdef123456")
        record = only_record(proxy)
    assert record.scheme == "https"
    assert "abcdef123456" not in record.request.target


def test_a_tunnel_through_a_regular_proxy_is_opened_and_read(secure: tuple[int, Path], tmp_path: Path) -> None:
    port, authority = secure
    trusting = ("--set", f"ssl_verify_upstream_trusted_ca={authority}")
    with running(tmp_path, "regular@127.0.0.1:0", *trusting) as proxy:
        url = f"https://localhost:{port}/inside"
        own = str(tmp_path / "conf" / "mitmproxy-ca-cert.pem")
        got = proxy.curl(url, "-x", f"http://127.0.0.1:{proxy.port}", "--cacert", own)
        assert got == f"host=localhost:{port} path=/inside"
        record = only_record(proxy)
    assert (record.request.method, record.request.target, record.scheme) == ("GET", "/inside", "https")


def test_a_socks_proxy_records_what_clients_ask_through_it(service: int, tmp_path: Path) -> None:
    with running(tmp_path, "socks5@127.0.0.1:0") as proxy:
        url = f"http://127.0.0.1:{service}/socks"
        assert proxy.curl(url, "--socks5", f"127.0.0.1:{proxy.port}").endswith("path=/socks")
        assert only_record(proxy).request.target == "/socks"


def test_a_proxy_before_another_proxy_records_too(service: int, tmp_path: Path) -> None:
    for name in ("behind", "before"):
        (tmp_path / name).mkdir()
    with (
        running(tmp_path / "behind", "regular@127.0.0.1:0") as behind,
        running(tmp_path / "before", f"upstream:http://127.0.0.1:{behind.port}@127.0.0.1:0") as before,
    ):
        got = before.curl(f"http://127.0.0.1:{service}/twice", "-x", f"http://127.0.0.1:{before.port}")
        assert got.endswith("path=/twice")
        assert only_record(before).request.target == only_record(behind).request.target == "/twice"
