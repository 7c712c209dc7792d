"""Which client speaks to a build: as told, else by the address, by what was captured and by what the build speaks."""

from __future__ import annotations

import asyncio
import socket
import ssl
from pathlib import Path

import pytest

from capture.exchange import Request
from replay.clients.base import Endpoint, Limits
from replay.clients.choose import kind_for, speaks_http2
from replay.run import open_run
from tests.support.h2_server import h2_server
from tests.support.replaying import serving, write_log
from tests.support.rude import exchange, get, rude_server
from tests.test_replay_clients_tls import certificate
from understudy import main

pytestmark = pytest.mark.net

LIMITS = Limits(connect_timeout_ns=20_000_000_000)
HTTP2 = Request("GET", "/ok", "HTTP/2", (("Host", "shop.example"), ("accept", "*/*")))


def chosen(endpoint: Endpoint, http2: bool = True, kind: str = "auto", limits: Limits = LIMITS) -> str:
    return asyncio.run(kind_for(kind, endpoint, http2, limits))  # type: ignore[arg-type]


def plain(port: int, host: str = "127.0.0.1") -> Endpoint:
    return Endpoint("http", host, port, "x")


def test_a_log_is_of_http2_where_all_of_it_is() -> None:
    assert speaks_http2([exchange(0, HTTP2)])
    assert not speaks_http2([exchange(0, HTTP2), exchange(1, get("/"))])
    assert not speaks_http2([])


def test_what_the_user_says_and_the_scheme_h2c_are_not_asked_about() -> None:
    nobody = Endpoint("h2c", "nowhere.invalid", 80, "x")
    assert chosen(nobody, http2=False) == "h2"
    assert [chosen(nobody, kind=kind) for kind in ("wire", "aiohttp", "h2")] == ["wire", "aiohttp", "h2"]


def test_a_log_of_http1_is_performed_in_http1_and_nobody_is_asked() -> None:
    assert chosen(plain(9, "nowhere.invalid"), http2=False) == "wire"


def test_a_build_that_speaks_http2_without_tls_is_spoken_to_in_it() -> None:
    async def main() -> str:
        async with h2_server() as server:
            return await kind_for("auto", plain(server.port), True, LIMITS)

    assert asyncio.run(main()) == "h2"


@pytest.mark.parametrize("answer", [b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n", b"<html>no</html>", b""])
def test_a_build_that_answers_otherwise_is_spoken_to_in_http1(answer: bytes) -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()

    async def main() -> str:
        server = await asyncio.start_server(handle, "127.0.0.1", 0)
        try:
            return await kind_for("auto", plain(server.sockets[0].getsockname()[1]), True, LIMITS)
        finally:
            server.close()

    assert asyncio.run(main()) == "wire"


def test_a_build_that_says_nothing_is_spoken_to_in_http1_and_one_that_is_not_there_in_http2() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        assert chosen(plain(port), limits=Limits(connect_timeout_ns=100_000_000)) == "wire"
    assert chosen(plain(9)) == "h2"


@pytest.mark.parametrize(("offered", "expected"), [(["h2", "http/1.1"], "h2"), (["http/1.1"], "wire"), ([], "wire")])
def test_with_tls_the_build_says_which_in_the_handshake(tmp_path: Path, offered: list[str], expected: str) -> None:
    context, trusted = certificate(tmp_path, ["127.0.0.1"])
    if offered:
        context.set_alpn_protocols(offered)
    assert asyncio.run(asked_over_tls(context, trusted)) == expected


async def asked_over_tls(context: ssl.SSLContext, trusted: str) -> str:
    limits = Limits(connect_timeout_ns=20_000_000_000, ca_file=trusted)
    async with rude_server(context=context) as rude:
        return await kind_for("auto", Endpoint("https", "127.0.0.1", rude.port, "x"), True, limits)


def test_what_browsers_sent_in_http2_is_performed_on_builds_that_speak_http1_alone(tmp_path: Path) -> None:
    log = write_log(tmp_path / "log", [exchange(n, HTTP2) for n in range(3)])
    with serving() as current, serving() as candidate:
        with pytest.raises(SystemExit) as ended:
            main(["replay", str(log), "--current", current.url, "--candidate", candidate.url,
                  "--run", str(tmp_path / "run"), "--preflight-path", "/ok"])  # fmt: skip
        assert ended.value.code == 0
    run = open_run(tmp_path / "run")
    assert run.ledger["answered"] == {"current": 3, "candidate": 3}
    assert [build["client"] for build in run.manifest["builds"]] == ["wire", "wire"]
