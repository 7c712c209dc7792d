"""The preflight asks what the replay will ask, on the same way: through a proxy, over TLS, in HTTP/2."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from capture.errors import RunFailed
from replay.builds import Build
from replay.clients.base import Limits
from replay.preflight import preflight
from tests.support.h2_server import h2_server
from tests.support.replaying import serving, write_log
from tests.support.rude import exchange, get, rude_server
from tests.test_replay_clients_tls import certificate
from understudy import main

pytestmark = pytest.mark.net

LIMITS = Limits(timeout_ns=2_000_000_000, connect_timeout_ns=2_000_000_000)
BEHIND = [
    Build("current", "current", "http://shop.invalid", client="aiohttp"),
    Build("next", "candidate", "http://next.invalid:8080", client="aiohttp"),
]


@pytest.fixture(autouse=True)
def no_proxy_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


def test_builds_that_only_the_proxy_reaches_are_replayed_through_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = write_log(tmp_path / "log", [exchange(0, get("/ok?%7E"))])
    command = ["replay", str(log), "--current", BEHIND[0].url, "--candidate", BEHIND[1].url]
    command += ["--run", str(tmp_path / "run"), "--client", "aiohttp", "--preflight-path", "/health"]
    with serving() as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        with pytest.raises(SystemExit) as caught:
            main(command)
        assert caught.value.code == 0
        asked = sorted(head.split(b" HTTP/")[0].decode() for head in proxy.requests)
    assert asked == sorted(
        f"GET {url}{path}"
        for url in ("http://shop.invalid", "http://next.invalid:8080")
        for path in ("/health", "/ok?%7E")
    )


def test_a_proxy_that_is_not_there_is_named_without_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://user:s3cret@127.0.0.1:9")
    with pytest.raises(RunFailed) as caught:
        asyncio.run(preflight(BEHIND, LIMITS))
    assert "current http://shop.invalid: its proxy 127.0.0.1:9: refuses connections" in str(caught.value)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    "proxy", ["http://:80", "http://user:s3cret@127.0.0.1:many", "https://user:s3cret@127.0.0.1:9"]
)
def test_a_proxy_that_cannot_be_used_is_refused_without_its_password(
    proxy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", proxy)
    with pytest.raises(RunFailed, match="the forward proxy of the environment is not one that can be used") as caught:
        asyncio.run(preflight(BEHIND, LIMITS))
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("no_proxy", ["127.0.0.1", "*"])
def test_a_build_without_a_proxy_before_it_is_asked_itself(no_proxy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    with serving() as server:
        build = [Build("current", "current", server.url)]
        asyncio.run(preflight(build, LIMITS))  # this client knows no proxy
        monkeypatch.setenv("NO_PROXY", no_proxy)
        build = [Build("current", "current", server.url, client="aiohttp")]
        asyncio.run(preflight(build, LIMITS, "/ok"))
        assert [head.split(b"\r\n")[0] for head in server.requests] == [b"GET /ok HTTP/1.1"]


def test_a_build_that_speaks_http2_alone_is_asked_in_it() -> None:
    async def main() -> list[str]:
        async with h2_server() as server:
            build = Build("current", "current", f"h2c://127.0.0.1:{server.port}", client="h2")
            await preflight([build], Limits(), "/ok")
            return [dict(fields)[":path"] for fields, _, _ in server.requests]

    assert asyncio.run(main()) == ["/ok"]


def test_a_name_that_no_resolver_takes_is_named() -> None:
    with pytest.raises(RunFailed, match=r"current http://two\.\.dots: the name does not resolve: not a name"):
        asyncio.run(preflight([Build("current", "current", "http://two..dots", client="wire")], LIMITS))


def test_a_build_that_does_not_agree_on_http2_is_named_where_it_must(tmp_path: Path) -> None:
    context, trusted = certificate(tmp_path, ["127.0.0.1"])

    async def main() -> None:
        async with rude_server(context=context) as rude:
            build = Build("current", "current", f"https://127.0.0.1:{rude.port}", client="h2")
            with pytest.raises(RunFailed, match="it does not speak HTTP/2 here"):
                await preflight([build], Limits(ca_file=trusted))

    asyncio.run(main())
